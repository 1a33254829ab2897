"""The three clients of one Redis, each with the patience that its work allows. The only place that makes one."""

from __future__ import annotations

from dataclasses import dataclass

import redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, parse_url
from redis.retry import Retry

CONNECT_TIMEOUT_S = 0.5
WRITE_TIMEOUT_S = 0.8
"""A write fails within a second, so that whoever kills a flag learns at once that it did not land."""
READ_TIMEOUT_S = 5.0
BLOCK_S = 1.0
FOLLOW_TIMEOUT_S = 2.5
"""Longer than BLOCK_S, or every quiet second of the log would look like a lost connection."""


@dataclass(frozen=True, slots=True)
class Connections:
    """`writes`: fails within a second. `reads`: all at once, log pages, operators' work. `follower`: blocks on the log.

    None of them retries by itself: redis-py's ten default retries would repeat a write that was already done, and hide
    an outage for a minute. All speak RESP2 and give bytes.
    """

    writes: redis.Redis
    reads: redis.Redis
    follower: redis.Redis
    block_s: float = BLOCK_S
    """How long the follower waits for an entry before it looks whether Redis is still the same."""

    @classmethod
    def to(cls, url: str, block_s: float = BLOCK_S) -> Connections:
        """Clients for `url` (redis://, rediss://, unix://); connects lazily. Raises ValueError for a malformed URL."""
        return cls(
            block_s=block_s,
            writes=_client(url, WRITE_TIMEOUT_S),
            reads=_client(url, READ_TIMEOUT_S),
            follower=_client(url, FOLLOW_TIMEOUT_S),
        )

    def close(self) -> None:
        """Let go of every connection."""
        for client in (self.writes, self.reads, self.follower):
            client.close()


def _client(url: str, timeout: float) -> redis.Redis:
    # Ours come last: `?socket_timeout=60&decode_responses=1` in a URL must not undo what the room relies on.
    options = {
        **parse_url(url),  # type: ignore[no-untyped-call]
        "socket_timeout": timeout,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "decode_responses": False,
        "protocol": 2,
        "health_check_interval": 0,
    }
    if "path" in options:
        del options["socket_keepalive"]
    return redis.Redis(connection_pool=ConnectionPool(**options))
