"""Whatever clients do, in whatever order: every snapshot is the newest, decodes, and has an ETag of its own."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from downhaul.engine import decode_ruleset
from downhaul.engine.checksum import checksum
from downhaul_server.services.container import Services
from downhaul_server.services.errors import ServiceError
from downhaul_server.services.ruleset import gather
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.deeds import DEEDS, Deed, do
from support.redis import FakeRedis
from support.services import ADMIN, opened, sdk_key


def snapshots(services: Services) -> dict[tuple[str, str], tuple[str, dict[str, Any]]]:
    """ETag and envelope by service and environment, of those that there are."""
    found = {}
    for environment in ("production", "staging", "canary"):
        for service in ("one", "two"):
            with suppress(ServiceError):
                snapshot = services.snapshots.get(sdk_key(environment), service)
                found[service, environment] = (snapshot.etag, json.loads(snapshot.body))
    return found


def meaning(envelope: dict[str, Any]) -> str:
    return json.dumps([envelope["flags"], envelope["segments"]], sort_keys=True)


def check_envelope(services: Services, envelope: dict[str, Any]) -> None:
    flags, segments = envelope["flags"], envelope["segments"]
    newest = gather(services.snapshots.view, envelope["service"], envelope["environment"])
    assert (flags, segments) == (newest.flags, newest.segments)
    ruleset = decode_ruleset({"flags": flags, "segments": segments})
    assert all(need.flag in flags for flag in ruleset.flags.values() for need in flag.definition.requires)
    assert envelope["checksum"] == checksum(flags, segments) and envelope["flag_count"] == len(flags)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example is a server: making one smaller takes minutes
)
@given(deeds=st.lists(DEEDS, min_size=10, max_size=60))
def test_every_snapshot_is_the_newest_and_decodes(tmp_path: Path, deeds: list[Deed]) -> None:
    with opened(FakeRedis(), tmp_path / f"data{len(list(tmp_path.iterdir()))}") as services:
        for service in ("one", "two"):
            services.catalog.create_service(ADMIN, {"key": service})
            for flag in "ab":
                services.flags.create(ADMIN, service, {"key": flag, "type": "boolean"})
        before = snapshots(services)
        for deed in deeds:
            do(services, deed)
            after = snapshots(services)
            for place, (etag, envelope) in after.items():
                check_envelope(services, envelope)
                if place in before:
                    older_etag, older = before[place]
                    assert envelope["revision"] >= older["revision"]
                    assert meaning(envelope) == meaning(older) or etag != older_etag
            before = after
