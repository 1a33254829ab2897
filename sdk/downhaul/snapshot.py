"""Snapshots: a payload is believed only after every check here. The last is kept on disk for the next start."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from downhaul.engine import Ruleset, change_ruleset, decode_ruleset
from downhaul.engine.checksum import checksum

SCHEMA = 1
MAX_BYTES = 32 << 20

_FIELDS: Mapping[str, type] = {
    "schema": int,
    "epoch": str,
    "revision": int,
    "service": str,
    "environment": str,
    "flag_count": int,
    "checksum": str,
    "flags": dict,
    "segments": dict,
}
_FIELDS_OF_CHANGE: Mapping[str, type] = {**_FIELDS, "base": int}


class SnapshotError(Exception):
    """A payload that must not be used. The message says what was found and what was expected."""


class GapError(SnapshotError):
    """A change that builds on another snapshot than the one in force: some have been missed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that one service needs in one environment, at one revision.

    `body` is the last whole payload, checked, as it came; `changes` are those that came after it, oldest first.
    """

    epoch: str
    revision: int
    service: str
    environment: str
    ruleset: Ruleset = field(repr=False)
    body: bytes = field(repr=False)
    changes: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    succeeds: frozenset[str] = frozenset()
    """Epochs before this one, by a decision of the service's operators."""

    @property
    def etag(self) -> str:
        """The strong ETag by which the service knows this snapshot."""
        return f'"{self.place}"'

    @property
    def place(self) -> str:
        """Epoch and revision, as streams name them."""
        return f"{self.epoch}:{self.revision}"

    def folded(self) -> Snapshot:
        """The same, with `changes` worked into `body`."""
        if not self.changes:
            return self
        envelope = json.loads(self.body)
        flags, segments = envelope["flags"], envelope["segments"]
        for change in self.changes:
            _patch(flags, change["flags"])
            _patch(segments, change["segments"])
        envelope |= {"revision": self.revision, "flag_count": len(flags), "checksum": checksum(flags, segments)}
        return replace(self, body=json.dumps(envelope, separators=(",", ":")).encode("ascii"), changes=())


def read_snapshot(body: bytes, service: str, environment: str | None = None, place: str | None = None) -> Snapshot:
    """The snapshot in a payload. `environment` is that of the snapshot before, if there was one. `place` is what came
    with it as its epoch and revision, if anything did: the checksum covers neither.

    Raises SnapshotError unless all of it is as it should be: types, schema, service, environment, count and checksum.
    """
    envelope = _envelope(body)
    _expect("service", envelope["service"], service)
    if environment is not None:  # a key is for one environment: another one would be another key's snapshot
        _expect("environment", envelope["environment"], environment)
    expect_place(envelope, place)
    flags, segments = envelope["flags"], envelope["segments"]
    _expect("flag_count", envelope["flag_count"], len(flags))
    try:
        _expect("checksum", envelope["checksum"], checksum(flags, segments))
        ruleset = decode_ruleset({"flags": flags, "segments": segments})
    except (ValueError, RecursionError) as error:  # a DecodeError is a ValueError
        raise SnapshotError(f"the snapshot cannot be decoded: {error}") from None
    place_and_owner = (envelope[name] for name in ("epoch", "revision", "service", "environment"))
    return Snapshot(*place_and_owner, ruleset, body, succeeds=_succeeds(envelope))


def change_snapshot(data: bytes, current: Snapshot, place: str | None = None) -> Snapshot:
    """`current` after the change in a streamed event; `current` itself if it has that change already. `place` as above.

    Raises GapError if the change builds on another snapshot, and SnapshotError unless all of it is as it should be.
    """
    change = _envelope(data, "change", _FIELDS_OF_CHANGE)
    _expect("service", change["service"], current.service, "change")
    _expect("environment", change["environment"], current.environment, "change")
    expect_place(change, place, "change")
    if change["epoch"] == current.epoch and change["revision"] <= current.revision:
        return current
    if (change["epoch"], change["base"]) != (current.epoch, current.revision):
        raise GapError(f"a change builds on {change['epoch']}:{change['base']}; {current.place} is in force")
    flags, segments = change["flags"], change["segments"]
    try:
        _expect("checksum", change["checksum"], checksum(flags, segments), "change")
        ruleset = change_ruleset(current.ruleset, flags, segments)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"the change cannot be decoded: {error}") from None
    _expect("flag_count", change["flag_count"], len(ruleset.flags), "change")
    return replace(current, revision=change["revision"], ruleset=ruleset, changes=(*current.changes, change))


def expect_place(document: Mapping[str, Any], place: str | None, what: str = "snapshot") -> None:
    """Raises SnapshotError unless the document is of the epoch and revision that came with it."""
    if place is not None:
        _expect("epoch and revision", f"{document['epoch']}:{document['revision']}", place, what)


def _succeeds(envelope: Mapping[str, Any]) -> frozenset[str]:
    epochs = envelope.get("succeeds", [])
    if not isinstance(epochs, list) or not all(isinstance(each, str) for each in epochs):
        raise SnapshotError("the snapshot's succeeds is not a list of epochs")
    return frozenset(epochs)


def _patch(target: dict[str, Any], changed: Mapping[str, Any]) -> None:
    for name, value in changed.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value


def _envelope(body: bytes, what: str = "snapshot", fields: Mapping[str, type] = _FIELDS) -> dict[str, Any]:
    envelope = json_object(body)
    for name, kind in fields.items():
        if type(envelope.get(name)) is not kind:  # exactly: True is no revision
            raise SnapshotError(f"the {what} has no {name}, or one that is not of type {kind.__name__}")
    if envelope["schema"] != SCHEMA:
        raise SnapshotError(f"the {what} has schema {envelope['schema']}; this SDK understands {SCHEMA}")
    if envelope["revision"] < 0 or not envelope["epoch"]:
        raise SnapshotError(f"the {what} has a negative revision or an empty epoch")
    return envelope


def json_object(body: bytes) -> dict[str, Any]:
    """The object in a payload. Raises SnapshotError if it holds anything else."""
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"the payload is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise SnapshotError(f"the payload is a JSON {type(value).__name__}, not an object")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _expect(name: str, found: object, expected: object, what: str = "snapshot") -> None:
    if found != expected:
        raise SnapshotError(f"the {what}'s {name} is {found!r}, expected {expected!r}")


class SnapshotCache:
    """The last known good snapshot of one service on disk, shared by the processes of a machine.

    It holds the payload as it came, never the key; only the key's hash is in its name, so that a snapshot is never
    used with a key for another environment.
    """

    def __init__(self, directory: str, url: str, service: str, key: str) -> None:
        identity = hashlib.sha256("\n".join((url, service, key)).encode()).hexdigest()[:16]
        self.path = os.path.join(directory, f"{service}-{identity}.json")
        self._service = service

    def load(self) -> tuple[Snapshot, float] | None:
        """The snapshot and the time (seconds since 1970) at which it was written, or None if there is no file.

        Raises SnapshotError if the file does not hold a whole and valid snapshot, and OSError if it cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                body, written = file.read(MAX_BYTES + 1), os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        return read_snapshot(body, self._service), written

    def save(self, snapshot: Snapshot) -> bool:
        """Keep `snapshot`, unless the file has it or a newer one already; True if it was written. Raises OSError."""
        if self._holds(snapshot):
            return False
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        temporary = f"{self.path}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
        try:
            _write_private(temporary, snapshot.body)
            os.replace(temporary, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        return True

    def _holds(self, snapshot: Snapshot) -> bool:
        try:
            with open(self.path, "rb") as file:
                body = file.read(MAX_BYTES + 1)
            held = _envelope(body)
            if held["epoch"] != snapshot.epoch or held["revision"] < snapshot.revision:
                return False
            read_snapshot(body, self._service, snapshot.environment)  # a damaged file holds nothing
        except (OSError, SnapshotError):
            return False
        return True


def _write_private(path: str, body: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    with open(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())  # else a power cut can leave an empty file in place of the last known good
