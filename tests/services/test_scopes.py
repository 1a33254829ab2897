"""Roles and scopes: each actor sees and does what the table says, and is told what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from downhaul_server.services.actors import ROLES, Action, Actor, Grant, authorize, home
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden
from support.services import ADMIN, CHECKOUT, FLAG, PRO, actor, boolean

Deed = Callable[[Services, Actor], Any]
READERS = {*ROLES} - {"killer"}

DEEDS: dict[str, tuple[Deed, set[str]]] = {
    "read a flag": (lambda s, a: s.flags.get(a, CHECKOUT, FLAG), READERS),
    "list flags": (lambda s, a: s.flags.list(a, CHECKOUT), READERS),
    "read the log": (lambda s, a: s.history.log(a, service=CHECKOUT), READERS),
    "read a history": (lambda s, a: s.history.flag(a, CHECKOUT, FLAG), READERS),
    "explain": (lambda s, a: s.evaluate.explain(a, CHECKOUT, FLAG, environment=None, context={}), READERS),
    "read a service": (lambda s, a: s.catalog.get_service(a, CHECKOUT), READERS),
    "list segments": (lambda s, a: s.segments.list(a), READERS),
    "kill": (lambda s, a: s.kill.kill(a, CHECKOUT, FLAG), {*ROLES} - {"viewer"}),
    "kill many": (lambda s, a: s.kill.kill_many(a, services=[CHECKOUT]), {*ROLES} - {"viewer"}),
    "restore": (lambda s, a: s.kill.restore(a, CHECKOUT, FLAG, reason="x"), {"editor", "approver", "admin"}),
    "create a flag": (lambda s, a: s.flags.create(a, CHECKOUT, boolean("b")), {"editor", "approver", "admin"}),
    "replace a flag": (
        lambda s, a: s.flags.replace(a, CHECKOUT, FLAG, {"type": "boolean"}),
        {"editor", "approver", "admin"},
    ),
    "patch a flag": (lambda s, a: s.flags.patch(a, CHECKOUT, FLAG, {}), {"editor", "approver", "admin"}),
    "delete a flag": (lambda s, a: s.flags.delete(a, CHECKOUT, FLAG), {"editor", "approver", "admin"}),
    "change a state": (
        lambda s, a: s.flags.set_state(a, CHECKOUT, FLAG, "staging", {"on": True}),
        {"editor", "approver", "admin"},
    ),
    "make a segment": (lambda s, a: s.segments.create(a, {"key": "p", "when": PRO}), {"editor", "approver", "admin"}),
    "make a service": (lambda s, a: s.catalog.create_service(a, {"key": "x"}), {"admin"}),
    "make an environment": (lambda s, a: s.catalog.create_environment(a, {"key": "x"}), {"admin"}),
    "rename a service": (lambda s, a: s.catalog.patch_service(a, CHECKOUT, {"name": "x"}), {"admin"}),
    "list keys": (lambda s, a: s.keys.list(a), {"admin"}),
}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_may(services: Services, role: str, deed: str) -> None:
    act, allowed = DEEDS[deed]
    if role in allowed:
        act(services, actor(role))
    else:
        with pytest.raises(Forbidden, match=f"the role {role} of ada"):
            act(services, actor(role))


FOREIGN = {*DEEDS} - {"list segments", "list keys", "make a service"}


@pytest.mark.parametrize("deed", sorted(FOREIGN))
def test_nothing_in_another_service(services: Services, deed: str) -> None:
    with pytest.raises(Forbidden, match="is not for"):
        DEEDS[deed][0](services, actor("admin", services=["payments"]))


class TestServiceScope:
    def test_lists_hold_what_the_scope_covers(self, services: Services) -> None:
        limited = actor(services=["payments"])
        assert [item["key"] for item in services.catalog.list_services(limited).items] == ["payments"]

    def test_forbidden_comes_before_not_found(self, services: Services) -> None:
        with pytest.raises(Forbidden):
            services.flags.get(actor(services=["payments"]), CHECKOUT, "nope")

    def test_an_administrator_of_some_services_makes_no_others(self, services: Services) -> None:
        with pytest.raises(Forbidden):
            services.catalog.create_service(actor("admin", services=["search"]), {"key": "other"})
        services.catalog.create_service(actor("admin", services=["search"]), {"key": "search"})


class TestEnvironmentScope:
    """An editor of staging changes staging, whichever way they do it, and nothing else."""

    @pytest.fixture
    def tester(self) -> Actor:
        return actor(environments=["staging"])

    def test_they_see_their_own(self, services: Services, tester: Actor) -> None:
        assert services.flags.get(tester, CHECKOUT, FLAG)["environments"].keys() == {"staging"}

    def test_they_change_their_own(self, services: Services, tester: Actor) -> None:
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True})
        services.flags.set_state(tester, CHECKOUT, FLAG, "staging", {"on": True})
        services.flags.patch(tester, CHECKOUT, FLAG, {"environments": {"staging": {"rules": []}}})
        seen = services.flags.get(tester, CHECKOUT, FLAG)
        seen["environments"]["staging"]["otherwise"] = {"variant": "off"}
        services.flags.replace(tester, CHECKOUT, FLAG, seen)
        environments = services.flags.get(ADMIN, CHECKOUT, FLAG)["environments"]
        assert environments["staging"]["otherwise"] == {"variant": "off"}
        assert environments["production"]["on"] is True

    def test_they_change_no_other(self, services: Services, tester: Actor) -> None:
        for attempt in (
            lambda: services.flags.set_state(tester, CHECKOUT, FLAG, "production", {"on": True}),
            lambda: services.flags.patch(tester, CHECKOUT, FLAG, {"environments": {"production": {"on": True}}}),
            lambda: services.flags.replace(
                tester, CHECKOUT, FLAG, {"type": "boolean", "environments": {"production": {"on": True}}}
            ),
            lambda: services.kill.kill(tester, CHECKOUT, FLAG, environment="production"),
        ):
            with pytest.raises(Forbidden, match="the environment production"):
                attempt()

    def test_nor_what_all_of_them_share(self, services: Services, tester: Actor) -> None:
        for attempt in (
            lambda: services.flags.patch(tester, CHECKOUT, FLAG, {"variants": {"maybe": True}}),
            lambda: services.flags.patch(tester, CHECKOUT, FLAG, {"description": "mine"}),
            lambda: services.flags.create(tester, CHECKOUT, boolean("beta")),
            lambda: services.flags.replace(tester, CHECKOUT, "beta", {"type": "boolean"}),
            lambda: services.flags.delete(tester, CHECKOUT, FLAG),
            lambda: services.segments.create(tester, {"key": "pro", "when": PRO}),
        ):
            with pytest.raises(Forbidden, match=r"every (environment|service)"):
                attempt()


SCOPES = {
    "everywhere": (Grant("{role}"), {("checkout", "production"), ("checkout", "staging"), ("payments", "staging")}),
    "one service": (
        Grant("{role}", services=frozenset({"checkout"})),
        {("checkout", "production"), ("checkout", "staging")},
    ),
    "one environment": (
        Grant("{role}", environments=frozenset({"staging"})),
        {("checkout", "staging"), ("payments", "staging")},
    ),
    "one service in one environment": (
        Grant("{role}", frozenset({"checkout"}), frozenset({"staging"})),
        {("checkout", "staging")},
    ),
}
PLACES = sorted(SCOPES["everywhere"][1])


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("action", [*Action])
@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_what_the_table_says_where_it_was_granted(role: str, action: Action, scope: str) -> None:
    shape, places = SCOPES[scope]
    ada = Actor("ada", "token", (Grant(role, shape.services, shape.environments),))
    for place in PLACES:
        allowed = action in ROLES[role] and place in places
        assert ada.reaches(*place, action) is allowed
        if allowed:
            authorize(ada, action, *place)
        else:
            with pytest.raises(Forbidden, match="ada"):
                authorize(ada, action, *place)


class TestSeveralGrants:
    """Sees everything of checkout; changes it in staging; kills in payments."""

    @pytest.fixture
    def ada(self) -> Actor:
        checkout, staging = frozenset({CHECKOUT}), frozenset({"staging"})
        grants = (
            Grant("viewer", checkout),
            Grant("editor", checkout, staging),
            Grant("operator", frozenset({"payments"})),
        )
        return Actor("ada", "person", grants)

    def test_each_holds_where_it_was_granted(self, services: Services, ada: Actor) -> None:
        assert services.flags.set_state(ada, CHECKOUT, FLAG, "staging", {"on": True})["environments"]["staging"]["on"]
        with pytest.raises(Forbidden, match="ada may not change flags and segments in the environment production"):
            services.flags.set_state(ada, CHECKOUT, FLAG, "production", {"on": True})
        with pytest.raises(Forbidden, match="ada may not kill flags in the environment production"):
            services.kill.kill(ada, CHECKOUT, FLAG, environment="production")

    def test_two_are_not_added_up_to_a_third(self, ada: Actor) -> None:
        assert ada.may(Action.EDIT) and not ada.reaches("payments", "staging", Action.EDIT)
        assert not ada.reaches(CHECKOUT, "production", Action.KILL)

    def test_what_a_tag_selects_is_killed_only_where_they_may(self, services: Services, ada: Actor) -> None:
        for service in (CHECKOUT, "payments"):
            services.flags.create(ADMIN, service, boolean("tagged", tags=["fire"]))
        killed = services.kill.kill_many(ada, tags=["fire"], environment="production")
        assert killed.flags == ("payments/tagged",)

    def test_a_whole_flag_that_they_send_leaves_what_they_only_see(self, services: Services, ada: Actor) -> None:
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True})
        seen = services.flags.get(ada, CHECKOUT, FLAG)
        assert seen["environments"].keys() == {"production", "staging"}
        kept, _ = services.flags.replace(ada, CHECKOUT, FLAG, seen | {"environments": {"staging": {"on": True}}})
        assert kept["environments"]["production"]["on"] and kept["environments"]["staging"]["on"]
        with pytest.raises(Forbidden, match="production"):
            services.flags.replace(ada, CHECKOUT, FLAG, seen | {"environments": {"production": {"on": False}}})

    def test_nobody_in_particular_has_no_home(self, ada: Actor) -> None:
        assert home(ada, "production") == "production"
        assert home(Actor("bob", "person", ()), "production") == "production"
        assert Actor("bob", "person", ()).role == "nobody"

    def test_a_key_must_fit_into_one_of_them(self, services: Services) -> None:
        checkout = frozenset({CHECKOUT})
        ada = Actor("ada", "person", (Grant("viewer"), Grant("admin", checkout)))
        document = {"kind": "sdk", "name": "a", "environment": "production"}
        assert services.keys.create(ada, document | {"services": [CHECKOUT]})["token"]
        with pytest.raises(Forbidden, match="does not reach"):
            services.keys.create(ada, document | {"services": ["payments"]})
