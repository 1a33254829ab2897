"""Nothing points to nowhere: segments in rules, flags in `requires`, and who uses what cannot be removed."""

from __future__ import annotations

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import AlreadyExists, InUse, Invalid, NotFound, VersionMismatch
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, PRO, boolean, rule

LEDGER = {"flag": "payments/new-ledger", "variants": ["on"]}


class TestRequires:
    def test_a_flag_of_another_service(self, services: Services) -> None:
        after = services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": [LEDGER]})
        assert after["requires"] == [LEDGER]

    def test_what_is_required_cannot_be_deleted(self, services: Services) -> None:
        services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": [LEDGER]})
        with pytest.raises(InUse, match="flag payments/new-ledger is in use by flag checkout/new-checkout") as refused:
            services.flags.delete(ADMIN, PAYMENTS, "new-ledger")
        assert refused.value.by == ("flag checkout/new-checkout",)
        services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": []})
        services.flags.delete(ADMIN, PAYMENTS, "new-ledger")

    def test_a_required_variant_cannot_be_removed(self, services: Services) -> None:
        services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": [LEDGER]})
        renamed = {"type": "boolean", "variants": {"yes": True, "off": False}}
        with pytest.raises(InUse, match="variant on of flag payments/new-ledger"):
            services.flags.replace(ADMIN, PAYMENTS, "new-ledger", renamed)

    def test_a_flag_cannot_require_itself(self, services: Services) -> None:
        for key in (FLAG, "brand-new"):
            with pytest.raises(Invalid, match="require each other"):
                services.flags.replace(
                    ADMIN, CHECKOUT, key, {"type": "boolean", "requires": [{"flag": key, "variants": ["on"]}]}
                )

    def test_nor_by_way_of_others(self, services: Services) -> None:
        services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": [LEDGER]})
        services.flags.patch(ADMIN, CHECKOUT, "old-banner", {"requires": [{"flag": FLAG, "variants": ["on"]}]})
        round_trip = [{"flag": "checkout/old-banner", "variants": ["on"]}]
        with pytest.raises(Invalid, match=r"requires: .*payments/new-ledger.* require each other"):
            services.flags.patch(ADMIN, PAYMENTS, "new-ledger", {"requires": round_trip})

    def test_chains_are_bounded(self, services: Services) -> None:
        inner = "payments/new-ledger"
        for number in range(31):
            services.flags.create(
                ADMIN, CHECKOUT, boolean(f"f{number}", requires=[{"flag": inner, "variants": ["on"]}])
            )
            inner = f"f{number}"
        for write in (
            lambda: services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": [{"flag": inner, "variants": ["on"]}]}),
            lambda: services.flags.patch(
                ADMIN, PAYMENTS, "new-ledger", {"requires": [{"flag": "checkout/old-banner", "variants": ["on"]}]}
            ),
        ):
            with pytest.raises(Invalid, match="requires: expected chains of at most 32 flags"):
                write()

    def test_what_doubles_at_every_step_is_refused(self, services: Services) -> None:
        inner = "payments/new-ledger"

        def double(number: int) -> str:
            twice = [{"flag": inner, "variants": [variant]} for variant in ("on", "off")]
            return str(services.flags.create(ADMIN, CHECKOUT, boolean(f"f{number}", requires=twice))["key"])

        for number in range(8):
            inner = double(number)
        with pytest.raises(Invalid, match="requires: expected at most 1000 flags"):
            double(9)

    def test_two_that_require_the_same_are_no_cycle(self, services: Services) -> None:
        services.flags.patch(ADMIN, CHECKOUT, "old-banner", {"requires": [LEDGER]})
        needs = [LEDGER, {"flag": "old-banner", "variants": ["off"]}]
        assert services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": needs})["requires"] == needs


class TestSegments:
    @pytest.fixture
    def segmented(self, services: Services) -> Services:
        services.segments.create(ADMIN, {"key": "pro", "name": "Professionals", "when": PRO})
        services.segments.create(ADMIN, {"key": "beta", "when": {"any": [{"segment": "pro"}]}})
        return services

    def test_made_read_and_listed(self, segmented: Services) -> None:
        made = segmented.segments.get(ADMIN, "beta")
        assert made == {
            "key": "beta",
            "name": "beta",
            "when": {"any": [{"segment": "pro"}]},
            "version": made["version"],
            "created_at": made["created_at"],
            "updated_at": made["created_at"],
        }
        assert [item["key"] for item in segmented.segments.list(ADMIN).items] == ["beta", "pro"]
        assert [item["key"] for item in segmented.segments.list(ADMIN, query="PROFESS").items] == ["pro"]

    def test_replaced(self, segmented: Services) -> None:
        after, created = segmented.segments.replace(ADMIN, "pro", {"when": {"not": PRO}})
        assert not created and after["when"] == {"not": PRO} and after["name"] == "pro"
        assert segmented.segments.replace(ADMIN, "pro", after) == (after, False)
        assert segmented.segments.replace(ADMIN, "new", {"when": PRO})[1]

    def test_at_the_version_that_was_meant(self, segmented: Services) -> None:
        with pytest.raises(VersionMismatch):
            segmented.segments.replace(ADMIN, "pro", {"when": PRO}, if_match=1)
        with pytest.raises(VersionMismatch):
            segmented.segments.delete(ADMIN, "beta", if_match=1)

    def test_refusals(self, segmented: Services) -> None:
        with pytest.raises(AlreadyExists):
            segmented.segments.create(ADMIN, {"key": "pro", "when": PRO})
        with pytest.raises(NotFound):
            segmented.segments.get(ADMIN, "nope")
        with pytest.raises(Invalid, match=r"when\.op"):
            segmented.segments.create(ADMIN, {"key": "new", "when": {"attribute": "a", "op": "sounds_like"}})
        with pytest.raises(Invalid, match=r"when: expected an object"):
            segmented.segments.create(ADMIN, {"key": "new"})
        with pytest.raises(Invalid, match=r"when\.not\.segment: there is no segment nope"):
            segmented.segments.create(ADMIN, {"key": "new", "when": {"not": {"segment": "nope"}}})
        with pytest.raises(Invalid, match="colour: unknown field"):
            segmented.segments.create(ADMIN, {"key": "new", "when": PRO, "colour": "red"})

    def test_none_contains_itself(self, segmented: Services) -> None:
        with pytest.raises(Invalid, match="contain each other"):
            segmented.segments.replace(ADMIN, "pro", {"when": {"all": [{"segment": "beta"}]}})
        with pytest.raises(Invalid, match="contain each other"):
            segmented.segments.create(ADMIN, {"key": "new", "when": {"segment": "new"}})

    def test_nesting_is_bounded_from_above_and_from_below(self, segmented: Services) -> None:
        inner = "beta"
        for number in range(200):
            try:
                segmented.segments.create(ADMIN, {"key": f"s{number}", "when": {"any": [{"segment": inner}]}})
            except Invalid as error:
                refused = error
                break
            inner = f"s{number}"
        assert "nested at most 64 deep" in str(refused)
        deeper = {"not": {"not": {"not": {"not": PRO}}}}
        with pytest.raises(Invalid, match="nested at most 64 deep"):
            segmented.segments.replace(ADMIN, "pro", {"when": deeper})

    def test_what_doubles_at_every_step_is_refused(self, segmented: Services) -> None:
        inner = "beta"

        def double(number: int) -> str:
            twice = {"all": [{"segment": inner}, {"segment": inner}]}
            return str(segmented.segments.create(ADMIN, {"key": f"s{number}", "when": twice})["key"])

        for number in range(10):
            inner = double(number)
        with pytest.raises(Invalid, match="when: expected at most 10000 conditions"):
            double(11)

    def test_what_is_used_cannot_be_deleted(self, segmented: Services) -> None:
        segmented.flags.set_state(ADMIN, CHECKOUT, FLAG, "staging", {"rules": [rule({"not": {"segment": "pro"}})]})
        with pytest.raises(InUse) as refused:
            segmented.segments.delete(ADMIN, "pro")
        assert refused.value.by == ("flag checkout/new-checkout", "segment beta")

    def test_what_is_not_used_can(self, segmented: Services) -> None:
        segmented.segments.delete(ADMIN, "beta")
        segmented.segments.delete(ADMIN, "pro")
        assert segmented.segments.list(ADMIN).items == []
        with pytest.raises(NotFound):
            segmented.segments.delete(ADMIN, "pro")


def test_a_flag_can_name_a_segment_that_was_just_made(services: Services) -> None:
    services.segments.create(ADMIN, {"key": "pro", "when": PRO})
    made = services.flags.create(
        ADMIN, CHECKOUT, boolean("beta", environments={"staging": {"rules": [rule({"segment": "pro"})]}})
    )
    assert made["environments"]["staging"]["rules"][0]["when"] == {"segment": "pro"}
