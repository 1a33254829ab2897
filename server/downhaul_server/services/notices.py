"""The streams of OpenFeature's clients: that there is something to fetch anew, and the tokens that open them.

A browser opens a stream with nothing but its address, so a token is in it, which is good for that alone, and not for
long. It is derived from the key's stored hash: every server can make and check it, and none has to remember it.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from downhaul_server.services.actors import ClientKey, EnvironmentKey
from downhaul_server.services.errors import Unauthenticated
from downhaul_server.services.evaluation import Edition, Evaluation
from downhaul_server.services.events import Event
from downhaul_server.services.keys import Keys
from downhaul_server.services.stream import Stream
from downhaul_server.services.streams import Streams
from downhaul_server.services.topics import Topic
from downhaul_server.store import View

WINDOW_S = 3600
"""A token is good in the window in which it was made, and in the next one: for one hour at least, for two at most.

Streams end earlier, and are taken up again with the same token."""
TOKEN = re.compile(r"dh_stream_([0-9a-f]{16})_([0-9a-f]{1,8})_([0-9a-f]{64})")
LONGEST_RETRY_MS = 25_000
"""Clients give up a stream that does not come back within 30 s."""


class Expired(Unauthenticated):
    """The token was good once: nobody attacks, somebody was away."""


class Notices:
    """Safe to share between threads."""

    def __init__(
        self, keys: Keys, evaluation: Evaluation, streams: Streams, *, wall: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._evaluation = evaluation
        self._streams = streams
        self._wall = wall

    @property
    def window(self) -> int:
        """The number of the present window: with the next one, there are new tokens."""
        return int(self._wall() // WINDOW_S)

    def token(self, key: EnvironmentKey) -> str:
        """Opens streams about what the key may evaluate; the same one within a window. Raises Unauthenticated for a
        key that is not good any more."""
        digest = self._keys.standing(key.id).get(key)
        if digest is None:
            raise Unauthenticated("the token is not known here")
        window = self.window
        return f"dh_stream_{key.id}_{window:x}_{_seal(digest, key.id, window)}"

    def holder(self, token: str) -> EnvironmentKey:
        """The key that a token was made for. Asks nobody. Raises Unauthenticated, Expired, Unavailable."""
        found = TOKEN.fullmatch(token)
        if found:
            key_id, window = found[1], int(found[2], 16)
            for key, digest in self._keys.standing(key_id).items():
                if hmac.compare_digest(found[3], _seal(digest, key_id, window)):
                    # A server whose clock is ahead of ours may have made it.
                    if abs(self.window - window) > 1:
                        raise Expired("the token of the stream has expired: evaluate all flags anew, for another one")
                    return key
        raise Unauthenticated("the token of the stream is not known here")

    def open(self, key: EnvironmentKey, last: str | None) -> Stream:
        """A stream that begins with a notice where the flags are not those that the client holds.

        `last`: the digest of their edition, if it knows one. Whoever gets it must close it, with `Streams.close`.
        Raises Overloaded, NotFound, Unauthenticated, Unavailable.
        """
        topic = NoticeTopic(key.environment, key.services, isinstance(key, ClientKey), key, self._evaluation)
        return self._streams.start(key, topic, self._evaluation.edition(key), last=last)


@dataclass(frozen=True)
class NoticeTopic(Topic[Edition]):
    """What keys of one kind and scope may evaluate. A client holds the digest of an edition."""

    environment: str
    services: frozenset[str]
    client: bool
    key: EnvironmentKey = field(compare=False)
    evaluation: Evaluation = field(compare=False, repr=False)

    def newest(self, view: View) -> Edition:
        return self.evaluation.edition(self.key, view)

    def first(self, state: Edition, last: Any) -> Event:
        return self.heartbeat(state) if last is None or last == state.digest else _notice(state)

    def change(self, before: Edition, after: Edition) -> Event | None:
        return _notice(after) if after.digest != before.digest else None

    def heartbeat(self, state: Edition) -> Event:
        return Event.comment("heartbeat")

    def end(self, reason: str, retry_ms: int) -> Event:
        return Event.comment(reason, retry_ms=min(retry_ms, LONGEST_RETRY_MS))

    def opened(self, process: str | None) -> None:
        """Nobody keeps account of browsers."""

    def closed(self, process: str | None, by_client: bool) -> None:
        """As above."""


def _notice(edition: Edition) -> Event:
    data = {"type": "refetchEvaluation", "etag": edition.position, "lastModified": edition.seen_at}
    return Event.of("message", data, at=edition.digest)


def _seal(digest: str, key_id: str, window: int) -> str:
    text = f"downhaul: a stream of notices:{key_id}:{window}"
    return hmac.digest(digest.encode("ascii"), text.encode("ascii"), "sha256").hex()
