"""The one way to write: commit.lua, on a connection that never repeats by itself, with an answer within a second."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from downhaul_server.store import scripts
from downhaul_server.store.commits import Commit, Committed
from downhaul_server.store.documents import decode, encode
from downhaul_server.store.entries import body_digest, change_text, entry_body, timestamp
from downhaul_server.store.errors import Conflict, OperationReused, Stale, StoreDiverged, StoreUnavailable
from downhaul_server.store.keys import EVERYTHING, OPERATION_TTL_S, operation_key, touch_field
from downhaul_server.store.view import View

T = TypeVar("T")
ADDRESS = re.compile(r"[a-z]+(/[^/\s]+)+")
NOTHING = encode(None)
TOUCH = re.compile(r"[^@\s]+")
OPERATION_MAX = 256
RETRY_UNTIL_S = 0.2
"""A broken connection is tried again once, and only this soon: two attempts must still end within about a second."""
REPLICAS_TIMEOUT_MS = 300


@dataclass(frozen=True, slots=True)
class Prepared:
    """A commit turned into what the script takes."""

    operation: str
    fingerprint: str
    arguments: tuple[str, ...]
    base: int | None
    expected: dict[str, int]


def fingerprint_of(commit: Commit) -> str:
    """The digest of the request that the commit's operation stands for."""
    if commit.fingerprint is not None:
        return commit.fingerprint
    if commit.operation is None:
        return ""  # nobody but ourselves can repeat an operation whose id nobody knows
    content = [commit.action, commit.actor, commit.reason, commit.writes]
    return hashlib.sha256(encode(content).encode("ascii")).hexdigest()


def prepare(commit: Commit, view: View) -> Prepared:
    """Check and encode. Raises ValueError for a malformed commit, Conflict when `view` already shows one.

    What a written document was before is taken from `view`, which is right because the script checks its version.
    """
    _check(commit)
    operation = commit.operation or secrets.token_hex(16)
    expected = {address: view.version(address) for address in commit.writes} | dict(commit.expect)
    after = {address: NOTHING if new is None else encode(dict(new)) for address, new in commit.writes.items()}
    body = entry_body(
        commit, [_change(view, address, expected[address], after[address]) for address in after], operation
    )
    deletes = [address for address, new in commit.writes.items() if new is None]
    puts = [part for address, text in after.items() if text != NOTHING for part in (address, text)]
    fingerprint = fingerprint_of(commit)
    arguments = (
        view.epoch,
        str(view.revision),
        view.chain,
        "" if commit.base is None else str(commit.base),
        fingerprint,
        "" if commit.result is None else encode(commit.result),
        str(OPERATION_TTL_S),
        body_digest(body),
        body,
        str(len(expected)),
        *(part for address, version in expected.items() for part in (address, str(version))),
        str(len(puts) // 2),
        *puts,
        str(len(deletes)),
        *deletes,
        str(len(commit.touches)),
        *(touch_field(*touch) for touch in commit.touches),
    )
    return Prepared(operation, fingerprint, arguments, commit.base, expected)


def _change(view: View, address: str, expected: int, after: str) -> str:
    document = view.get(address)
    if view.version(address) != expected:
        raise Conflict(address, expected, view.version(address))
    return change_text(address, expected, document.body if document else None, after)


def _check(commit: Commit) -> None:
    if not commit.writes:
        raise ValueError(f"commit {commit.action!r} writes nothing")
    for address in (*commit.writes, *commit.expect):
        if not ADDRESS.fullmatch(address):
            raise ValueError(f"expected an address such as flag/checkout/new-checkout, not {address!r}")
    for touch in commit.touches:
        if not all(TOUCH.fullmatch(part) for part in touch):
            raise ValueError(f"expected (service, environment) to touch, not {touch!r}")
    if commit.operation is not None and not 1 <= len(commit.operation) <= OPERATION_MAX:
        raise ValueError(f"expected an operation id of 1 to {OPERATION_MAX} characters")


class Writer:
    """Commits, and waits for replicas. Safe to share between threads."""

    def __init__(self, client: redis.Redis, replicas: int) -> None:
        self._client = client
        self._script = client.register_script(scripts.source("commit"))
        self._replicas = replicas
        self._has_waitaof = True

    def commit(self, prepared: Prepared) -> Committed:
        """Send it. Raises what `_interpret` raises, StoreUnavailable."""
        return self._asked(lambda connection: self._send(connection, prepared), sends=True)

    def recall(self, operation: str, fingerprint: str | None) -> Committed | None:
        """The recorded answer, and who holds it by now. Raises OperationReused, StoreUnavailable."""
        return self._asked(lambda connection: self._recorded(connection, operation, fingerprint), sends=False)

    def _asked(self, ask: Callable[[redis.Redis], T], *, sends: bool) -> T:
        """Once more when the connection broke at once, which is safe because an operation is recognised."""
        started = time.monotonic()
        try:
            with self._connect() as connection:
                return ask(connection)
        except RedisConnectionError as error:
            if time.monotonic() - started > RETRY_UNTIL_S:
                raise _unavailable(error, sent=sends) from error
        except RedisError as error:
            raise _unavailable(error, sent=sends and isinstance(error, RedisTimeoutError)) from error
        # Whatever broke this connection (a restart, a failover) broke the idle ones in the pool too.
        self._client.connection_pool.disconnect(inuse_connections=False)
        try:
            with self._connect() as connection:
                return ask(connection)
        except (RedisError, StoreUnavailable) as error:
            raise _unavailable(error, sent=sends) from error

    def _connect(self) -> redis.Redis:
        # Apart from sending, so that a Redis that is not there at all is told from an answer that was lost.
        try:
            return self._client.client()  # type: ignore[no-untyped-call, no-any-return]
        except RedisError as error:
            raise _unavailable(error) from error

    def _send(self, connection: redis.Redis, prepared: Prepared) -> Committed:
        key = operation_key(prepared.operation)
        answer = scripts.decoded(self._script(keys=(*EVERYTHING, key), args=prepared.arguments, client=connection))
        return self._held(connection, key, _interpret(answer, prepared))

    def _recorded(self, connection: redis.Redis, operation: str, fingerprint: str | None) -> Committed | None:
        key = operation_key(operation)
        found = connection.hmget(key, ["fingerprint", "revision", "at", "result"])
        if found[0] is None:
            return None
        recorded, *answer = scripts.decoded(found)
        if fingerprint is not None and recorded != fingerprint:
            raise OperationReused(operation)
        return self._held(connection, key, replace(_committed(*answer), replayed=True))

    def _held(self, connection: redis.Redis, key: str, committed: Committed) -> Committed:
        """With what its replicas have confirmed. WAIT speaks of the writes of its own connection."""
        if not self._replicas:
            return committed
        try:
            if committed.replayed:
                # A write, so that it speaks of all that was committed before, whoever wrote it.
                connection.expire(key, OPERATION_TTL_S)
            confirmed = self._wait(connection)
        except RedisError:
            # The write itself was acknowledged; that nobody confirmed it is all that is known of the rest.
            confirmed = 0
        return replace(committed, replicas=confirmed, replicas_wanted=self._replicas)

    def _wait(self, connection: redis.Redis) -> int:
        """How many replicas hold the write: on disk where the server can tell (WAITAOF, Redis 7.2), else in memory."""
        if self._has_waitaof:
            try:
                return int(connection.waitaof(0, self._replicas, REPLICAS_TIMEOUT_MS)[1])
            except ResponseError:
                self._has_waitaof = False
        return int(connection.wait(self._replicas, REPLICAS_TIMEOUT_MS))


def _interpret(answer: list[str], prepared: Prepared) -> Committed:
    match answer:
        case ["committed", revision, at, chain]:
            return replace(_committed(revision, at, prepared.arguments[5]), chain=chain)
        case ["replayed", revision, at, result]:
            return replace(_committed(revision, at, result), replayed=True)
        case ["reused"]:
            raise OperationReused(prepared.operation)
        case ["stale", revision]:
            raise Stale(prepared.base or 0, int(revision))
        case ["conflict", address, version]:
            raise Conflict(address, prepared.expected[address], int(version))
        case ["diverged", held]:
            raise StoreDiverged(f"Redis holds {held}, which is not the history that this server has served")
    raise StoreUnavailable(f"Redis gave an answer to a commit that is not known: {answer[:1]}", outcome_unknown=True)


def _committed(revision: str, at: str, result: str) -> Committed:
    return Committed(int(revision), timestamp(int(at)), result=decode(result) if result else None)


def _unavailable(error: Exception, *, sent: bool = False) -> StoreUnavailable:
    fate = "; the change may have been made or not" if sent else ""
    return StoreUnavailable(f"Redis cannot take a change now{fate}: {error}", outcome_unknown=sent)
