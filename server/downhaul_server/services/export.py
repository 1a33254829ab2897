"""The log as JSON lines, for archives and for readers who want to verify it themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from downhaul_server.redaction import HIDDEN, hide
from downhaul_server.services.access import newest_view, store_errors
from downhaul_server.services.actors import ALL, Action, Actor, authorize
from downhaul_server.services.log_filters import LogFilter
from downhaul_server.services.refused_log import REFUSED
from downhaul_server.services.refused_log import matches as refused_matches
from downhaul_server.store import Store
from downhaul_server.store.entries import RawEntry, timestamp
from downhaul_server.store.refusals import readable as refused_readable

FORMAT = "downhaul-log"
VERSION = 1
OPEN_KINDS = ("flag/", "segment/", "service/", "environment/")
"""Documents in which every member is the clients' own; in all others what is in SECRETS is hidden."""
SECRETS = frozenset({"hash", "hashes", "secret", "secrets", "password"})
CHUNK = 64 * 1024


def export(store: Store, actor: Actor, wanted: LogFilter) -> Iterator[bytes]:
    """A head, a line for each entry that is wanted, oldest first, and an end that says how many there were.

    `{revision, at, at_ms, previous, digest, chain, redacted, body}`: `body` is written as it lies in the log, so its
    SHA-256 is `digest` (unless something in it is hidden: `redacted` says what); `chain` is the SHA-1 of
    `previous:revision:at_ms:digest`, and `previous` the chain of the entry before. Refused attempts have `number` in
    the place of `revision`. What somebody has damaged so that it is no entry any more is there all the same, its body
    as a string. Raises Forbidden, Unavailable at once; has no end when Redis goes away on the way.
    """
    authorize(actor, Action.AUDIT, ALL, ALL)
    view = newest_view(store)
    refused = wanted.action == REFUSED
    head = {
        "format": FORMAT,
        "version": VERSION,
        "log": "refusals" if refused else "changes",
        "epoch": view.epoch,
        "revision": view.revision,
        "filtered": wanted != LogFilter(action=REFUSED if refused else None),
    }
    with store_errors():
        # The first line now, so that what cannot even begin is told by the answer's status.
        lines = _lines(_refusals(store, wanted) if refused else _changes(store, wanted))
        first = next(lines)
    return _chunks(_text(head), first, lines)


def _changes(store: Store, wanted: LogFilter) -> Iterator[str]:
    start = max(1, store.reading.revision_at(wanted.since, back=True)) if wanted.since else 1
    chain = store.reading.chain_before(start)
    previous = start - 1
    for raw in store.reading.raw_log(start - 1):
        if raw.revision != previous + 1:
            chain = store.reading.chain_before(raw.revision)
        if _is_wanted(wanted, raw):
            yield _entry("revision", raw, chain)
        previous, chain = raw.revision, raw.chain


def _is_wanted(wanted: LogFilter, raw: RawEntry) -> bool:
    if not all(any(text in raw.body for text in each) for each in wanted.texts):
        return False
    try:
        return wanted.matches(raw.decode())
    except ValueError:
        return True


def _refusals(store: Store, wanted: LogFilter) -> Iterator[str]:
    with store.asking():
        extent = store.refusals.extent()
        number, chain = extent.origin - 1, extent.origin_chain
        for raw in store.refusals.oldest_first(0, extent.newest):
            before = chain if raw.revision == number + 1 else None
            if refused_matches(wanted, refused_readable(raw)):
                yield _entry("number", raw, before)
            number, chain = raw.revision, raw.chain


def _entry(number: str, raw: RawEntry, previous: str | None) -> str:
    body, redacted = _shown(raw.body)
    head = {
        number: raw.revision,
        "at": timestamp(raw.at_ms),
        "at_ms": raw.at_ms,
        "previous": previous,
        "digest": raw.digest,
        "chain": raw.chain,
        "redacted": redacted,
    }
    return f'{_text(head)[:-1]},"body":{body}}}'


def _shown(raw: bytes) -> tuple[str, list[str]]:
    """The body without secrets, and where they were; as it is, to the letter, where there are none."""
    try:
        body = raw.decode("ascii")
        document = json.loads(body)
        redacted = _redacted(document) if any(f'"{name}"' in body for name in SECRETS) else []
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return _text(hide(raw.decode("ascii", "backslashreplace"))), []
    return (_text(document), redacted) if redacted else (body, [])


def _redacted(document: Any) -> list[str]:
    """Where there were secrets; they are none any more."""
    redacted: list[str] = []
    for number, change in enumerate(document.get("changes", ())):
        if not change["address"].startswith(OPEN_KINDS):
            for side in ("before", "after"):
                _hide(change[side], f"/changes/{number}/{side}", redacted)
    return redacted


def _hide(value: Any, path: str, redacted: list[str]) -> None:
    members: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        members = [*value.items()]
    elif isinstance(value, list):
        members = enumerate(value)
    for name, inner in members:
        if name in SECRETS and inner is not None:
            value[name] = HIDDEN
            redacted.append(f"{path}/{name}")
        else:
            _hide(inner, f"{path}/{name}", redacted)


def _lines(entries: Iterator[str]) -> Iterator[str]:
    number = 0
    for number, entry in enumerate(entries, 1):  # noqa: B007 - the last one counts
        yield entry
    yield _text({"end": True, "entries": number})


def _chunks(head: str, first: str, rest: Iterator[str]) -> Iterator[bytes]:
    """Many lines at a time: each piece of an answer costs a system call."""
    waiting, size = [head, first], 0
    for line in rest:
        waiting.append(line)
        size += len(line)
        if size >= CHUNK:
            yield _joined(waiting)
            waiting, size = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
