"""Rulesets that are ready to run: those of the newest snapshot, and no more compiled than has changed."""

from __future__ import annotations

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import NotFound
from downhaul_server.services.flag_sets import FlagSet, FlagSets
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, boolean, rule


@pytest.fixture
def sets(services: Services) -> FlagSets:
    """Nothing is compiled yet."""
    return FlagSets(services.snapshots)


def compiled(services: Services, sets: FlagSets) -> FlagSet:
    return sets.of(services.snapshots.view, CHECKOUT, "production")


def on(services: Services, flag: str = FLAG, service: str = CHECKOUT) -> None:
    services.flags.set_state(ADMIN, service, flag, "production", {"on": True})


def test_it_is_the_same_one_until_the_snapshot_is_another(services: Services, sets: FlagSets) -> None:
    first = compiled(services, sets)
    services.flags.set_state(ADMIN, CHECKOUT, FLAG, "staging", {"on": True})
    on(services, "new-ledger", PAYMENTS)
    assert compiled(services, sets) is first
    on(services)
    assert compiled(services, sets).snapshot.revision > first.snapshot.revision
    assert compiled(services, sets).evaluators[FLAG].evaluate({}).value is True


def test_a_change_leaves_the_evaluators_of_other_flags_as_they_are(services: Services, sets: FlagSets) -> None:
    before = compiled(services, sets).evaluators
    on(services)
    after = compiled(services, sets).evaluators
    assert after["old-banner"] is before["old-banner"]
    assert after[FLAG] is not before[FLAG]


def test_a_flag_that_requires_another_services_follows_it(services: Services, sets: FlagSets) -> None:
    services.flags.create(
        ADMIN, CHECKOUT, boolean("wallet", requires=[{"flag": "payments/new-ledger", "variants": ["on"]}])
    )
    on(services, "wallet")
    assert compiled(services, sets).evaluators["wallet"].evaluate({}).reason == "PREREQUISITE_FAILED"
    on(services, "new-ledger", PAYMENTS)
    assert compiled(services, sets).evaluators["wallet"].evaluate({}).value is True


def test_a_flag_that_was_deleted_is_gone(services: Services, sets: FlagSets) -> None:
    compiled(services, sets)
    services.flags.delete(ADMIN, CHECKOUT, "old-banner")
    assert "old-banner" not in compiled(services, sets).evaluators


def test_service_and_environment_are_known_and_no_context_says_otherwise(services: Services, sets: FlagSets) -> None:
    here = {
        "all": [
            {"attribute": name, "op": "in", "values": [value]}
            for name, value in (("service", CHECKOUT), ("environment", "production"))
        ]
    }
    services.flags.set_state(
        ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rules": [rule(here)], "otherwise": {"variant": "off"}}
    )
    evaluator = compiled(services, sets).evaluators[FLAG]
    assert evaluator.evaluate({"service": "another", "environment": "staging"}).value is True


def test_what_is_not_there_is_not_found(services: Services, sets: FlagSets) -> None:
    for service, environment in (("nothing", "production"), (CHECKOUT, "nowhere")):
        with pytest.raises(NotFound):
            sets.of(services.snapshots.view, service, environment)
