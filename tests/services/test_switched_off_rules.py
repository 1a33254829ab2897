"""A rule that is switched off stays in the flag, is in no snapshot, and is told of by an explanation."""

from __future__ import annotations

import json

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import InUse
from support.services import ADMIN, CHECKOUT, FLAG, PRO, actor, rule, sdk_key

ASLEEP = rule({"segment": "beta"}, "off", "beta") | {"enabled": False}


def asleep(services: Services, *more: dict[str, object]) -> Services:
    services.segments.create(ADMIN, {"key": "beta", "when": PRO})
    services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rules": [ASLEEP, *more]})
    return services


def test_it_stays_in_the_flag(services: Services) -> None:
    flag = asleep(services).flags.get(ADMIN, CHECKOUT, FLAG)

    assert flag["environments"]["production"]["rules"] == [ASLEEP]


def test_no_snapshot_holds_it_nor_its_segment_nor_the_word(services: Services) -> None:
    snapshot = asleep(services, rule(PRO, "off", "pro")).snapshots.get(sdk_key(), CHECKOUT)

    content = json.loads(snapshot.body)
    assert content["flags"][FLAG]["rules"] == [rule(PRO, "off", "pro")]
    assert content["segments"] == {}


def test_an_explanation_shows_it(services: Services) -> None:
    told = asleep(services).evaluate.explain(ADMIN, CHECKOUT, FLAG, environment="production", context={"plan": "pro"})

    assert (told["variant"], told["reason"]) == ("on", "STATIC")
    assert "rule 1, beta, is switched off" in [step["detail"] for step in told["steps"]]


def test_its_segment_is_in_use(services: Services) -> None:
    asleep(services)

    with pytest.raises(InUse) as caught:
        services.segments.delete(ADMIN, "beta")
    assert caught.value.by == ("flag checkout/new-checkout",)


def test_the_flag_is_on_for_all_alike_then(services: Services) -> None:
    asleep(services)

    for state, expected in (("on", 1), ("partly", 0)):
        found = services.flags.list(ADMIN, CHECKOUT, state=state, environment="production").items
        assert len(found) == expected


def test_enabled_true_is_said_by_saying_nothing(services: Services) -> None:
    asleep(services)
    awake = [ASLEEP | {"enabled": True}]

    flag = services.flags.set_state(actor(), CHECKOUT, FLAG, "production", {"rules": awake})
    again = services.flags.set_state(actor(), CHECKOUT, FLAG, "production", {"rules": awake})
    whole = services.flags.replace(
        actor(),
        CHECKOUT,
        FLAG,
        flag | {"environments": {"production": {**flag["environments"]["production"], "rules": awake}}},
    )[0]

    assert "enabled" not in flag["environments"]["production"]["rules"][0]
    assert again["version"] == flag["version"] == whole["version"]
