"""What clients may do, in any order: data for property tests."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from downhaul_server.services.container import Services
from downhaul_server.services.errors import ServiceError
from hypothesis import strategies as st
from support.services import ADMIN, PRO, rule

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
