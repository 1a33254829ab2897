"""A kill lands whatever else goes on, and is told about truthfully; a restore is the guarded act."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul_server.services.commit import Committer
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, Invalid, NotFound
from downhaul_server.services.kill import Kill
from downhaul_server.store import Store, View
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, actor, boolean

NAME = "checkout/new-checkout"


def killed(services: Services, service: str = CHECKOUT, flag: str = FLAG, environment: str = "production") -> bool:
    return services.flags.get(ADMIN, service, flag)["environments"][environment]["killed"] is not None


class TestKill:
    def test_it_is_off_with_who_when_and_why(self, services: Services) -> None:
        answer = services.kill.kill(actor(name="grace"), CHECKOUT, FLAG, reason="orders fail")
        document = services.flags.get(ADMIN, CHECKOUT, FLAG)
        mark = document["environments"]["production"]["killed"]
        assert (mark["by"], mark["reason"]) == ("grace", "orders fail")
        assert mark.keys() == {"at", "by", "reason"}
        assert document["version"] == answer.revision
        assert document["environments"]["staging"]["killed"] is None
        assert answer.to_json() == {
            "revision": answer.revision,
            "committed_at": services.history.log(ADMIN).items[0]["at"],
            "environment": "production",
            "flags": [NAME],
            "changed": True,
            "unchanged": [],
            "not_found": [],
            "durability": {"survives": "uncertain", "replicas": None, "replicas_wanted": 0},
        }

    def test_the_rules_are_untouched(self, services: Services) -> None:
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rollout": 25})
        before = services.flags.get(ADMIN, CHECKOUT, FLAG)["environments"]["production"]
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="fixed")
        assert services.flags.get(ADMIN, CHECKOUT, FLAG)["environments"]["production"] == before

    def test_an_operator_may(self, services: Services) -> None:
        assert services.kill.kill(actor("operator"), CHECKOUT, FLAG).changed
        with pytest.raises(Forbidden):
            services.kill.kill(actor("viewer"), CHECKOUT, FLAG)

    @pytest.mark.parametrize(
        ("environments", "expected"),
        [(["staging"], "staging"), (["production", "staging"], "production"), (["*"], "production")],
    )
    def test_where_it_lands(self, services: Services, environments: list[str], expected: str) -> None:
        answer = services.kill.kill(actor(environments=environments), CHECKOUT, FLAG)
        assert answer.environment == expected
        assert killed(services, environment=expected)

    def test_what_is_not_there(self, services: Services) -> None:
        for kill in (
            lambda: services.kill.kill(ADMIN, CHECKOUT, "nope"),
            lambda: services.kill.kill(ADMIN, "nowhere", FLAG),
            lambda: services.kill.kill(ADMIN, CHECKOUT, FLAG, environment="moon"),
        ):
            with pytest.raises(NotFound):
                kill()


class TestAgain:
    def test_it_answers_the_kill_that_stands(self, services: Services) -> None:
        first = services.kill.kill(ADMIN, CHECKOUT, FLAG, reason="first")
        again = services.kill.kill(ADMIN, CHECKOUT, FLAG, reason="second")
        assert (again.revision, again.committed_at) == (first.revision, first.committed_at)
        assert again.changed is False and again.unchanged == (NAME,)
        assert services.history.log(ADMIN).items[0]["revision"] == first.revision

    def test_also_when_the_flag_was_changed_in_the_meantime(self, services: Services) -> None:
        first = services.kill.kill(ADMIN, CHECKOUT, FLAG)
        staging = services.kill.kill(ADMIN, CHECKOUT, FLAG, environment="staging")
        services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True})
        services.flags.patch(ADMIN, CHECKOUT, FLAG, {"owner": "ada"})
        services.flags.replace(ADMIN, CHECKOUT, FLAG, {"type": "boolean"})
        assert services.kill.kill(ADMIN, CHECKOUT, FLAG).revision == first.revision
        assert services.kill.kill(ADMIN, CHECKOUT, FLAG, environment="staging").revision == staging.revision

    def test_a_new_kill_after_a_restore_is_a_new_one(self, services: Services) -> None:
        first = services.kill.kill(ADMIN, CHECKOUT, FLAG)
        services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="fixed")
        assert services.kill.kill(ADMIN, CHECKOUT, FLAG).revision > first.revision

    def test_a_restore_that_this_process_has_not_seen_yet_is_not_overlooked(self, services: Services) -> None:
        """A kill is never answered with "killed already" out of a memory that lags behind."""
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        lagging = Lagging(services._store)
        services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="fixed")
        assert Kill(Committer(lagging), "production").kill(ADMIN, CHECKOUT, FLAG).changed  # type: ignore[arg-type]
        assert killed(services)

    def test_a_flag_that_this_process_has_not_seen_yet_is_found(self, services: Services) -> None:
        lagging = Lagging(services._store)
        services.flags.create(ADMIN, CHECKOUT, boolean("brand-new"))
        assert Kill(Committer(lagging), "production").kill(ADMIN, CHECKOUT, "brand-new").changed  # type: ignore[arg-type]


class Lagging:
    """A store whose follower has not heard of the newest yet, until it is asked again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._views = [store.view]

    @property
    def view(self) -> View:
        return self._views.pop() if self._views else self._store.view

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class TestRestore:
    def test_it_needs_a_reason(self, services: Services) -> None:
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        for reason in (None, "", "  "):
            with pytest.raises(Invalid, match="reason"):
                services.kill.restore(ADMIN, CHECKOUT, FLAG, reason=reason)
        assert killed(services)

    def test_it_needs_more_than_an_operator(self, services: Services) -> None:
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        with pytest.raises(Forbidden):
            services.kill.restore(actor("operator"), CHECKOUT, FLAG, reason="I want it")
        assert services.kill.restore(actor("editor"), CHECKOUT, FLAG, reason="fixed").changed
        assert not killed(services)

    def test_of_what_is_not_killed_changes_nothing(self, services: Services) -> None:
        before = services.flags.get(ADMIN, CHECKOUT, FLAG)
        answer = services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="to be sure")
        assert (answer.changed, answer.revision) == (False, before["version"])
        assert services.flags.get(ADMIN, CHECKOUT, FLAG) == before


class TestMany:
    @pytest.fixture
    def tagged(self, services: Services) -> Services:
        services.flags.patch(ADMIN, CHECKOUT, FLAG, {"tags": ["risky"]})
        services.flags.patch(ADMIN, PAYMENTS, "new-ledger", {"tags": ["risky", "money"]})
        services.flags.create(ADMIN, PAYMENTS, boolean("tips", tags=["money"]))
        return services

    @pytest.mark.parametrize(
        ("selector", "flags"),
        [
            ({"services": ["checkout"]}, [NAME, "checkout/old-banner"]),
            ({"tags": ["risky"]}, [NAME, "payments/new-ledger"]),
            ({"tags": ["risky", "money"]}, [NAME, "payments/new-ledger", "payments/tips"]),
            ({"services": ["payments"], "tags": ["risky"]}, ["payments/new-ledger"]),
            ({"flags": ["payments/tips", NAME]}, [NAME, "payments/tips"]),
            (
                {"tags": ["risky"], "flags": [NAME, "checkout/old-banner"]},
                [NAME, "checkout/old-banner", "payments/new-ledger"],
            ),
        ],
    )
    def test_selected_flags_go_in_one_commit(
        self, tagged: Services, selector: dict[str, list[str]], flags: list[str]
    ) -> None:
        answer = tagged.kill.kill_many(ADMIN, reason="all of it", **selector)  # type: ignore[arg-type]
        assert list(answer.flags) == flags and answer.changed
        newest = tagged.history.log(ADMIN).items[0]
        assert newest["revision"] == answer.revision
        assert [f"{document['service']}/{document['key']}" for document in newest["documents"]] == flags
        assert all(killed(tagged, *name.split("/")) for name in flags)

    def test_those_that_are_killed_already_are_told_apart(self, tagged: Services) -> None:
        first = tagged.kill.kill(ADMIN, CHECKOUT, FLAG)
        answer = tagged.kill.kill_many(ADMIN, tags=["risky"])
        assert answer.unchanged == (NAME,) and answer.revision > first.revision
        again = tagged.kill.kill_many(ADMIN, tags=["risky"])
        assert (again.changed, again.revision) == (False, answer.revision)

    def test_what_is_not_there_holds_up_nothing(self, tagged: Services) -> None:
        answer = tagged.kill.kill_many(ADMIN, flags=[NAME, "checkout/nope"], services=["nowhere"])
        assert answer.flags == (NAME,) and answer.not_found == ("nowhere", "checkout/nope")

    def test_nothing_at_all(self, tagged: Services) -> None:
        with pytest.raises(NotFound):
            tagged.kill.kill_many(ADMIN, tags=["unheard-of"])
        with pytest.raises(NotFound):
            tagged.kill.kill_many(ADMIN, flags=["checkout/nope"])
        with pytest.raises(Invalid, match="nothing was selected"):
            tagged.kill.kill_many(ADMIN)
        with pytest.raises(Invalid, match=r"flags\[0\]: expected service/key"):
            tagged.kill.kill_many(ADMIN, flags=["tips"])

    def test_out_of_scope(self, tagged: Services) -> None:
        payer = actor("operator", services=["payments"])
        assert tagged.kill.kill_many(payer, tags=["risky"]).flags == ("payments/new-ledger",)
        for selector in ({"flags": [NAME]}, {"services": ["checkout"]}):
            with pytest.raises(Forbidden, match="the service checkout"):
                tagged.kill.kill_many(payer, **selector)  # type: ignore[arg-type]
        with pytest.raises(Forbidden, match="the environment production"):
            tagged.kill.kill_many(actor(environments=["staging"]), environment="production", tags=["risky"])

    def test_restored_together(self, tagged: Services) -> None:
        tagged.kill.kill_many(ADMIN, tags=["risky"])
        with pytest.raises(Invalid, match="reason"):
            tagged.kill.restore_many(ADMIN, tags=["risky"])
        answer = tagged.kill.restore_many(ADMIN, tags=["risky"], reason="fixed")
        assert answer.flags == (NAME, "payments/new-ledger")
        assert not killed(tagged) and not killed(tagged, PAYMENTS, "new-ledger")
