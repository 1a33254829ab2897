"""Flags: made with defaults, replaced, patched, changed in one environment; never more than was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import AlreadyExists, Invalid, NotFound, VersionMismatch
from support.services import ADMIN, CHECKOUT, COLOURS, FLAG, PAYMENTS, PRO, boolean, rule

OFF = {"on": False, "killed": None, "rules": [], "otherwise": {"variant": "on"}}


def state(services: Services, environment: str = "production", flag: str = FLAG) -> dict[str, Any]:
    """One flag's state as clients see it."""
    return services.flags.get(ADMIN, CHECKOUT, flag)["environments"][environment]  # type: ignore[no-any-return]


class TestCreate:
    def test_a_boolean_flag_needs_nothing_but_its_type(self, services: Services) -> None:
        made = services.flags.create(ADMIN, CHECKOUT, boolean("beta"))
        assert made == {
            "key": "beta",
            "service": "checkout",
            "type": "boolean",
            "description": "",
            "owner": "",
            "purpose": "release",
            "tags": [],
            "expires": None,
            "client": False,
            "salt": "checkout/beta",
            "variants": {"on": True, "off": False},
            "off_variant": "off",
            "requires": [],
            "metadata": {},
            "environments": {"production": OFF, "staging": OFF},
            "version": made["version"],
            "created_at": made["updated_at"],
            "updated_at": made["updated_at"],
        }
        assert services.flags.get(ADMIN, CHECKOUT, "beta") == made

    def test_other_types_serve_their_off_variant_until_told_otherwise(self, services: Services) -> None:
        made = services.flags.create(ADMIN, CHECKOUT, COLOURS)
        assert made["environments"]["staging"]["otherwise"] == {"variant": "none"}

    def test_a_state_that_is_given_in_part_is_filled_in(self, services: Services) -> None:
        made = services.flags.create(
            ADMIN, CHECKOUT, boolean("beta", environments={"staging": {"on": True, "rules": [rule(PRO)]}})
        )
        assert made["environments"]["staging"] == OFF | {"on": True, "rules": [rule(PRO)]}
        assert made["environments"]["production"] == OFF

    def test_variants_keep_the_order_in_which_they_were_given(self, services: Services) -> None:
        services.flags.create(ADMIN, CHECKOUT, COLOURS)
        services.flags.patch(ADMIN, CHECKOUT, "colour", {"description": "Of the button"})
        assert list(services.flags.get(ADMIN, CHECKOUT, "colour")["variants"]) == ["none", "red", "blue"]

    def test_a_boolean_flag_with_variants_of_its_own(self, services: Services) -> None:
        made = services.flags.create(ADMIN, CHECKOUT, boolean("beta", variants={"no": False, "yes": True}))
        assert made["off_variant"] == "no"
        assert made["environments"]["production"]["otherwise"] == {"variant": "yes"}

    def test_a_salt_may_be_brought_along(self, services: Services) -> None:
        assert (
            services.flags.create(ADMIN, CHECKOUT, boolean("beta", salt="from-elsewhere"))["salt"] == "from-elsewhere"
        )

    def test_twice_is_refused(self, services: Services) -> None:
        with pytest.raises(AlreadyExists):
            services.flags.create(ADMIN, CHECKOUT, boolean())

    def test_the_same_key_in_another_service_is_another_flag(self, services: Services) -> None:
        assert services.flags.create(ADMIN, PAYMENTS, boolean())["service"] == PAYMENTS

    def test_a_service_is_needed(self, services: Services) -> None:
        with pytest.raises(NotFound, match="no service nowhere"):
            services.flags.create(ADMIN, "nowhere", boolean())

    def test_an_environment_made_later_is_off(self, services: Services) -> None:
        services.catalog.create_environment(ADMIN, {"key": "canary"})
        assert state(services, "canary") == OFF

    def test_what_is_answered_can_be_changed_without_harm(self, services: Services) -> None:
        services.flags.get(ADMIN, CHECKOUT, FLAG)["variants"]["on"] = "spoilt"
        assert services.flags.get(ADMIN, CHECKOUT, FLAG)["variants"]["on"] is True


class TestReplace:
    def test_an_absent_flag_is_made(self, services: Services) -> None:
        made, created = services.flags.replace(ADMIN, CHECKOUT, "beta", {"type": "boolean"})
        assert created and made["key"] == "beta"

    def test_what_is_left_out_has_its_default_again(self, services: Services) -> None:
        services.flags.patch(ADMIN, CHECKOUT, FLAG, {"tags": ["x"], "environments": {"production": {"on": True}}})
        after, created = services.flags.replace(ADMIN, CHECKOUT, FLAG, {"type": "boolean"})
        assert not created
        assert after["tags"] == [] and after["environments"]["production"] == OFF

    def test_a_flag_can_be_sent_back_as_it_came(self, services: Services) -> None:
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        before = services.flags.get(ADMIN, CHECKOUT, FLAG)
        assert services.flags.replace(ADMIN, CHECKOUT, FLAG, before) == (before, False)

    def test_the_salt_stays(self, services: Services) -> None:
        services.flags.create(ADMIN, CHECKOUT, boolean("beta", salt="mine"))
        assert services.flags.replace(ADMIN, CHECKOUT, "beta", {"type": "boolean"})[0]["salt"] == "mine"
        with pytest.raises(Invalid, match="salt: cannot be changed"):
            services.flags.replace(ADMIN, CHECKOUT, "beta", {"type": "boolean", "salt": "other"})

    def test_a_kill_stays(self, services: Services) -> None:
        services.kill.kill(ADMIN, CHECKOUT, FLAG, reason="smoke")
        document = {"type": "boolean", "environments": {"production": {"on": True, "killed": None}}}
        after, _ = services.flags.replace(ADMIN, CHECKOUT, FLAG, document)
        assert after["environments"]["production"]["killed"]["reason"] == "smoke"
        services.flags.replace(ADMIN, CHECKOUT, FLAG, {"type": "boolean"})
        assert state(services)["killed"]["reason"] == "smoke"

    def test_an_edit_cannot_kill(self, services: Services) -> None:
        document = {"type": "boolean", "environments": {"production": {"killed": {"at": "", "by": "", "reason": ""}}}}
        with pytest.raises(Invalid, match=r"environments\.production\.killed: is set by a kill only"):
            services.flags.replace(ADMIN, CHECKOUT, FLAG, document)

    def test_a_key_outside_the_rules_is_refused(self, services: Services) -> None:
        with pytest.raises(Invalid, match="key: expected a key that matches"):
            services.flags.replace(ADMIN, CHECKOUT, "Not A Key", {"type": "boolean"})


class TestVersions:
    def test_the_right_version_passes(self, services: Services) -> None:
        version = services.flags.get(ADMIN, CHECKOUT, FLAG)["version"]
        after = services.flags.patch(ADMIN, CHECKOUT, FLAG, {"owner": "ada"}, if_match=version)
        assert after["version"] > version

    def test_an_older_one_is_told_the_current(self, services: Services) -> None:
        version = services.flags.get(ADMIN, CHECKOUT, FLAG)["version"]
        newer = services.flags.patch(ADMIN, CHECKOUT, FLAG, {"owner": "ada"})["version"]
        with pytest.raises(VersionMismatch) as refused:
            services.flags.set_state(ADMIN, CHECKOUT, FLAG, "staging", {"on": True}, if_match=version)
        assert refused.value.current_version == newer

    def test_of_a_flag_that_is_not_there(self, services: Services) -> None:
        with pytest.raises(VersionMismatch) as refused:
            services.flags.replace(ADMIN, CHECKOUT, "beta", {"type": "boolean"}, if_match=7)
        assert refused.value.current_version == 0

    @pytest.mark.parametrize(
        "changes", [{}, {"owner": ""}, {"environments": {"production": {"on": False}}}, {"tags": None}]
    )
    def test_a_change_that_changes_nothing_leaves_no_trace(self, services: Services, changes: dict[str, Any]) -> None:
        before = services.flags.get(ADMIN, CHECKOUT, FLAG)
        assert services.flags.patch(ADMIN, CHECKOUT, FLAG, changes) == before
        assert services.history.flag(ADMIN, CHECKOUT, FLAG).items[0]["revision"] == before["version"]

    def test_one_is_not_true(self, services: Services) -> None:
        flag = {"key": "limits", "type": "json", "variants": {"off": None, "a": {"x": 1}}, "off_variant": "off"}
        services.flags.create(ADMIN, CHECKOUT, flag)
        after = services.flags.patch(ADMIN, CHECKOUT, "limits", {"variants": {"a": {"x": True}}})
        assert after["variants"]["a"] == {"x": True}


class TestPatch:
    def test_objects_merge_and_null_removes(self, services: Services) -> None:
        services.flags.create(ADMIN, CHECKOUT, COLOURS)
        after = services.flags.patch(ADMIN, CHECKOUT, "colour", {"variants": {"red": None, "green": "#0f0"}})
        assert after["variants"] == {"none": "", "blue": "#00f", "green": "#0f0"}

    def test_one_environment_leaves_the_others_alone(self, services: Services) -> None:
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "staging", {"on": True})
        after = services.flags.patch(ADMIN, CHECKOUT, FLAG, {"environments": {"production": {"rules": [rule(PRO)]}}})
        assert after["environments"]["staging"]["on"] is True
        assert after["environments"]["production"]["rules"] == [rule(PRO)]

    def test_a_variant_takes_the_place_of_a_split_and_back(self, services: Services) -> None:
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rollout": 5})
        for otherwise in ({"variant": "off"}, {"split": [{"variant": "on", "weight": 100000}], "by": "tenant"}):
            services.flags.patch(ADMIN, CHECKOUT, FLAG, {"environments": {"production": {"otherwise": otherwise}}})
            assert state(services)["otherwise"] == otherwise

    def test_null_gives_a_state_its_default_but_lifts_no_kill(self, services: Services) -> None:
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True})
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        services.flags.patch(ADMIN, CHECKOUT, FLAG, {"environments": {"production": None}})
        assert state(services)["on"] is False and state(services)["killed"]


class TestState:
    @pytest.mark.parametrize(
        ("percent", "weight"), [(25, 25_000), (0.125, 125), (33.333, 33_333), (0, 0), (100, 100_000), (7.0, 7000)]
    )
    def test_a_rollout_is_a_split_between_on_and_off(self, services: Services, percent: float, weight: int) -> None:
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rollout": percent})
        split = [{"variant": "on", "weight": weight}, {"variant": "off", "weight": 100_000 - weight}]
        assert state(services) == {"on": True, "killed": None, "rules": [], "otherwise": {"split": split, "by": "user"}}

    def test_a_rollout_keeps_its_unit_until_it_is_given_another(self, services: Services) -> None:
        for changes, unit in [
            ({"rollout": 5, "by": "tenant"}, "tenant"),
            ({"rollout": 20}, "tenant"),
            ({"rollout": 20, "by": "user"}, "user"),
        ]:
            services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", changes)
            assert state(services)["otherwise"]["by"] == unit

    def test_a_rollout_serves_the_first_variant_that_is_not_off(self, services: Services) -> None:
        services.flags.create(ADMIN, CHECKOUT, COLOURS)
        services.flags.set_state(ADMIN, CHECKOUT, "colour", "production", {"rollout": 10})
        assert state(services, flag="colour")["otherwise"]["split"][0] == {"variant": "red", "weight": 10_000}

    @pytest.mark.parametrize("percent", [-1, 100.001, 12.3456, True, float("nan"), "25"])
    def test_no_percentage(self, services: Services, percent: Any) -> None:
        with pytest.raises(Invalid, match="rollout: expected a percentage"):
            services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rollout": percent})

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"by": "user"}, ("by",)),
            ({"rollout": 5, "otherwise": {"variant": "on"}}, ("rollout",)),
            ({"rollout": 5, "by": 7}, ("by",)),
            ({"otherwise": {"variant": "nope"}}, ("otherwise", "variant")),
            (
                {"rules": [rule({"attribute": "a", "op": "matches", "values": ["("]})]},
                ("rules", 0, "when", "values", 0),
            ),
            ({"rules": [rule({"all": [{"segment": "nope"}]})]}, ("rules", 0, "when", "all", 0, "segment")),
            ({"on": "yes"}, ("on",)),
            ({"killed": {"by": "me"}}, ("killed",)),
            ({"oops": 1}, ("oops",)),
        ],
    )
    def test_faults_are_told_with_their_place(
        self, services: Services, changes: dict[str, Any], path: tuple[str | int, ...]
    ) -> None:
        with pytest.raises(Invalid) as refused:
            services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", changes)
        assert [place for place, _ in refused.value.errors] == [path]

    def test_a_flag_without_another_variant_cannot_be_rolled_out(self, services: Services) -> None:
        services.flags.create(
            ADMIN, CHECKOUT, {"key": "only", "type": "string", "variants": {"a": ""}, "off_variant": "a"}
        )
        with pytest.raises(Invalid, match="no other variant"):
            services.flags.set_state(ADMIN, CHECKOUT, "only", "production", {"rollout": 5})

    def test_an_environment_that_is_not_there(self, services: Services) -> None:
        with pytest.raises(NotFound, match="no environment moon"):
            services.flags.set_state(ADMIN, CHECKOUT, FLAG, "moon", {"on": True})

    def test_the_reason_is_logged(self, services: Services) -> None:
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True}, reason="launch")
        assert services.history.flag(ADMIN, CHECKOUT, FLAG).items[0]["reason"] == "launch"

    def test_turning_on_what_is_killed_lifts_nothing(self, services: Services) -> None:
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rollout": 100})
        assert state(services)["on"] is True and state(services)["killed"]


class TestFaults:
    """What a whole document can get wrong, beyond its shape."""

    @pytest.mark.parametrize(
        ("document", "path"),
        [
            ({"type": "colour"}, ("type",)),
            ({"type": "string"}, ("variants",)),
            ({"type": "string", "variants": {"a": "x"}}, ("off_variant",)),
            ({"type": "string", "variants": {"a": "x"}, "off_variant": "b"}, ("off_variant",)),
            ({"type": "string", "variants": {"a": 1}, "off_variant": "a"}, ("variants", "a")),
            ({"type": "number", "variants": {"a": True}, "off_variant": "a"}, ("variants", "a")),
            ({"type": "number", "variants": {"a": float("inf")}, "off_variant": "a"}, ("variants", "a")),
            ({"type": "boolean", "variants": {"on": 1, "off": 0}}, ("variants", "on")),
            ({"type": "boolean", "colour": "red"}, ("colour",)),
            ({"type": "boolean", "service": "payments"}, ("service",)),
            ({"type": "boolean", "environments": {"moon": {}}}, ("environments", "moon")),
            ({"type": "boolean", "environments": {"staging": {"off": True}}}, ("environments", "staging", "off")),
            (
                {"type": "boolean", "environments": {"staging": {"otherwise": {"variant": "x"}}}},
                ("environments", "staging", "otherwise", "variant"),
            ),
            (
                {"type": "boolean", "environments": {"staging": {"rules": [rule({"segment": "nope"})]}}},
                ("environments", "staging", "rules", 0, "when", "segment"),
            ),
            ({"type": "boolean", "requires": [{"flag": "nope", "variants": ["on"]}]}, ("requires", 0, "flag")),
            (
                {"type": "boolean", "requires": [{"flag": "payments/new-ledger", "variants": ["on", "x"]}]},
                ("requires", 0, "variants", 1),
            ),
        ],
    )
    def test_each_is_told_with_its_place(
        self, services: Services, document: dict[str, Any], path: tuple[str | int, ...]
    ) -> None:
        for write in (
            lambda: services.flags.create(ADMIN, CHECKOUT, {"key": "beta", **document}),
            lambda: services.flags.replace(ADMIN, CHECKOUT, FLAG, document),
        ):
            with pytest.raises(Invalid) as refused:
                write()
            assert [place for place, _ in refused.value.errors] == [path]

    def test_a_rule_that_serves_a_variant_holds_it(self, services: Services) -> None:
        services.flags.create(ADMIN, CHECKOUT, COLOURS)
        services.flags.set_state(ADMIN, CHECKOUT, "colour", "staging", {"rules": [rule(PRO, "red")]})
        with pytest.raises(Invalid) as refused:
            services.flags.patch(ADMIN, CHECKOUT, "colour", {"variants": {"red": None}})
        assert refused.value.errors[0][0] == ("environments", "staging", "rules", 0, "serve", "variant")


class TestDelete:
    def test_it_is_gone(self, services: Services) -> None:
        services.flags.delete(ADMIN, CHECKOUT, FLAG)
        with pytest.raises(NotFound):
            services.flags.get(ADMIN, CHECKOUT, FLAG)
        with pytest.raises(NotFound):
            services.flags.delete(ADMIN, CHECKOUT, FLAG)

    def test_only_at_the_version_that_was_meant(self, services: Services) -> None:
        with pytest.raises(VersionMismatch):
            services.flags.delete(ADMIN, CHECKOUT, FLAG, if_match=1)


class TestList:
    @pytest.fixture
    def many(self, services: Services) -> Services:
        make, state = services.flags.create, services.flags.set_state
        make(ADMIN, CHECKOUT, boolean("one", tags=["pay", "ui"], owner="ada", description="The FIRST"))
        make(ADMIN, CHECKOUT, boolean("two", tags=["pay"], purpose="ops"))
        state(ADMIN, CHECKOUT, "one", "production", {"on": True})
        state(ADMIN, CHECKOUT, "two", "production", {"on": True, "rollout": 5})
        state(ADMIN, CHECKOUT, "old-banner", "production", {"on": True, "rollout": 100})
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        return services

    @pytest.mark.parametrize(
        ("filters", "keys"),
        [
            ({}, ["new-checkout", "old-banner", "one", "two"]),
            ({"tag": "pay"}, ["one", "two"]),
            ({"tag": "pay", "purpose": "ops"}, ["two"]),
            ({"owner": "ada"}, ["one"]),
            ({"query": "first"}, ["one"]),
            ({"query": "BANNER"}, ["old-banner"]),
            ({"state": "killed"}, ["new-checkout"]),
            ({"state": "on"}, ["old-banner", "one"]),
            ({"state": "partly"}, ["two"]),
            ({"state": "off"}, []),
            ({"state": "off", "environment": "staging"}, ["new-checkout", "old-banner", "one", "two"]),
        ],
    )
    def test_filters(self, many: Services, filters: dict[str, str], keys: list[str]) -> None:
        assert [flag["key"] for flag in many.flags.list(ADMIN, CHECKOUT, **filters).items] == keys  # type: ignore[arg-type]

    def test_pages_hold_everything_once(self, many: Services) -> None:
        found, cursor = [], None
        while True:
            page = many.flags.list(ADMIN, CHECKOUT, limit=3, cursor=cursor)
            found += [flag["key"] for flag in page.items]
            if (cursor := page.next) is None:
                break
        assert found == ["new-checkout", "old-banner", "one", "two"]

    def test_a_cursor_of_somebody_else(self, many: Services) -> None:
        with pytest.raises(Invalid, match="cursor"):
            many.flags.list(ADMIN, CHECKOUT, cursor="!")

    def test_a_service_that_is_not_there(self, services: Services) -> None:
        with pytest.raises(NotFound):
            services.flags.list(ADMIN, "nowhere")
