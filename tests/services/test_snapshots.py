"""Snapshots: whole, exact in what they are about, and the same bytes until something that matters changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from downhaul.engine import compile_ruleset, decode_ruleset
from downhaul.engine.checksum import checksum
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, NotFound
from downhaul_server.services.snapshots import Snapshot
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, PRO, boolean, rule, sdk_key

ON = {"environments": {"production": {"on": True}}}


def snapshot(services: Services, service: str = CHECKOUT, environment: str = "production") -> Snapshot:
    return services.snapshots.get(sdk_key(environment), service)


def envelope(services: Services, service: str = CHECKOUT, environment: str = "production") -> dict[str, Any]:
    return json.loads(snapshot(services, service, environment).body)  # type: ignore[no-any-return]


class TestEnvelope:
    def test_it_says_what_it_is(self, services: Services) -> None:
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rollout": 25})
        services.flags.delete(ADMIN, CHECKOUT, "old-banner")
        sent, body = snapshot(services), envelope(services)
        split = [{"variant": "on", "weight": 25_000}, {"variant": "off", "weight": 75_000}]
        flag = {
            "type": "boolean",
            "salt": "checkout/new-checkout",
            "variants": {"on": True, "off": False},
            "off_variant": "off",
            "requires": [],
            "on": True,
            "killed": False,
            "rules": [],
            "otherwise": {"split": split, "by": "user"},
        }
        assert body == {
            "schema": 1,
            "epoch": sent.epoch,
            "revision": sent.revision,
            "service": "checkout",
            "environment": "production",
            "flag_count": 1,
            "checksum": checksum({FLAG: flag}, {}),
            "flags": {FLAG: flag},
            "segments": {},
        }
        assert sent.etag == f'"{sent.epoch}:{sent.revision}"'

    def test_a_service_without_flags_has_one_too(self, empty: Services) -> None:
        empty.catalog.create_service(ADMIN, {"key": CHECKOUT})
        first = snapshot(empty)
        assert envelope(empty)["flags"] == {} and first.revision > 0
        empty.catalog.create_service(ADMIN, {"key": PAYMENTS})
        assert snapshot(empty) == first

    def test_the_engine_takes_it(self, services: Services) -> None:
        services.segments.create(ADMIN, {"key": "pro", "when": PRO})
        services.segments.create(ADMIN, {"key": "beta", "when": {"segment": "pro"}})
        services.segments.create(ADMIN, {"key": "unused", "when": PRO})
        services.flags.set_state(
            ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rules": [rule({"segment": "beta"})]}
        )
        body = envelope(services)
        assert body["segments"] == {"beta": {"segment": "pro"}, "pro": PRO}
        assert envelope(services, environment="staging")["segments"] == {}
        ruleset = decode_ruleset({"flags": body["flags"], "segments": body["segments"]})
        assert compile_ruleset(ruleset).keys() == {FLAG, "old-banner"}

    def test_prerequisites_come_along_under_the_names_of_the_reader(self, services: Services) -> None:
        services.flags.create(ADMIN, PAYMENTS, boolean("books"))
        services.flags.patch(
            ADMIN,
            PAYMENTS,
            "new-ledger",
            {"requires": [{"flag": "books", "variants": ["on"]}, {"flag": "checkout/old-banner", "variants": ["off"]}]},
        )
        services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": [{"flag": "payments/new-ledger", "variants": ["on"]}]})
        flags = envelope(services)["flags"]
        assert flags.keys() == {"new-checkout", "old-banner", "payments/new-ledger", "payments/books"}
        assert flags[FLAG]["requires"] == [{"flag": "payments/new-ledger", "variants": ["on"]}]
        assert flags["payments/new-ledger"]["requires"] == [
            {"flag": "payments/books", "variants": ["on"]},
            {"flag": "old-banner", "variants": ["off"]},
        ]
        assert envelope(services, PAYMENTS)["flags"].keys() == {"new-ledger", "books", "checkout/old-banner"}

    def test_a_flag_that_names_its_own_service(self, services: Services) -> None:
        services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": [{"flag": "checkout/old-banner", "variants": ["on"]}]})
        assert envelope(services)["flags"][FLAG]["requires"][0]["flag"] == "old-banner"


class TestWho:
    def test_only_services_that_the_key_names(self, services: Services) -> None:
        key = sdk_key(services=["payments"])
        assert services.snapshots.get(key, PAYMENTS)
        with pytest.raises(Forbidden):
            services.snapshots.get(key, CHECKOUT)

    def test_only_what_is_there(self, services: Services) -> None:
        with pytest.raises(NotFound, match="service nowhere"):
            snapshot(services, "nowhere")
        with pytest.raises(NotFound, match="environment moon"):
            snapshot(services, environment="moon")

    def test_a_deleted_service_has_none_any_more(self, empty: Services) -> None:
        empty.catalog.create_service(ADMIN, {"key": CHECKOUT})
        assert snapshot(empty)
        empty.catalog.delete_service(ADMIN, CHECKOUT)
        with pytest.raises(NotFound):
            snapshot(empty)


PLACES = [(CHECKOUT, "production"), (CHECKOUT, "staging"), (PAYMENTS, "production"), (PAYMENTS, "staging")]

CHANGES: dict[str, tuple[Callable[[Services], Any], set[tuple[str, str]]]] = {
    "a kill in production": (lambda s: s.kill.kill(ADMIN, CHECKOUT, FLAG), {(CHECKOUT, "production")}),
    "a restore": (
        lambda s: s.kill.restore(ADMIN, PAYMENTS, "new-ledger", environment="staging", reason="fixed"),
        {(PAYMENTS, "staging"), (CHECKOUT, "staging")},
    ),
    "a state": (
        lambda s: s.flags.set_state(ADMIN, CHECKOUT, FLAG, "staging", {"rollout": 5}),
        {(CHECKOUT, "staging")},
    ),
    "a definition": (
        lambda s: s.flags.patch(ADMIN, CHECKOUT, FLAG, {"variants": {"maybe": False}}),
        {(CHECKOUT, "production"), (CHECKOUT, "staging")},
    ),
    "a description": (lambda s: s.flags.patch(ADMIN, CHECKOUT, FLAG, {"description": "x", "tags": ["y"]}), set()),
    "the same again": (lambda s: s.flags.patch(ADMIN, CHECKOUT, FLAG, {"off_variant": "off"}), set()),
    "a new flag": (
        lambda s: s.flags.create(ADMIN, CHECKOUT, boolean("beta")),
        {(CHECKOUT, "production"), (CHECKOUT, "staging")},
    ),
    "a flag less": (
        lambda s: s.flags.delete(ADMIN, CHECKOUT, "old-banner"),
        {(CHECKOUT, "production"), (CHECKOUT, "staging")},
    ),
    "a prerequisite's kill": (
        lambda s: s.kill.kill(ADMIN, PAYMENTS, "new-ledger"),
        {(CHECKOUT, "production"), (PAYMENTS, "production")},
    ),
    "a segment that production uses": (
        lambda s: s.segments.replace(ADMIN, "pro", {"when": {"not": PRO}}),
        {(CHECKOUT, "production")},
    ),
    "a segment's name": (lambda s: s.segments.replace(ADMIN, "pro", {"when": PRO, "name": "Pro"}), set()),
    "a segment that nobody uses": (lambda s: s.segments.replace(ADMIN, "idle", {"when": {"not": PRO}}), set()),
    "a new segment": (lambda s: s.segments.create(ADMIN, {"key": "new", "when": PRO}), set()),
    "a key": (lambda s: s.keys.create(ADMIN, {"kind": "api", "name": "ci", "role": "viewer"}), set()),
    "a service's name": (lambda s: s.catalog.patch_service(ADMIN, CHECKOUT, {"name": "Checkout!"}), set()),
    "another environment": (lambda s: s.catalog.create_environment(ADMIN, {"key": "canary"}), set()),
}


class TestETag:
    @pytest.fixture
    def wired(self, services: Services) -> Services:
        """checkout requires a flag of payments, and uses a segment inside a segment in production."""
        services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": [{"flag": "payments/new-ledger", "variants": ["on"]}]})
        for key, when in {"pro": PRO, "beta": {"any": [{"segment": "pro"}]}, "idle": PRO}.items():
            services.segments.create(ADMIN, {"key": key, "when": when})
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rules": [rule({"segment": "beta"})]})
        services.kill.kill(ADMIN, PAYMENTS, "new-ledger", environment="staging")
        return services

    @pytest.mark.parametrize("what", CHANGES)
    def test_it_changes_exactly_where_the_content_does(self, wired: Services, what: str) -> None:
        change, expected = CHANGES[what]
        before = {place: snapshot(wired, *place) for place in PLACES}
        change(wired)
        after = {place: snapshot(wired, *place) for place in PLACES}
        assert {place for place in PLACES if before[place].etag != after[place].etag} == expected
        assert all(after[place].revision >= before[place].revision for place in PLACES)
        for place in set(PLACES) - expected:
            assert after[place] is before[place]

    def test_the_revision_never_goes_back_when_a_prerequisite_is_let_go(self, wired: Services) -> None:
        wired.kill.kill(ADMIN, PAYMENTS, "new-ledger")
        before = snapshot(wired)
        wired.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": []})
        freed = snapshot(wired)
        assert freed.revision > before.revision
        wired.flags.patch(ADMIN, PAYMENTS, "new-ledger", ON)
        assert snapshot(wired) is freed

    def test_it_is_the_commit_that_a_kill_answers(self, wired: Services) -> None:
        answer = wired.kill.kill(ADMIN, CHECKOUT, FLAG)
        assert snapshot(wired).revision == answer.revision
        assert envelope(wired)["flags"][FLAG]["killed"] is True

    def test_what_a_deleted_environment_knew_is_forgotten(self, wired: Services) -> None:
        wired.catalog.create_environment(ADMIN, {"key": "canary"})
        wired.kill.kill(ADMIN, CHECKOUT, FLAG, environment="canary")
        before = snapshot(wired, environment="canary")
        wired.catalog.delete_environment(ADMIN, "canary")
        wired.catalog.create_environment(ADMIN, {"key": "canary"})
        assert envelope(wired, environment="canary")["flags"][FLAG]["killed"] is False
        assert snapshot(wired, environment="canary").revision > before.revision
