"""Snapshots, and changes of them: a payload is believed only after every check here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
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
    """All that one service needs in one environment, at one revision."""

    epoch: str
    revision: int
    service: str
    environment: str
    ruleset: Ruleset = field(repr=False)
    succeeds: frozenset[str] = frozenset()
    """Epochs before this one, by a decision of the service's operators."""
    digest: bytes = field(default=b"", repr=False)
    """Of the payload that it came in, if it came whole."""

    @property
    def etag(self) -> str:
        """The strong ETag by which the service knows this snapshot."""
        return f'"{self.place}"'

    @property
    def place(self) -> str:
        """Epoch and revision, as streams name them."""
        return f"{self.epoch}:{self.revision}"


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
    return Snapshot(
        epoch=envelope["epoch"],
        revision=envelope["revision"],
        service=envelope["service"],
        environment=envelope["environment"],
        ruleset=ruleset,
        succeeds=_succeeds(envelope),
        digest=digest_of(body),
    )


def digest_of(body: bytes) -> bytes:
    """By which a payload that comes again is known."""
    return hashlib.sha256(body).digest()


Change = Mapping[str, Any]
"""A change as it came, checked: `epoch`, `base`, `revision`, `flags` and `segments`, each whole, or None: removed."""


def change_snapshot(data: bytes, current: Snapshot, place: str | None = None) -> tuple[Snapshot, Change | None]:
    """`current` after the change in a streamed event, and that; no change if it is in there. `place` as above.

    Raises GapError if the change builds on another snapshot, and SnapshotError unless all of it is as it should be.
    """
    change = _envelope(data, "change", _FIELDS_OF_CHANGE)
    _expect("service", change["service"], current.service, "change")
    _expect("environment", change["environment"], current.environment, "change")
    expect_place(change, place, "change")
    if change["epoch"] == current.epoch and change["revision"] <= current.revision:
        return current, None
    if (change["epoch"], change["base"]) != (current.epoch, current.revision):
        raise GapError(f"a change builds on {change['epoch']}:{change['base']}; {current.place} is in force")
    flags, segments = change["flags"], change["segments"]
    try:
        _expect("checksum", change["checksum"], checksum(flags, segments), "change")
        ruleset = change_ruleset(current.ruleset, flags, segments)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"the change cannot be decoded: {error}") from None
    _expect("flag_count", change["flag_count"], len(ruleset.flags), "change")
    return replace(current, revision=change["revision"], ruleset=ruleset, digest=b""), change


def fold(body: bytes, changes: Iterable[Change]) -> bytes:
    """The payload of a whole snapshot after these changes, which follow from the one in `body`."""
    envelope = json_object(body)
    flags, segments = envelope["flags"], envelope["segments"]
    for change in changes:
        _patch(flags, change["flags"])
        _patch(segments, change["segments"])
        envelope["revision"] = change["revision"]
    envelope |= {"flag_count": len(flags), "checksum": checksum(flags, segments)}
    return json.dumps(envelope, separators=(",", ":")).encode("ascii")


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
