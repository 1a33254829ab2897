"""Reviews: who may approve, what an approval is for, and what becomes of a review."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from downhaul_server.services import review_forms, reviews
from downhaul_server.services.actors import Actor, Grant
from downhaul_server.services.container import Services
from downhaul_server.services.documents import timestamp
from downhaul_server.services.errors import (
    ApprovalRequired,
    Forbidden,
    InUse,
    Invalid,
    NotFound,
    OperationConflict,
    ReviewClosed,
    VersionMismatch,
)
from support.services import ADMIN, CHECKOUT, FLAG, PRO, actor, boolean, rule

ADA = actor("editor")
BEN = actor("approver", name="ben")
CLEO = actor("approver", name="cleo")
MANAGER = actor("admin", name="manager")
NOWHERE = {"flag": "nope", "variants": ["on"]}
WIDER: dict[str, Any] = {"state": {"on": True, "rollout": 25}}


def protect(services: Services, approvals: int = 1, **more: Any) -> None:
    changes = {"protected": True, "approvals": approvals, **more}
    services.catalog.patch_environment(ADMIN, "production", changes, reason="x")


@pytest.fixture
def house(services: Services) -> Services:
    """A change in production needs one approval."""
    protect(services)
    return services


def ask(
    services: Services, change: dict[str, Any] = WIDER, by: Actor = ADA, environment: str | None = None, **more: Any
) -> dict[str, Any]:
    document = {"service": CHECKOUT, "flag": FLAG, "change": change, "reason": "more users", **more}
    if "state" in change or "restore" in change:
        document["environment"] = environment or "production"
    return services.reviews.open(by, document)


def state(services: Services, environment: str = "production") -> dict[str, Any]:
    found: dict[str, Any] = services.flags.get(ADMIN, CHECKOUT, FLAG)["environments"][environment]
    return found


class TestOpening:
    def test_it_says_what_it_would_do_and_changes_nothing(self, house: Services) -> None:
        review = ask(house)
        assert review["status"] == "open"
        assert (review["author"], review["reason"], review["environments"]) == ("ada", "more users", ["production"])
        assert review["summary"][0] == "In production: switched on; it is then on for 25 % of users."
        assert "/environments/production/on" in [each["path"] for each in review["differences"]]
        assert (review["approvals"], review["approvals_needed"]) == ([], 1)
        assert review["base_version"] == house.flags.get(ADMIN, CHECKOUT, FLAG)["version"]
        assert state(house)["on"] is False

    def test_it_needs_a_reason(self, house: Services) -> None:
        with pytest.raises(Invalid, match="reason"):
            ask(house, reason=" ")

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"state": {"rules": [rule({"segment": "nowhere"})]}}, ("change", "state", "rules", 0, "when", "segment")),
            ({"state": {"rollout": 101}}, ("change", "state", "rollout")),
            (
                {"patch": {"requires": [{"flag": "nope", "variants": ["on"]}]}},
                ("change", "patch", "requires", 0, "flag"),
            ),
            ({"state": {"on": False}}, ("change",)),
            ({"patch": {"description": "x"}}, ("change",)),
            ({"delete": False}, ("change", "delete")),
            ({"state": {}, "delete": True}, ("change",)),
            ({"nonsense": {}}, ("change",)),
            ({}, ("change",)),
        ],
    )
    def test_what_could_never_be_made_or_needs_no_review_is_refused_at_once(
        self, house: Services, change: dict[str, Any], path: tuple[Any, ...]
    ) -> None:
        house.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True}, reason="x")
        with pytest.raises(Invalid) as refused:
            ask(house, change)
        assert refused.value.errors[0][0] == path

    def test_what_is_not_there_cannot_be_changed(self, house: Services) -> None:
        with pytest.raises(NotFound):
            ask(house, flag="nope")
        with pytest.raises(NotFound):
            ask(house, environment="nowhere")

    def test_what_others_use_cannot_go(self, house: Services) -> None:
        needing = boolean("needing", requires=[{"flag": FLAG, "variants": ["on"]}])
        house.flags.create(ADMIN, CHECKOUT, needing)
        with pytest.raises(InUse):
            ask(house, {"delete": True})

    def test_its_author_needs_the_right_to_make_the_change(self, house: Services) -> None:
        for nobody in (
            actor("viewer"),
            actor("operator"),
            actor(environments=["staging"]),
            actor(services=["payments"]),
        ):
            with pytest.raises(Forbidden):
                ask(house, by=nobody)
        with pytest.raises(Forbidden):
            house.reviews.open(ADA, {"environment": "production", "change": {"patch": {"approvals": 0}}, "reason": "x"})

    def test_it_must_be_about_one_thing(self, house: Services) -> None:
        for about in ({"flag": FLAG}, {"service": CHECKOUT}, {"service": CHECKOUT, "flag": FLAG, "segment": "b"}, {}):
            with pytest.raises(Invalid):
                house.reviews.open(ADA, {**about, "change": {"delete": True}, "reason": "x"})
        with pytest.raises(Invalid, match="every environment"):
            house.reviews.open(
                ADA,
                {
                    "service": CHECKOUT,
                    "flag": FLAG,
                    "environment": "production",
                    "change": {"delete": True},
                    "reason": "x",
                },
            )

    def test_the_same_operation_opens_one_review(self, house: Services) -> None:
        document = {"service": CHECKOUT, "flag": FLAG, "environment": "production", "change": WIDER, "reason": "x"}
        first, again = (house.reviews.open(ADA, document, operation="a") for _ in range(2))
        assert first["id"] == again["id"]
        with pytest.raises(OperationConflict):
            house.reviews.open(ADA, document | {"reason": "y"}, operation="a")
        assert len(house.reviews.list(ADMIN).items) == 1


class TestApproving:
    def test_the_last_approval_makes_the_change_in_one_commit(self, house: Services) -> None:
        review = ask(house)
        before = house._store.view.revision
        applied = house.reviews.approve(BEN, review["id"])
        assert applied["status"] == "applied"
        assert [each["by"] for each in applied["approvals"]] == ["ben"]
        assert state(house)["otherwise"]["split"][0] == {"variant": "on", "weight": 25_000}
        assert house._store.view.revision == before + 1
        entry = house.history.log(ADMIN, limit=1).items[0]
        assert (entry["action"], entry["actor"], entry["reason"]) == ("flag.state", "ben", "more users")
        assert entry["review"] == {"id": review["id"], "author": "ada", "approvers": ["ben"]}
        assert {document["kind"] for document in entry["documents"]} == {"flag", "review"}

    def test_as_many_as_the_environment_demands(self, house: Services) -> None:
        protect(house, 2)
        review = ask(house)
        waiting = house.reviews.approve(BEN, review["id"])
        assert (waiting["status"], len(waiting["approvals"]), state(house)["on"]) == ("open", 1, False)
        assert len(house.reviews.approve(BEN, review["id"])["approvals"]) == 1
        assert house.reviews.approve(CLEO, review["id"])["status"] == "applied"
        assert house.reviews.approve(CLEO, review["id"])["status"] == "applied"
        assert state(house)["on"] is True

    def test_never_by_its_author(self, house: Services) -> None:
        review = ask(house, by=BEN)
        with pytest.raises(Forbidden, match="somebody else"):
            house.reviews.approve(BEN, review["id"])
        assert house.reviews.approve(CLEO, review["id"])["status"] == "applied"

    @pytest.mark.parametrize("role", ["viewer", "operator", "editor"])
    def test_only_by_approvers(self, house: Services, role: str) -> None:
        review = ask(house)
        with pytest.raises(Forbidden):
            house.reviews.approve(actor(role, name="eve"), review["id"])

    def test_only_by_approvers_of_that_environment_and_service(self, house: Services) -> None:
        review = ask(house)
        for limited in ({"environments": ["staging"]}, {"services": ["payments"]}):
            with pytest.raises(NotFound):
                house.reviews.approve(actor("approver", name="eve", **limited), review["id"])

    def test_not_where_somebody_reads_more_than_he_may_approve(self, house: Services) -> None:
        staging = Grant("approver", environments=frozenset({"staging"}))
        eve = Actor("eve", "person", (Grant("viewer"), staging), token_id="eve")
        with pytest.raises(Forbidden):
            house.reviews.approve(eve, ask(house)["id"])

    def test_only_what_the_approver_has_looked_at(self, house: Services) -> None:
        review = ask(house)
        with pytest.raises(VersionMismatch):
            house.reviews.approve(BEN, review["id"], if_match=review["version"] + 1)
        house.reviews.approve(BEN, review["id"], if_match=review["version"])

    def test_a_repeated_request_is_answered_like_the_first(self, house: Services) -> None:
        review = ask(house)
        first, again = (house.reviews.approve(BEN, review["id"], operation="b") for _ in range(2))
        assert first["status"] == again["status"] == "applied"
        assert len(house.reviews.get(ADMIN, review["id"])["approvals"]) == 1

    def test_more_approvals_demanded_since_count(self, house: Services) -> None:
        review = ask(house)
        protect(house, 2)
        assert house.reviews.approve(BEN, review["id"])["status"] == "open"

    def test_fewer_approvals_demanded_since_can_be_applied(self, house: Services) -> None:
        protect(house, 2)
        review = ask(house)
        house.reviews.approve(BEN, review["id"])
        with pytest.raises(Invalid, match="1 of 2"):
            house.reviews.apply(ADA, review["id"])
        protect(house, 1)
        assert "apply" in house.reviews.get(ADA, review["id"])["may"]
        assert house.reviews.apply(ADA, review["id"])["status"] == "applied"
        assert state(house)["on"] is True

    def test_what_one_may_do_with_it_is_said(self, house: Services) -> None:
        review = ask(house)
        assert review["may"] == ["withdraw", "rebase"]
        assert house.reviews.get(BEN, review["id"])["may"] == ["approve", "reject"]
        assert house.reviews.get(actor("viewer", name="v"), review["id"])["may"] == []


class TestHands:
    def token(self, services: Services, by: Actor, role: str, name: str) -> Actor:
        made = services.keys.create(by, {"kind": "api", "name": name, "role": role})
        holder = services.authenticate(made["token"])
        assert isinstance(holder, Actor)
        return holder

    def test_not_with_a_token_that_the_author_has_made(self, house: Services) -> None:
        boss = self.token(house, ADMIN, "admin", "boss")
        review = ask(house, by=boss)
        other = self.token(house, boss, "approver", "other")
        further = self.token(house, self.token(house, boss, "admin", "x"), "approver", "further")
        for mine in (other, further):
            with pytest.raises(Forbidden, match="one hand"):
                house.reviews.approve(mine, review["id"])

    def test_not_what_was_asked_with_a_token_of_ones_own_making(self, house: Services) -> None:
        boss = self.token(house, ADMIN, "admin", "boss")
        review = ask(house, by=self.token(house, boss, "editor", "robot"))
        with pytest.raises(Forbidden, match="one hand"):
            house.reviews.approve(boss, review["id"])

    def test_not_with_two_tokens_that_one_hand_has_made(self, house: Services) -> None:
        boss = self.token(house, ADMIN, "admin", "boss")
        asking, approving = (self.token(house, boss, role, role) for role in ("editor", "approver"))
        with pytest.raises(Forbidden, match="one hand"):
            house.reviews.approve(approving, ask(house, by=asking)["id"])

    def test_two_approvals_are_of_two_hands(self, house: Services) -> None:
        protect(house, 2)
        boss = self.token(house, ADMIN, "admin", "boss")
        review = ask(house)
        house.reviews.approve(boss, review["id"])
        with pytest.raises(Forbidden, match="one hand"):
            house.reviews.approve(self.token(house, boss, "approver", "second"), review["id"])

    def test_the_first_tokens_are_all_made_by_the_bootstrap_administrator(self, house: Services) -> None:
        asking, approving = (self.token(house, ADMIN, role, role) for role in ("editor", "approver"))
        assert house.reviews.approve(approving, ask(house, by=asking)["id"])["status"] == "applied"

    def test_who_approves_for_nobody_else(self, house: Services) -> None:
        asking, approving = (self.token(house, ADMIN, role, role) for role in ("editor", "approver"))
        with pytest.raises(Forbidden, match="one hand"):
            house.reviews.approve(ADMIN, ask(house, by=asking)["id"])
        with pytest.raises(Forbidden, match="one hand"):
            house.reviews.approve(approving, ask(house, by=ADMIN)["id"])


class TestStale:
    def test_a_base_that_has_moved_makes_it_stale_and_shows_both_versions(self, house: Services) -> None:
        review = ask(house)
        house.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rollout": 3}, reason="in between")
        stale = house.reviews.get(BEN, review["id"])
        assert stale["status"] == "stale"
        assert stale["before"]["environments"]["production"]["otherwise"] == {"variant": "on"}
        assert stale["current"]["environments"]["production"]["otherwise"]["split"][0]["weight"] == 3_000
        assert stale["moved"] == ["In production: on for 3 % of users; it was on for everyone."]
        assert "approve" not in stale["may"]
        with pytest.raises(ReviewClosed) as refused:
            house.reviews.approve(BEN, review["id"])
        assert refused.value.status == "stale"
        assert state(house)["otherwise"]["split"][0]["weight"] == 3_000

    def test_what_does_not_concern_it_does_not(self, house: Services) -> None:
        review = ask(house)
        house.flags.set_state(ADA, CHECKOUT, FLAG, "staging", {"on": True})
        house.flags.patch(ADA, CHECKOUT, FLAG, {"description": "new"})
        assert house.reviews.approve(BEN, review["id"])["status"] == "applied"
        assert state(house, "staging")["on"] is True

    def test_a_kill_in_between_stands(self, house: Services) -> None:
        review = ask(house)
        house.kill.kill(ADA, CHECKOUT, FLAG, environment="production")
        with pytest.raises(ReviewClosed):
            house.reviews.approve(BEN, review["id"])
        assert state(house)["killed"]

    def test_its_author_takes_it_up_again_without_the_approvals(self, house: Services) -> None:
        protect(house, 2)
        review = ask(house)
        house.reviews.approve(BEN, review["id"])
        house.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rollout": 3}, reason="in between")
        with pytest.raises(Forbidden, match="author"):
            house.reviews.rebase(BEN, review["id"])
        rebased = house.reviews.rebase(ADA, review["id"])
        assert (rebased["status"], rebased["approvals"]) == ("open", [])
        assert rebased["before"]["environments"]["production"]["otherwise"]["split"][0]["weight"] == 3_000

    def test_a_changed_review_has_no_approvals(self, house: Services) -> None:
        protect(house, 2)
        review = ask(house)
        house.reviews.approve(BEN, review["id"])
        changed = house.reviews.rebase(ADA, review["id"], change={"state": {"on": True, "rollout": 99}})
        assert changed["approvals"] == []
        assert "99 %" in changed["summary"][0]
        with pytest.raises(VersionMismatch):
            house.reviews.approve(CLEO, review["id"], if_match=review["version"])

    def test_a_segment_that_its_rules_name_is_part_of_it(self, house: Services) -> None:
        house.segments.create(ADA, {"key": "beta", "when": PRO})
        review = ask(house, {"state": {"on": True, "rules": [rule({"segment": "beta"})]}})
        house.segments.replace(ADA, "beta", {"when": {"not": PRO}})
        assert house.reviews.get(BEN, review["id"])["status"] == "stale"
        with pytest.raises(ReviewClosed):
            house.reviews.approve(BEN, review["id"])

    def test_what_cannot_be_made_any_more_is_stale(self, house: Services) -> None:
        review = ask(house)
        house.flags.delete(ADMIN, CHECKOUT, FLAG, reason="gone")
        with pytest.raises(ReviewClosed, match="there is no flag"):
            house.reviews.approve(BEN, review["id"])
        assert house.reviews.get(BEN, review["id"])["current"] is None

    def test_environments_that_it_reaches_since_make_it_stale(self, house: Services) -> None:
        house.segments.create(ADA, {"key": "beta", "when": PRO})
        house.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rules": [rule({"segment": "beta"})]}, reason="x")
        asked = {"segment": "beta", "change": {"replace": {"when": {"not": PRO}}}, "reason": "x"}
        review = house.reviews.open(ADA, asked)
        house.flags.set_state(ADA, CHECKOUT, "old-banner", "staging", {"rules": [rule({"segment": "beta"})]})
        assert house.reviews.get(BEN, review["id"])["status"] == "stale"


class TestEnding:
    def test_an_approver_rejects_it_with_a_reason(self, house: Services) -> None:
        review = ask(house)
        with pytest.raises(Forbidden):
            house.reviews.reject(ADA, review["id"])
        rejected = house.reviews.reject(BEN, review["id"], reason="not on Friday")
        assert (rejected["status"], rejected["closed"]["reason"]) == ("rejected", "not on Friday")
        for again in (house.reviews.approve, house.reviews.reject):
            with pytest.raises(ReviewClosed, match="ben has rejected it"):
                again(CLEO, review["id"])

    def test_only_its_author_withdraws_it(self, house: Services) -> None:
        review = ask(house)
        with pytest.raises(Forbidden):
            house.reviews.withdraw(BEN, review["id"])
        assert house.reviews.withdraw(ADA, review["id"])["status"] == "withdrawn"
        with pytest.raises(ReviewClosed):
            house.reviews.rebase(ADA, review["id"])

    def test_it_expires(self, house: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        protect(house, review_days=2)
        review = ask(house)
        late = timestamp(datetime.now(UTC) + timedelta(days=1, hours=23))
        monkeypatch.setattr(reviews, "now", lambda: late)
        assert house.reviews.get(ADA, review["id"])["status"] == "open"
        late = timestamp(datetime.now(UTC) + timedelta(days=2, hours=1))
        assert house.reviews.get(ADA, review["id"])["status"] == "expired"
        assert [each["id"] for each in house.reviews.list(ADA, status="expired").items] == [review["id"]]
        with pytest.raises(ReviewClosed, match="expired"):
            house.reviews.approve(BEN, review["id"])
        with pytest.raises(ReviewClosed):
            house.reviews.rebase(ADA, review["id"])

    def test_what_is_over_for_long_makes_room(self, house: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        long_ago = timestamp(datetime.now(UTC) - timedelta(days=reviews.KEPT_DAYS + 1))
        with monkeypatch.context() as patched:
            patched.setattr(review_forms, "now", lambda: long_ago)
            patched.setattr(review_forms, "timestamp", lambda _: long_ago)
            old = ask(house)
        ask(house)
        with pytest.raises(NotFound):
            house.reviews.get(ADA, old["id"])


class TestOtherChanges:
    def test_a_restore(self, house: Services) -> None:
        house.kill.kill(ADA, CHECKOUT, FLAG, environment="production")
        with pytest.raises(ApprovalRequired):
            house.kill.restore(ADA, CHECKOUT, FLAG, environment="production", reason="fixed")
        review = ask(house, {"restore": True})
        assert review["summary"] == ["In production: the kill is lifted; it is then off for everyone."]
        house.reviews.approve(BEN, review["id"])
        assert state(house)["killed"] is None

    def test_a_deletion(self, house: Services) -> None:
        review = ask(house, {"delete": True})
        house.reviews.approve(BEN, review["id"])
        with pytest.raises(NotFound):
            house.flags.get(ADMIN, CHECKOUT, FLAG)
        assert house.reviews.get(ADA, review["id"])["after"] is None

    def test_a_replacement_and_a_patch(self, house: Services) -> None:
        on = {"type": "boolean", "environments": {"production": {"on": True}}}
        house.reviews.approve(BEN, ask(house, {"replace": on})["id"])
        assert state(house)["on"] is True
        patch = {"patch": {"variants": {"late": False}}}
        house.reviews.approve(BEN, ask(house, patch)["id"])
        assert "late" in house.flags.get(ADMIN, CHECKOUT, FLAG)["variants"]

    def test_a_new_flag_that_is_on(self, house: Services) -> None:
        on = {"type": "boolean", "environments": {"production": {"on": True}}}
        review = ask(house, {"replace": on}, flag="newest")
        assert review["before"] is None
        house.reviews.approve(BEN, review["id"])
        assert house.flags.get(ADMIN, CHECKOUT, "newest")["environments"]["production"]["on"] is True

    def test_a_segment(self, house: Services) -> None:
        house.segments.create(ADA, {"key": "beta", "when": PRO})
        house.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"rules": [rule({"segment": "beta"})]}, reason="x")
        asked = {"segment": "beta", "change": {"replace": {"when": {"not": PRO}}}, "reason": "the others"}
        review = house.reviews.open(ADA, asked)
        assert review["summary"] == [
            "The segment beta is everyone whose plan is not pro; it was everyone whose plan is pro."
        ]
        house.reviews.approve(BEN, review["id"])
        assert house.segments.get(ADA, "beta")["when"] == {"not": PRO}

    def test_less_protection(self, house: Services) -> None:
        asked = {"environment": "production", "change": {"patch": {"protected": False}}, "reason": "quiet now"}
        review = house.reviews.open(MANAGER, asked)
        assert review["summary"][0] == "production is not protected any more."
        house.reviews.approve(BEN, review["id"])
        assert house.catalog.get_environment(ADMIN, "production")["protected"] is False

    def test_where_nothing_is_protected_one_may_ask_all_the_same(self, house: Services) -> None:
        review = ask(house, environment="staging")
        assert review["approvals_needed"] == 1
        house.reviews.approve(BEN, review["id"])
        assert state(house, "staging")["on"] is True


class TestLooking:
    def test_lists_are_filtered_and_newest_first(self, house: Services) -> None:
        first, second = ask(house), ask(house, {"state": {"on": True}})
        house.reviews.withdraw(ADA, first["id"])
        staging = ask(house, environment="staging")

        def ids(**filters: Any) -> list[str]:
            return [each["id"] for each in house.reviews.list(ADA, **filters).items]

        assert {*ids()} == {first["id"], second["id"], staging["id"]}
        assert ids(status="open", environment="production") == [second["id"]]
        assert ids(status="withdrawn") == [first["id"]]
        assert ids(service="payments") == []

    def test_nobody_sees_beyond_his_scope(self, house: Services) -> None:
        review = ask(house)
        for limited in (actor(environments=["staging"]), actor(services=["payments"])):
            assert house.reviews.list(limited).items == []
            with pytest.raises(NotFound):
                house.reviews.get(limited, review["id"])
        with pytest.raises(Forbidden):
            house.reviews.list(actor("killer"))
        seen = house.history.log(actor(services=["payments"])).items
        assert not any(document["kind"] == "review" for entry in seen for document in entry["documents"])

    def test_states_of_other_environments_are_kept_from_whoever_may_not_see_them(self, house: Services) -> None:
        review = ask(house, {"replace": {"type": "boolean", "environments": {"production": {"on": True}}}})
        seen = house.reviews.get(actor("approver", name="eve", environments=["production"]), review["id"])
        assert [*seen["before"]["environments"]] == ["production"]

    def test_the_log_holds_neither_rights_nor_hands(self, house: Services) -> None:
        ask(house)
        entry = str(house.history.log(ADMIN, limit=1).items[0])
        assert "grants" not in entry and "hands" not in entry
