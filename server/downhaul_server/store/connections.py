"""The three clients of one Redis, each with the patience that its work allows. The only place that makes them."""

from __future__ import annotations

from dataclasses import dataclass

import redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.retry import Retry

from downhaul_server import redis_address
from downhaul_server.redis_address import Kind, RedisAddress
from downhaul_server.store.primary import Primary, directory_of, uses_tls

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
    kind: Kind = Kind.SINGLE
    """Who says which Redis it is."""
    primary: Primary | None = None
    """Where they all find it, unless it is a single Redis."""

    @classmethod
    def to(cls, url: str, block_s: float = BLOCK_S) -> Connections:
        """Clients for `url` (`redis_address.py` says which); connects lazily. Raises ValueError for a malformed URL."""
        address = redis_address.read(url)
        primary = None if address.kind is Kind.SINGLE else Primary(directory_of(address))
        return cls(
            block_s=block_s,
            kind=address.kind,
            primary=primary,
            writes=_client(address, primary, WRITE_TIMEOUT_S),
            reads=_client(address, primary, READ_TIMEOUT_S),
            follower=_client(address, primary, FOLLOW_TIMEOUT_S),
        )

    def close(self) -> None:
        """Let go of every connection."""
        for client in (self.writes, self.reads, self.follower):
            client.close()
        if self.primary is not None:
            self.primary.close()


def _client(address: RedisAddress, primary: Primary | None, timeout: float) -> redis.Redis:
    # Ours come last: `?socket_timeout=60&decode_responses=1` in a URL must not undo what the room relies on.
    options = {
        **address.options,
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
    if primary is None:
        return redis.Redis(connection_pool=ConnectionPool(**options))
    options.pop("connection_class", None)
    return redis.Redis(connection_pool=primary.pool(tls=uses_tls(address), **options))
