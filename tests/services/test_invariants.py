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

Deed = tuple[str, tuple[Any, ...], dict[str, Any]]
"""What to call, and with what; data, so that a failure can be read."""


def deed(name: str, *arguments: st.SearchStrategy[Any], **options: st.SearchStrategy[Any]) -> st.SearchStrategy[Deed]:
    return st.tuples(st.just(name), st.tuples(*arguments), st.fixed_dictionaries(options))


DEFINITIONS = st.fixed_dictionaries({"type": st.just("boolean"), "variants": VARIANTS, "requires": REQUIRES})
DEEDS: st.SearchStrategy[Deed] = st.one_of(
    deed("flags.replace", SERVICES, FLAGS, DEFINITIONS),
    deed("flags.patch", SERVICES, FLAGS, PATCHES),
    deed("flags.set_state", SERVICES, FLAGS, ENVIRONMENTS, STATES),
    deed("flags.delete", SERVICES, FLAGS),
    deed("kill.kill", SERVICES, FLAGS, environment=ENVIRONMENTS),
    deed("kill.restore_many", services=st.tuples(SERVICES), environment=ENVIRONMENTS, reason=st.just("x")),
    deed("segments.replace", SEGMENTS, st.fixed_dictionaries({"when": CONDITIONS})),
    deed("segments.delete", SEGMENTS),
    deed("catalog.create_environment", st.just({"key": "canary"})),
    deed("catalog.delete_environment", st.just("canary")),
)


def do(services: Services, deed: Deed) -> None:
    """Refusals are as good as anything."""
    name, arguments, options = deed
    room, verb = name.split(".")
    with suppress(ServiceError):
        getattr(getattr(services, room), verb)(ADMIN, *arguments, **options)


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
