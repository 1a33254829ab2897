"""Rulesets that are ready to run: those of the newest snapshot, and no more compiled than has changed."""

from __future__ import annotations

import pytest
from downhaul_server.services.compiled import Compiled
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, NotFound
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, boolean, rule, sdk_key


def compiled(services: Services, service: str = CHECKOUT, environment: str = "production") -> Compiled:
    return services.compiled.get(sdk_key(environment), service)


def on(services: Services, flag: str = FLAG, service: str = CHECKOUT) -> None:
    services.flags.set_state(ADMIN, service, flag, "production", {"on": True})


def test_it_is_the_same_one_until_the_snapshot_is_another(services: Services) -> None:
    first = compiled(services)
    services.flags.set_state(ADMIN, CHECKOUT, FLAG, "staging", {"on": True})
    on(services, "new-ledger", PAYMENTS)
    assert compiled(services) is first
    on(services)
    assert compiled(services).snapshot.revision > first.snapshot.revision
    assert compiled(services).evaluators[FLAG].evaluate({}).value is True


def test_a_change_leaves_the_evaluators_of_other_flags_as_they_are(services: Services) -> None:
    before = compiled(services).evaluators
    on(services)
    after = compiled(services).evaluators
    assert after["old-banner"] is before["old-banner"]
    assert after[FLAG] is not before[FLAG]


def test_a_flag_that_requires_another_services_follows_it(services: Services) -> None:
    services.flags.create(
        ADMIN, CHECKOUT, boolean("wallet", requires=[{"flag": "payments/new-ledger", "variants": ["on"]}])
    )
    on(services, "wallet")
    assert compiled(services).evaluators["wallet"].evaluate({}).reason == "PREREQUISITE_FAILED"
    on(services, "new-ledger", PAYMENTS)
    assert compiled(services).evaluators["wallet"].evaluate({}).value is True


def test_a_flag_that_was_deleted_is_gone(services: Services) -> None:
    compiled(services)
    services.flags.delete(ADMIN, CHECKOUT, "old-banner")
    assert "old-banner" not in compiled(services).evaluators


def test_service_and_environment_are_known_and_no_context_says_otherwise(services: Services) -> None:
    here = {
        "all": [
            {"attribute": name, "op": "in", "values": [value]}
            for name, value in (("service", CHECKOUT), ("environment", "production"))
        ]
    }
    services.flags.set_state(
        ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rules": [rule(here)], "otherwise": {"variant": "off"}}
    )
    evaluator = compiled(services).evaluators[FLAG]
    assert evaluator.evaluate({"service": "another", "environment": "staging"}).value is True


def test_it_is_refused_like_the_snapshot(services: Services) -> None:
    with pytest.raises(Forbidden):
        services.compiled.get(sdk_key(services=[PAYMENTS]), CHECKOUT)
    with pytest.raises(NotFound):
        services.compiled.get(sdk_key(), "nothing")
