"""Services and environments: made, renamed, and removed only when nobody uses them."""

from __future__ import annotations

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import AlreadyExists, InUse, Invalid, NotFound, VersionMismatch
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, actor


class TestServices:
    def test_the_name_is_the_key_when_none_is_given(self, empty: Services) -> None:
        made = empty.catalog.create_service(ADMIN, {"key": "search"})
        assert made == {
            "key": "search",
            "name": "search",
            "version": made["version"],
            "created_at": made["created_at"],
            "updated_at": made["created_at"],
        }
        assert empty.catalog.get_service(ADMIN, "search") == made

    def test_renamed_at_a_version(self, services: Services) -> None:
        before = services.catalog.get_service(ADMIN, CHECKOUT)
        after = services.catalog.patch_service(ADMIN, CHECKOUT, {"name": "The till"}, if_match=before["version"])
        assert after["name"] == "The till" and after["created_at"] == before["created_at"]
        with pytest.raises(VersionMismatch):
            services.catalog.patch_service(ADMIN, CHECKOUT, {"name": "x"}, if_match=before["version"])
        assert services.catalog.patch_service(ADMIN, CHECKOUT, {}) == after

    def test_removed_when_it_has_no_flags(self, services: Services) -> None:
        with pytest.raises(InUse) as refused:
            services.catalog.delete_service(ADMIN, PAYMENTS)
        assert refused.value.by == ("flag payments/new-ledger",)
        services.flags.delete(ADMIN, PAYMENTS, "new-ledger")
        services.catalog.delete_service(ADMIN, PAYMENTS)
        with pytest.raises(NotFound):
            services.catalog.get_service(ADMIN, PAYMENTS)

    def test_refusals(self, services: Services) -> None:
        with pytest.raises(AlreadyExists):
            services.catalog.create_service(ADMIN, {"key": CHECKOUT})
        for key in ("Check", "a/b", "", "a\n", None, "*"):
            with pytest.raises(Invalid, match="key: expected a key"):
                services.catalog.create_service(ADMIN, {"key": key})
        with pytest.raises(Invalid, match="colour: unknown field"):
            services.catalog.create_service(ADMIN, {"key": "x", "colour": "red"})
        with pytest.raises(Invalid, match="key: expected checkout"):
            services.catalog.patch_service(ADMIN, CHECKOUT, {"key": "till"})
        for missing in ("nowhere", "check/out", ""):
            with pytest.raises(NotFound):
                services.catalog.delete_service(ADMIN, missing)

    def test_listed_by_key_and_searched(self, services: Services) -> None:
        services.catalog.patch_service(ADMIN, PAYMENTS, {"name": "Money"})
        assert [item["key"] for item in services.catalog.list_services(ADMIN).items] == ["checkout", "payments"]
        assert [item["key"] for item in services.catalog.list_services(ADMIN, query="money").items] == ["payments"]
        first = services.catalog.list_services(ADMIN, limit=1)
        assert [item["key"] for item in services.catalog.list_services(ADMIN, cursor=first.next).items] == ["payments"]


class TestEnvironments:
    def test_the_first_ones_have_the_times_of_the_store(self, empty: Services) -> None:
        born = empty.history.log(ADMIN).items[-1]["at"]
        assert empty.catalog.get_environment(ADMIN, "production") == {
            "key": "production",
            "name": "Production",
            "protected": False,
            "approvals": 0,
            "review_days": 7,
            "version": 1,
            "created_at": born,
            "updated_at": born,
        }
        renamed = empty.catalog.patch_environment(ADMIN, "production", {"name": "Live"})
        assert renamed["created_at"] == born and renamed["updated_at"] >= born

    def test_made_and_removed_with_every_state(self, services: Services) -> None:
        services.catalog.create_environment(ADMIN, {"key": "canary", "name": "Canary"})
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "canary", {"on": True})
        first = services.kill.kill(ADMIN, CHECKOUT, FLAG)
        services.catalog.delete_environment(ADMIN, "canary")
        assert services.flags.get(ADMIN, CHECKOUT, FLAG)["environments"].keys() == {"production", "staging"}
        assert services.kill.kill(ADMIN, CHECKOUT, FLAG).revision == first.revision
        with pytest.raises(NotFound):
            services.catalog.get_environment(ADMIN, "canary")

    def test_the_default_one_stays(self, services: Services) -> None:
        with pytest.raises(InUse, match="the server, as its default environment"):
            services.catalog.delete_environment(ADMIN, "production")

    def test_one_that_keys_name_stays(self, services: Services) -> None:
        sdk = services.keys.create(ADMIN, {"kind": "sdk", "name": "a", "environment": "staging", "services": ["*"]})
        api = services.keys.create(ADMIN, {"kind": "api", "name": "b", "role": "viewer", "environments": ["staging"]})
        with pytest.raises(InUse) as refused:
            services.catalog.delete_environment(ADMIN, "staging")
        assert set(refused.value.by) == {f"key {sdk['id']}", f"key {api['id']}"}
        services.keys.revoke(ADMIN, sdk["id"])
        services.keys.revoke(ADMIN, api["id"])
        services.catalog.delete_environment(ADMIN, "staging")

    def test_listed_within_the_scope(self, services: Services) -> None:
        page = services.catalog.list_environments(actor(environments=["staging"]))
        assert [item["key"] for item in page.items] == ["staging"]
        assert [item["key"] for item in services.catalog.list_environments(ADMIN, query="prod").items] == ["production"]
