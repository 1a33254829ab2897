"""A house with two services and flags in every state, one for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.browser import House, open_house

WHEN = {
    "all": [
        {"attribute": "plan", "op": "in", "values": ["pro", "team"]},
        {"any": [{"attribute": "country", "op": "in", "values": ["DE"]}, {"segment": "beta"}]},
    ]
}
SPLIT = {"split": [{"variant": "on", "weight": 25_000}, {"variant": "off", "weight": 75_000}], "by": "user"}
HOSTILE = "<img src=x onerror=alert(1)>"
"""Were it markup anywhere, the browser would ask for x and complain of what the policy forbids."""
PARTLY = {
    "on": True,
    "rules": [
        {"name": "paying", "when": WHEN, "serve": {"variant": "on"}},
        {"name": "staff", "enabled": False, "when": WHEN, "serve": {"variant": "on"}},
    ],
    "otherwise": SPLIT,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house")) as house:
        fill(house)
        yield house


@pytest.fixture
def house(built: House) -> Iterator[House]:
    yield built
    built.close_windows()


def fill(house: House) -> None:
    services, boss = house.services, house.visitor.bootstrap
    for service in ("checkout", "payments"):
        services.catalog.create_service(boss, {"key": service})
    who = {"any": [{"attribute": "user", "op": "in", "values": ["ada"]}]}
    services.segments.create(boss, {"key": "beta", "name": "Beta testers", "when": who})
    wanted = {"type": "boolean", "owner": "cart team", "tags": ["pay"], "description": "The checkout on one page"}
    services.flags.create(boss, "checkout", {**wanted, "key": "new-cart", "environments": {"production": PARTLY}})
    for number in range(3):
        on = {"production": {"on": True}}
        more = {"type": "boolean", "description": HOSTILE, "owner": HOSTILE, "tags": [HOSTILE], "environments": on}
        services.flags.create(boss, "payments", {"key": f"pay-{number}", **more})
    services.kill.kill(boss, "payments", "pay-2", environment="production", reason=f"double charges {HOSTILE}")
    services.keys.create(boss, {"kind": "api", "name": "pipeline", "role": "operator"})
