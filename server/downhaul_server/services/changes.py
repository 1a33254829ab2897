"""From one snapshot to another: exactly what has to be changed, as one event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downhaul.engine.checksum import checksum

from downhaul_server.services.documents import same_json
from downhaul_server.services.events import Event
from downhaul_server.services.ruleset import Content
from downhaul_server.services.snapshots import SCHEMA, Snapshot


def change_event(content: Content, revision: int, after: Snapshot) -> Event:
    """`event: change`, for a client that holds `content`, of `revision`, of the same service and environment."""
    flags = difference(content.flags, after.content.flags)
    segments = difference(content.segments, after.content.segments)
    data = {
        "schema": SCHEMA,
        "epoch": after.epoch,
        "base": revision,
        "revision": after.revision,
        "service": after.service,
        "environment": after.environment,
        "flag_count": len(after.content.flags),
        "checksum": checksum(flags, segments),
        "flags": flags,
        "segments": segments,
    }
    return Event.of("change", data, at=after.position)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What is new or not the same, whole; None for what is gone."""
    changed: dict[str, Any] = {
        name: value
        for name, value in after.items()
        if (known := before.get(name)) is not value and (known is None or not same_json(known, value))
    }
    return changed | dict.fromkeys(before.keys() - after.keys())
