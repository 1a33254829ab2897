"""Whatever clients do, in whatever order: every snapshot decodes, and its ETag tells exactly when it has changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from downhaul.engine import decode_ruleset
from downhaul.engine.checksum import checksum
from downhaul_server.services.container import Services
from downhaul_server.services.errors import ServiceError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.redis import FakeRedis
from support.services import ADMIN, PRO, opened, rule, sdk_key

SERVICES = st.sampled_from(["one", "two"])
FLAGS = st.sampled_from(["a", "b", "c"])
ENVIRONMENTS = st.sampled_from(["production", "staging", "canary"])
SEGMENTS = st.sampled_from(["x", "y"])
CONDITIONS = st.one_of(st.just(PRO), st.builds(lambda key: {"all": [{"segment": key}, PRO]}, SEGMENTS))
VARIANTS = st.sampled_from([{"on": True, "off": False}, {"yes": True, "off": False}, {"on": True, "no": False}])
NAMES = st.one_of(FLAGS, st.builds(lambda service, flag: f"{service}/{flag}", SERVICES, FLAGS))
REQUIRES = st.lists(st.builds(lambda name: {"flag": name, "variants": ["on"]}, NAMES), max_size=2)
STATES = st.fixed_dictionaries(
    {},
    optional={
        "on": st.booleans(),
        "rules": st.lists(st.builds(rule, CONDITIONS, st.sampled_from(["on", "off"])), max_size=2),
        "rollout": st.integers(0, 100),
    },
)
PATCHES = st.fixed_dictionaries(
    {},
    optional={
        "requires": REQUIRES,
        "owner": st.sampled_from(["ada", "grace"]),
        "environments": st.dictionaries(ENVIRONMENTS, st.none() | st.fixed_dictionaries({"on": st.booleans()})),
    },
)

Deed = Callable[[Services], Any]

DEEDS: st.SearchStrategy[Deed] = st.one_of(
    st.builds(
        lambda s, f, v, r: lambda to: to.flags.replace(ADMIN, s, f, {"type": "boolean", "variants": v, "requires": r}),
        SERVICES,
        FLAGS,
        VARIANTS,
        REQUIRES,
    ),
    st.builds(lambda s, f, c: lambda to: to.flags.patch(ADMIN, s, f, c), SERVICES, FLAGS, PATCHES),
    st.builds(
        lambda s, f, e, c: lambda to: to.flags.set_state(ADMIN, s, f, e, c), SERVICES, FLAGS, ENVIRONMENTS, STATES
    ),
    st.builds(lambda s, f: lambda to: to.flags.delete(ADMIN, s, f), SERVICES, FLAGS),
    st.builds(lambda s, f, e: lambda to: to.kill.kill(ADMIN, s, f, environment=e), SERVICES, FLAGS, ENVIRONMENTS),
    st.builds(
        lambda s, e: lambda to: to.kill.restore_many(ADMIN, services=[s], environment=e, reason="x"),
        SERVICES,
        ENVIRONMENTS,
    ),
    st.builds(lambda k, w: lambda to: to.segments.replace(ADMIN, k, {"when": w}), SEGMENTS, CONDITIONS),
    st.builds(lambda k: lambda to: to.segments.delete(ADMIN, k), SEGMENTS),
    st.just(lambda to: to.catalog.create_environment(ADMIN, {"key": "canary"})),
    st.just(lambda to: to.catalog.delete_environment(ADMIN, "canary")),
)


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


def check_envelope(envelope: dict[str, Any]) -> None:
    flags, segments = envelope["flags"], envelope["segments"]
    ruleset = decode_ruleset({"flags": flags, "segments": segments})
    assert all(need.flag in flags for flag in ruleset.flags.values() for need in flag.definition.requires)
    assert envelope["checksum"] == checksum(flags, segments) and envelope["flag_count"] == len(flags)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(DEEDS, min_size=10, max_size=60))
def test_every_snapshot_decodes_and_its_etag_is_exact(tmp_path: Path, deeds: list[Deed]) -> None:
    with opened(FakeRedis(), tmp_path / f"data{len(list(tmp_path.iterdir()))}") as services:
        for service in ("one", "two"):
            services.catalog.create_service(ADMIN, {"key": service})
            for flag in "ab":
                services.flags.create(ADMIN, service, {"key": flag, "type": "boolean"})
        before = snapshots(services)
        for deed in deeds:
            with suppress(ServiceError):
                deed(services)
            after = snapshots(services)
            for place, (etag, envelope) in after.items():
                check_envelope(envelope)
                if place in before:
                    older_etag, older = before[place]
                    assert envelope["revision"] >= older["revision"]
                    assert meaning(envelope) == meaning(older) or etag != older_etag
            before = after
