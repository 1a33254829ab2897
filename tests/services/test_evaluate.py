"""Explanations: what an instance of the service would answer now."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, NotFound
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, PRO, actor, rule, sdk_key


def explain(
    services: Services, context: dict[str, Any] | None = None, environment: str | None = None
) -> dict[str, Any]:
    return services.evaluate.explain(ADMIN, CHECKOUT, FLAG, environment=environment, context=context or {})


def test_an_answer_says_where_and_as_of_when(services: Services) -> None:
    services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rules": [rule(PRO, name="pro")]})
    answer = explain(services, {"plan": "pro"})
    assert (answer["flag"], answer["environment"]) == (FLAG, "production")
    assert (answer["value"], answer["variant"], answer["reason"], answer["rule"]) == (
        True,
        "on",
        "TARGETING_MATCH",
        "pro",
    )
    assert answer["error_code"] is None and answer["steps"]
    assert answer["revision"] == services.snapshots.get(sdk_key(), CHECKOUT).revision
    assert explain(services, environment="staging")["reason"] == "DISABLED"


def test_killed(services: Services) -> None:
    revision = services.kill.kill(ADMIN, CHECKOUT, FLAG).revision
    assert (explain(services)["reason"], explain(services)["revision"]) == ("KILLED", revision)


def test_prerequisites_and_segments_of_others_count(services: Services) -> None:
    services.segments.create(ADMIN, {"key": "pro", "when": PRO})
    services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": [{"flag": "payments/new-ledger", "variants": ["on"]}]})
    services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True})
    assert explain(services)["reason"] == "PREREQUISITE_FAILED"
    services.flags.set_state(
        ADMIN,
        PAYMENTS,
        "new-ledger",
        "production",
        {"on": True, "otherwise": {"variant": "off"}, "rules": [rule({"segment": "pro"})]},
    )
    assert explain(services, {"plan": "free"})["reason"] == "PREREQUISITE_FAILED"
    assert explain(services, {"plan": "pro"})["value"] is True


def test_an_instance_knows_its_service_and_environment(services: Services) -> None:
    here = {
        "all": [
            {"attribute": "service", "op": "in", "values": ["checkout"]},
            {"attribute": "environment", "op": "in", "values": ["production"]},
        ]
    }
    services.flags.set_state(
        ADMIN, CHECKOUT, FLAG, "production", {"on": True, "otherwise": {"variant": "off"}, "rules": [rule(here)]}
    )
    assert explain(services, {"service": "pretended", "environment": "moon"})["value"] is True


def test_the_actors_only_environment_is_meant(services: Services) -> None:
    tester = actor("viewer", environments=["staging"])
    answer = services.evaluate.explain(tester, CHECKOUT, FLAG, environment=None, context={})
    assert answer["environment"] == "staging"
    with pytest.raises(Forbidden):
        services.evaluate.explain(tester, CHECKOUT, FLAG, environment="production", context={})


@pytest.mark.parametrize(
    ("service", "flag", "environment"), [("nowhere", FLAG, None), (CHECKOUT, "nope", None), (CHECKOUT, FLAG, "moon")]
)
def test_what_is_not_there(services: Services, service: str, flag: str, environment: str | None) -> None:
    with pytest.raises(NotFound):
        services.evaluate.explain(ADMIN, service, flag, environment=environment, context={})
