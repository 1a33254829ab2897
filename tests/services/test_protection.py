"""Protected environments: what is held up there, and that off never is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import ApprovalRequired, Forbidden, Invalid
from support.services import ADMIN, CHECKOUT, COLOURS, FLAG, PRO, actor, boolean, rule

EDITOR = actor("editor")
MANAGER = actor("admin", name="manager")
BETA = {"key": "beta", "when": PRO}

Deed = Callable[[Services, dict[str, Any]], Any]


def state(changes: dict[str, Any], environment: str = "production") -> Deed:
    return lambda s, why: s.flags.set_state(EDITOR, CHECKOUT, FLAG, environment, changes, **why)


def patch(changes: dict[str, Any], flag: str = FLAG) -> Deed:
    return lambda s, why: s.flags.patch(EDITOR, CHECKOUT, flag, changes, **why)


def replace(**parts: Any) -> Deed:
    return lambda s, why: s.flags.replace(EDITOR, CHECKOUT, FLAG, {"type": "boolean", **parts}, **why)


HELD_UP: dict[str, Deed] = {
    "a rollout": state({"rollout": 25}),
    "rules": state({"rules": [rule(PRO)]}),
    "switching off and something else": state({"on": False, "rules": [rule(PRO)]}),
    "a patch of the state": patch({"environments": {"production": {"otherwise": {"variant": "off"}}}}),
    "a patch of every state": patch({"environments": None}),
    "a replacement that forgets the state": replace(environments={"production": {"on": True, "rules": [rule(PRO)]}}),
    "variants": patch({"variants": {"late": False}}),
    "what off means": patch({"off_variant": "on"}),
    "what it requires": patch({"requires": [{"flag": "old-banner", "variants": ["on"]}]}),
    "deletion": lambda s, why: s.flags.delete(EDITOR, CHECKOUT, FLAG, **why),
    "deletion of what is off": lambda s, why: s.flags.delete(EDITOR, CHECKOUT, "old-banner", **why),
    "switching on": lambda s, why: s.flags.set_state(EDITOR, CHECKOUT, "old-banner", "production", {"on": True}, **why),
    "a new flag that is on": lambda s, why: s.flags.create(
        EDITOR, CHECKOUT, boolean("newest", environments={"production": {"on": True}}), **why
    ),
    "a segment": lambda s, why: s.segments.replace(EDITOR, "beta", {"when": {"not": PRO}}, **why),
    "a segment inside a segment": lambda s, why: s.segments.replace(EDITOR, "inner", {"when": {"not": PRO}}, **why),
    "a restore": lambda s, why: s.kill.restore(EDITOR, CHECKOUT, "killed", reason=why.get("reason", "x")),
    "a restore of many": lambda s, why: s.kill.restore_many(EDITOR, services=[CHECKOUT], reason=why.get("reason", "x")),
    "less protection": lambda s, why: s.catalog.patch_environment(MANAGER, "production", {"protected": False}, **why),
    "the end of what is protected": lambda s, why: s.catalog.delete_environment(MANAGER, "vault", **why),
}
"""What somebody does with a flag that is on in production, for half of the users."""

RESTORES = {"a restore", "a restore of many"}

PASSES: dict[str, Deed] = {
    "switching off": state({"on": False}),
    "switching off by a patch": patch({"environments": {"production": {"on": False}}}),
    "another environment": state({"on": True, "rollout": 3}, "staging"),
    "a description": patch({"description": "new words", "owner": "ada", "tags": ["a"]}),
    "nothing": patch({}),
    "a new flag that is off": lambda s, why: s.flags.create(EDITOR, CHECKOUT, boolean("newest"), **why),
    "variants of a flag that is off": patch({"variants": {"on": True, "off": False, "late": True}}, "old-banner"),
    "a segment that nobody uses": lambda s, why: s.segments.replace(EDITOR, "alone", {"when": {"not": PRO}}, **why),
    "a segment's name": lambda s, why: s.segments.replace(EDITOR, "beta", {"when": {"segment": "inner"}, "name": "B"}),
    "a kill": lambda s, why: s.kill.kill(EDITOR, CHECKOUT, FLAG),
    "a kill of many": lambda s, why: s.kill.kill_many(EDITOR, services=[CHECKOUT]),
    "more protection": lambda s, why: s.catalog.patch_environment(MANAGER, "production", {"approvals": 3}),
    "another name": lambda s, why: s.catalog.patch_environment(MANAGER, "production", {"name": "Live"}),
}


@pytest.fixture
def house(services: Services) -> Services:
    """One flag on for some, one off, one killed; a segment in use; production not protected yet."""
    services.segments.create(ADMIN, {"key": "inner", "when": PRO})
    services.segments.create(ADMIN, {"key": "beta", "when": {"segment": "inner"}})
    services.segments.create(ADMIN, {"key": "alone", "when": PRO})
    services.catalog.create_environment(ADMIN, {"key": "vault", "protected": True})
    changes = {"on": True, "rollout": 50, "rules": [rule({"segment": "beta"})]}
    services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", changes)
    services.flags.create(ADMIN, CHECKOUT, boolean("killed", environments={"production": {"on": True}}))
    services.kill.kill(ADMIN, CHECKOUT, "killed", environment="production")
    return services


def protect(services: Services, approvals: int) -> Services:
    for environment in ("production", "vault"):
        services.catalog.patch_environment(ADMIN, environment, {"protected": True, "approvals": approvals}, reason="x")
    return services


@pytest.mark.parametrize("deed", sorted({*HELD_UP} - RESTORES))
def test_without_a_reason_it_is_refused(house: Services, deed: str) -> None:
    protect(house, 0)
    with pytest.raises(Invalid) as refused:
        HELD_UP[deed](house, {})
    assert refused.value.errors[0][0] == ("reason",)
    with pytest.raises(Invalid, match="reason"):
        HELD_UP[deed](house, {"reason": "  "})


@pytest.mark.parametrize("deed", HELD_UP)
def test_with_a_reason_it_is_done_and_the_reason_is_in_the_log(house: Services, deed: str) -> None:
    protect(house, 0)
    HELD_UP[deed](house, {"reason": "because"})
    assert house.history.log(ADMIN, limit=1).items[0]["reason"] == "because"


@pytest.mark.parametrize("deed", HELD_UP)
def test_where_approvals_are_demanded_it_is_refused_and_says_how_to_ask(house: Services, deed: str) -> None:
    protect(house, 1)
    revision = house._store.view.revision
    with pytest.raises(ApprovalRequired, match="POST /api/v1/reviews") as refused:
        HELD_UP[deed](house, {"reason": "because"})
    assert {*refused.value.environments} <= {"production", "vault"}
    assert refused.value.approvals == 1
    assert house._store.view.revision == revision


@pytest.mark.parametrize("deed", HELD_UP)
def test_where_nothing_is_protected_nothing_is_asked(house: Services, deed: str) -> None:
    house.catalog.patch_environment(ADMIN, "vault", {"protected": False}, reason="x")
    HELD_UP[deed](house, {})


@pytest.mark.parametrize("deed", PASSES)
@pytest.mark.parametrize("approvals", [0, 3])
def test_off_and_what_changes_nothing_passes_without_anything(house: Services, deed: str, approvals: int) -> None:
    protect(house, min(approvals, 2))
    PASSES[deed](house, {})


def test_a_killed_flag_may_be_switched_off_but_not_be_prepared_for_its_return(house: Services) -> None:
    protect(house, 1)
    house.flags.set_state(EDITOR, CHECKOUT, "killed", "production", {"on": False})
    with pytest.raises(ApprovalRequired):
        house.flags.patch(EDITOR, CHECKOUT, "killed", {"variants": {"late": True}}, reason="x")


def test_the_value_of_off_is_what_everybody_gets(house: Services) -> None:
    house.flags.create(EDITOR, CHECKOUT, COLOURS)
    protect(house, 1)
    house.flags.patch(EDITOR, CHECKOUT, "colour", {"variants": {"red": "#e00"}})
    with pytest.raises(ApprovalRequired):
        house.flags.patch(EDITOR, CHECKOUT, "colour", {"variants": {"none": "transparent"}}, reason="x")


def test_the_bootstrap_administrator_may_break_the_glass_and_the_log_says_so(house: Services) -> None:
    protect(house, 2)
    with pytest.raises(Invalid, match="reason"):
        house.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rollout": 1})
    house.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rollout": 1}, reason="all approvers are asleep")
    entry = house.history.log(ADMIN, limit=1).items[0]
    assert entry["broke_glass"] == ["production"]
    assert house.history.flag(ADMIN, CHECKOUT, FLAG, limit=1).items[0]["broke_glass"] == ["production"]


def test_another_administrator_may_not(house: Services) -> None:
    protect(house, 1)
    with pytest.raises(ApprovalRequired):
        house.catalog.patch_environment(MANAGER, "production", {"approvals": 0}, reason="it is in my way")


def test_protection_raises_no_right(house: Services) -> None:
    protect(house, 1)
    with pytest.raises(Forbidden):
        house.flags.set_state(actor("viewer"), CHECKOUT, FLAG, "production", {"on": False})


def test_a_drill_is_not_held_up(house: Services) -> None:
    protect(house, 1)
    operator: Actor = actor("operator")
    answer = house.drills.run(operator, environment="production", services=[CHECKOUT], wait=0)
    assert answer["environment"] == "production"


class TestEnvironments:
    def test_they_are_not_protected_unless_somebody_says_so(self, services: Services) -> None:
        made = services.catalog.create_environment(ADMIN, {"key": "qa"})
        assert (made["protected"], made["approvals"], made["review_days"]) == (False, 0, 7)
        assert services.catalog.get_environment(ADMIN, "production")["protected"] is False

    def test_approvals_are_for_protected_ones(self, services: Services) -> None:
        with pytest.raises(Invalid, match="approvals: only a protected environment"):
            services.catalog.patch_environment(ADMIN, "staging", {"approvals": 1})
        services.catalog.patch_environment(ADMIN, "staging", {"protected": True, "approvals": 1})
        freed = services.catalog.patch_environment(ADMIN, "staging", {"protected": False}, reason="x")
        assert (freed["protected"], freed["approvals"]) == (False, 0)

    def test_only_administrators_protect(self, services: Services) -> None:
        with pytest.raises(Forbidden):
            services.catalog.patch_environment(EDITOR, "staging", {"protected": True})
