"""Who is logged in: an opaque id in a cookie, its digest in Redis with whose it is, and what that person may do now.

Each process remembers the sessions that it knows, and asks Redis again every few seconds. While Redis is away it goes
on with what it knows: pages can be read until it is back (no change is possible meanwhile anyway). Rights are never
remembered: they come from the newest documents at each request, so whoever was disabled is out as soon as the log says.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from downhaul_server.services import tokens
from downhaul_server.services.access import newest_view, store_errors
from downhaul_server.services.actors import Action, Actor
from downhaul_server.services.documents import timestamp
from downhaul_server.services.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from downhaul_server.services.names import address as place_of
from downhaul_server.services.session_holders import (
    identity,
    key_actor,
    mark_of,
    mark_of_secret,
    marks_of,
    person_actor,
    place,
    same_holder,
)
from downhaul_server.signing_in import SigningIn
from downhaul_server.store import Store

NOTE = "sessions"
CONFIRM_S = 5.0
"""What Redis said of a session is believed for so long."""
AWAY_S = 2.0
"""Redis is not asked again so soon after it has not answered."""
TOUCH_S = 60.0
"""That a session was used is written at most so often: each write costs Redis's disk."""
MOST_OF_ONE = 20
"""Sessions of one person or token; the oldest ends when one more begins."""
AGENT_LENGTH = 200
ID_LENGTH = 16

Record = dict[str, Any]
Body = Mapping[str, Any]


@dataclass(slots=True)
class _Known:
    record: Record
    confirmed: float = field(default_factory=time.monotonic)
    """By the monotonic clock."""


class Sessions:
    """Records: `{holder, id, mark, name, at, seen, address, agent}`; times in seconds since 1970.

    `holder` is `admin` (the bootstrap administrator), `key` or `person`, `id` that of its document. `mark` tells the
    credential that it began with: when that changes, the session is over.
    """

    def __init__(
        self,
        store: Store,
        settings: SigningIn,
        admin_token: str | None,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._settings = settings
        self._admin_token = admin_token
        self._wall = wall
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._away_until = 0.0

    def start(
        self, actor: Actor, *, address: str | None, agent: str, ends: str | None = None, token: str | None = None
    ) -> str:
        """The id of a new session, for the cookie. `ends`: the id of the one that it takes the place of; `token`: what
        it begins with, and ends with.

        Raises Forbidden for whoever cannot even read, Unavailable.
        """
        if not actor.may(Action.READ):
            raise Forbidden(f"{actor.name} may see nothing here: the token is for killing alone")
        session_id = secrets.token_urlsafe(32)
        moment = self._wall()
        record = identity(actor) | {
            "mark": self._mark(actor, token),
            "name": actor.name,
            "at": moment,
            "seen": moment,
            "address": address,
            "agent": agent[:AGENT_LENGTH],
        }
        gone = [_digest(ends)] if ends else []
        with store_errors(), self._store.asking():
            gone += self._surplus(self._store.sessions.all(), record)
            self._store.sessions.put(_digest(session_id), record)
            self._store.sessions.remove(gone)
        self._tell(put={_digest(session_id): record}, drop=gone)
        return session_id

    def resolve(self, session_id: str, *, address: str | None = None, active: bool = True) -> Actor:
        """Who this is, with what they may do now. `active`: it is the person's doing, so the session is not idle.

        Raises Unauthenticated, and Unavailable when the session is not known here and Redis is away.
        """
        digest = _digest(session_id)
        record = self._record(digest)
        if record is None or self._expired(record):
            raise Unauthenticated("the session has ended")
        actor = self._actor(record)
        if actor is None:
            raise Unauthenticated("the session has ended: what it began with is not valid any more")
        if active:
            self._touch(digest, record)
        return replace(actor, address=address, secret=tokens.secret_of(session_id))

    def end(self, session_id: str) -> None:
        """Log out. Raises Unavailable: then the cookie is gone, and the session ends by itself."""
        self._end([_digest(session_id)])

    def page(self, holder: str, key: str | None, *, current: str | None = None) -> list[dict[str, Any]]:
        """Sessions of a person (or token), newest first: `{id, at, seen, address, agent, expires, current}`.

        `current` is the id of the caller's own. Raises Unavailable. Whoever calls has checked whether it may be seen.
        """
        own = _digest(current) if current else None
        found = [
            (record["at"], self._public(digest, record) | {"current": digest == own})
            for digest, record in self._all().items()
            if same_holder(record, holder, key) and not self._expired(record) and self._actor(record)
        ]
        return [shown for _, shown in sorted(found, key=lambda pair: -pair[0])]

    def revoke(self, holder: str, key: str | None, public_id: str) -> None:
        """End one of a person's sessions. Raises NotFound, Unavailable."""
        found = [
            digest
            for digest, record in self._all().items()
            if digest.startswith(public_id) and len(public_id) == ID_LENGTH and same_holder(record, holder, key)
        ]
        if not found:
            raise NotFound("session", public_id)
        self._end(found)

    def revoke_others(self, holder: str, key: str | None, current: str) -> int:
        """End all of somebody's sessions but the one with this id; how many. Raises Unavailable."""
        kept = _digest(current)
        found = [digest for digest, record in self._all().items() if same_holder(record, holder, key)]
        ended = [digest for digest in found if digest != kept]
        self._end(ended)
        return len(ended)

    def clear(self, holder: str, key: str) -> None:
        """Forget all of a person's sessions, which are not valid any more. Never raises: they expire anyway."""
        with suppress(Unavailable):
            self._end([digest for digest, record in self._all().items() if same_holder(record, holder, key)])

    def learn(self, news: Body) -> None:
        """Another process tells which sessions began and ended."""
        with self._lock:
            for digest, record in news["put"].items():
                self._known[digest] = _Known(record)
            for digest in news["drop"]:
                self._known.pop(digest, None)

    def load(self) -> None:
        """Remember all that Redis holds, so that they go on while it is away. Never raises."""
        with suppress(Unavailable):
            self.learn({"put": self._all(), "drop": []})

    # What is known.

    def _record(self, digest: str) -> Record | None:
        with self._lock:
            known = self._known.get(digest)
        if known is not None and time.monotonic() - known.confirmed < CONFIRM_S:
            return known.record
        try:
            record = self._ask(digest)
        except Unavailable:
            if known is None:
                raise
            return known.record
        with self._lock:
            if record is None:
                self._known.pop(digest, None)
            else:
                self._known[digest] = _Known(record)
        return record

    def _ask(self, digest: str) -> Record | None:
        if time.monotonic() < self._away_until:
            raise Unavailable("Redis is away: a session that is not known to this server cannot be looked up")
        try:
            with store_errors(), self._store.asking():
                return self._store.sessions.get(digest)
        except Unavailable:
            self._away_until = time.monotonic() + AWAY_S
            raise

    def _all(self) -> dict[str, Record]:
        with store_errors(), self._store.asking():
            return self._store.sessions.all()

    def _expired(self, record: Record) -> bool:
        moment = self._wall()
        return bool(
            moment - record["at"] >= self._settings.absolute_s or moment - record["seen"] >= self._settings.idle_s
        )

    def _touch(self, digest: str, record: Record) -> None:
        moment = self._wall()
        if moment - record["seen"] < TOUCH_S:
            return
        fresh = record | {"seen": moment}
        with self._lock:
            if digest in self._known:
                self._known[digest].record = fresh
        with suppress(Unavailable), store_errors(), self._store.asking():
            self._store.sessions.replace(digest, fresh)

    def _surplus(self, records: dict[str, Record], newest: Record) -> list[str]:
        """Those that have expired, and the oldest of the same holder's when there are too many."""
        expired = [digest for digest, record in records.items() if self._expired(record)]
        own = sorted(
            (record["at"], digest)
            for digest, record in records.items()
            if same_holder(record, newest["holder"], newest["id"]) and digest not in expired
        )
        return expired + [digest for _, digest in own[: max(0, len(own) - MOST_OF_ONE + 1)]]

    def _end(self, digests: list[str]) -> None:
        with store_errors(), self._store.asking():
            self._store.sessions.remove(digests)
        self._tell(put={}, drop=digests)

    def _tell(self, **news: Any) -> None:
        self.learn(news)
        self._store.news.note(NOTE, news)

    def _public(self, digest: str, record: Record) -> dict[str, Any]:
        ends = min(record["at"] + self._settings.absolute_s, record["seen"] + self._settings.idle_s)
        return {
            "id": digest[:ID_LENGTH],
            "at": _text(record["at"]),
            "seen": _text(record["seen"]),
            "expires": _text(ends),
            "address": record["address"],
            "agent": record["agent"],
        }

    # Whose it is.

    def _mark(self, actor: Actor, token: str | None) -> str:
        if actor.kind == "admin":
            return mark_of_secret(self._admin_token or "")
        document = newest_view(self._store).get(place(actor))
        if document is None:
            raise Unauthenticated("who logs in is not known here any more")
        return mark_of(document.body, token)

    def _actor(self, record: Record) -> Actor | None:
        """With the rights of now; None when its credential is not valid any more."""
        if record["holder"] == "admin":
            known = self._admin_token is not None and record["mark"] == mark_of_secret(self._admin_token)
            return Actor.single("admin", "admin", "admin") if known else None
        document = newest_view(self._store).get(place_of(record["holder"], record["id"]))
        if document is None or record["mark"] not in marks_of(document.body):
            return None
        return person_actor(document.body) if record["holder"] == "person" else key_actor(document.body)


def _digest(session_id: str) -> str:
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()


def _text(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
