"""Reviews and protected environments through the HTTP API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from support.api import FLAG, FLAGS, STATE, Client, problem

REVIEWS = "/api/v1/reviews"
PRODUCTION = "/api/v1/environments/production"
WIDER = {"state": {"on": True, "rollout": 25}}
ASKED = {
    "service": "checkout",
    "flag": "new-checkout",
    "environment": "production",
    "change": WIDER,
    "reason": "more users",
}


@pytest.fixture
def guarded(client: Client) -> Client:
    """Production demands one approval; ben is an approver."""
    client.tokens["ben"] = client.post("/api/v1/keys", {"kind": "api", "name": "ben", "role": "approver"}).json["token"]
    assert client.patch(PRODUCTION, {"protected": True, "approvals": 1}).status_code == 200
    return client


def review(client: Client, **more: Any) -> dict[str, Any]:
    answer = client.post(REVIEWS, {**ASKED, **more}, by="editor")
    assert answer.status_code == 201, answer.json
    assert answer.headers["Location"] == f"{REVIEWS}/{answer.json['id']}"
    opened: dict[str, Any] = answer.json
    return opened


class TestReasons:
    @pytest.fixture
    def strict(self, client: Client) -> Client:
        client.patch(PRODUCTION, {"protected": True})
        return client

    def test_a_change_needs_one(self, strict: Client) -> None:
        answer = strict.patch(STATE, {"on": True}, by="editor")
        assert problem(answer) == (422, "invalid")
        assert answer.json["errors"][0]["pointer"] == "#/reason"
        assert strict.patch(STATE, {"on": True, "reason": "go"}, by="editor").status_code == 200

    def test_documents_take_it_from_the_query_or_a_header(self, strict: Client) -> None:
        document = {"type": "boolean", "environments": {"production": {"on": True}}}
        assert problem(strict.put(FLAG, document, by="editor")) == (422, "invalid")
        assert strict.put(f"{FLAG}?reason=go", document, by="editor").status_code == 200
        assert strict.get(f"{FLAG}/history").json["items"][0]["reason"] == "go"
        merge = {"variants": {"late": False}}
        header = {"X_Change_Reason": quote("später ✓")}
        assert strict.patch(FLAG, merge, by="editor", **header).status_code == 200
        assert strict.get(f"{FLAG}/history").json["items"][0]["reason"] == "später ✓"

    def test_a_deletion_takes_it_too(self, strict: Client) -> None:
        answer = strict.delete(FLAG, by="editor")
        assert answer.json["errors"][0]["parameter"] == "reason"
        assert strict.delete(FLAG, by="editor", X_Change_Reason="gone").status_code == 204

    def test_a_segment_in_use_and_a_new_flag_that_is_on(self, strict: Client) -> None:
        pro = {"attribute": "plan", "op": "in", "values": ["pro"]}
        strict.post("/api/v1/segments", {"key": "beta", "when": pro}, by="editor")
        rules = [{"when": {"segment": "beta"}, "serve": {"variant": "on"}}]
        on = {"key": "newest", "type": "boolean", "environments": {"production": {"on": True, "rules": rules}}}
        assert problem(strict.post(FLAGS, on, by="editor")) == (422, "invalid")
        assert strict.post(f"{FLAGS}?reason=go", on, by="editor").status_code == 201
        assert problem(strict.put("/api/v1/segments/beta", {"when": {"not": pro}}, by="editor")) == (422, "invalid")
        assert strict.put("/api/v1/segments/beta?reason=go", {"when": {"not": pro}}, by="editor").status_code == 200

    def test_endless_ones_are_refused(self, strict: Client) -> None:
        assert problem(strict.delete(FLAG, by="editor", X_Change_Reason="x" * 2001)) == (400, "bad-request")
        assert problem(strict.delete(f"{FLAG}?reason={'x' * 2001}", by="editor")) == (422, "invalid")


class TestProtection:
    def test_a_direct_change_is_refused_and_says_how_to_ask(self, guarded: Client) -> None:
        answer = guarded.patch(STATE, {"on": True, "reason": "go"}, by="editor")
        assert problem(answer) == (409, "approval-required")
        assert answer.json["ask"] == REVIEWS
        assert (answer.json["environments"], answer.json["approvals"]) == (["production"], 1)
        assert "POST /api/v1/reviews" in answer.json["detail"]

    def test_off_is_never_held_up(self, guarded: Client) -> None:
        guarded.patch(STATE, {"on": True, "reason": "glass"})
        assert guarded.patch(STATE, {"on": False}, by="editor").status_code == 200
        assert guarded.post(f"{FLAG}/kill", by="operator").status_code == 200
        restored = guarded.post(f"{FLAG}/restore", {"reason": "fixed"}, by="editor")
        assert problem(restored) == (409, "approval-required")

    def test_protection_itself_is_protected(self, guarded: Client) -> None:
        boss = guarded.post("/api/v1/keys", {"kind": "api", "name": "boss", "role": "admin"}).json["token"]
        guarded.tokens["boss"] = boss
        for change in ({"protected": False}, {"approvals": 0}):
            answer = guarded.patch(f"{PRODUCTION}?reason=x", change, by="boss")
            assert problem(answer) == (409, "approval-required")
        assert guarded.patch(PRODUCTION, {"approvals": 2}, by="boss").status_code == 200
        assert guarded.patch(f"{PRODUCTION}?reason=glass", {"approvals": 0}).status_code == 200
        assert guarded.get("/api/v1/log?limit=1").json["items"][0]["broke_glass"] == ["production"]

    @pytest.mark.parametrize(
        "body", [{"approvals": 4}, {"approvals": -1}, {"approvals": True}, {"protected": 1}, {"review_days": 0}]
    )
    def test_fields_are_checked(self, client: Client, body: dict[str, Any]) -> None:
        assert problem(client.patch(PRODUCTION, body)) == (422, "invalid")
        answer = client.patch(PRODUCTION, {"approvals": 1})
        assert answer.json["errors"][0]["pointer"] == "#/approvals"

    def test_environments_can_be_made_protected(self, client: Client) -> None:
        made = client.post("/api/v1/environments", {"key": "vault", "protected": True, "approvals": 2}).json
        assert (made["protected"], made["approvals"], made["review_days"]) == (True, 2, 7)


class TestReviews:
    def test_from_asking_to_the_change(self, guarded: Client) -> None:
        opened = review(guarded)
        assert opened["summary"][0] == "In production: switched on; it is then on for 25 % of users."
        assert problem(guarded.post(f"{REVIEWS}/{opened['id']}/approve", by="editor")) == (403, "forbidden")
        applied = guarded.post(f"{REVIEWS}/{opened['id']}/approve", by="ben").json
        assert (applied["status"], applied["approvals"][0]["by"]) == ("applied", "ben")
        assert guarded.get(STATE).json["on"] is True
        entry = guarded.get(f"{FLAG}/history?limit=1").json["items"][0]
        assert entry["review"] == {"id": opened["id"], "author": "editor", "approvers": ["ben"]}
        again = guarded.post(f"{REVIEWS}/{opened['id']}/reject", by="ben")
        assert problem(again) == (409, "review-closed")
        assert again.json["review_status"] == "applied"

    def test_an_approval_is_for_what_was_looked_at(self, guarded: Client) -> None:
        opened = review(guarded)
        place = f"{REVIEWS}/{opened['id']}/approve"
        assert problem(guarded.post(place, by="ben", if_match='"1"')) == (412, "version-mismatch")
        assert guarded.post(place, by="ben", if_match=f'"{opened["version"]}"').status_code == 200

    def test_rejected_and_withdrawn(self, guarded: Client) -> None:
        one, other = review(guarded), review(guarded)
        rejected = guarded.post(f"{REVIEWS}/{one['id']}/reject", {"reason": "not now"}, by="ben").json
        assert (rejected["status"], rejected["closed"]["reason"]) == ("rejected", "not now")
        assert problem(guarded.post(f"{REVIEWS}/{other['id']}/withdraw", by="ben")) == (403, "forbidden")
        assert guarded.post(f"{REVIEWS}/{other['id']}/withdraw", by="editor").json["status"] == "withdrawn"
        listed = guarded.get(f"{REVIEWS}?status=rejected&environment=production&service=checkout").json["items"]
        assert [each["id"] for each in listed] == [one["id"]]

    def test_stale_and_taken_up_again(self, guarded: Client) -> None:
        opened = review(guarded)
        guarded.patch(STATE, {"rollout": 1, "reason": "glass"})
        stale = guarded.post(f"{REVIEWS}/{opened['id']}/approve", by="ben")
        assert (problem(stale), stale.json["review_status"]) == ((409, "review-closed"), "stale")
        shown = guarded.get(f"{REVIEWS}/{opened['id']}").json
        assert shown["current"] != shown["before"]
        assert guarded.post(f"{REVIEWS}/{opened['id']}/rebase", by="editor").json["status"] == "open"
        assert guarded.post(f"{REVIEWS}/{opened['id']}/approve", by="ben").json["status"] == "applied"

    def test_applied_by_hand_where_fewer_approvals_are_demanded_since(self, guarded: Client) -> None:
        guarded.patch(PRODUCTION, {"approvals": 2})
        opened = review(guarded)
        guarded.post(f"{REVIEWS}/{opened['id']}/approve", by="ben")
        assert problem(guarded.post(f"{REVIEWS}/{opened['id']}/apply", by="editor")) == (422, "invalid")
        guarded.patch(f"{PRODUCTION}?reason=glass", {"approvals": 1})
        assert guarded.post(f"{REVIEWS}/{opened['id']}/apply", by="editor").json["status"] == "applied"

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"state": {"rollout": 101}}, "#/change/state/rollout"),
            (
                {"state": {"rules": [{"when": {"segment": "no"}, "serve": {"variant": "on"}}]}},
                "#/change/state/rules/0/when/segment",
            ),
            ({"patch": {"tags": "x"}}, "#/change/patch/tags"),
            ({"replace": {}}, "#/change/replace/type"),
            ({"replace": {"type": "boolean", "nonsense": 1}}, "#/change/replace/nonsense"),
            ({"patch": None}, "#/change/patch"),
            ({"nonsense": 1}, "#/change/nonsense"),
            ({}, "#/change"),
        ],
    )
    def test_what_could_never_be_applied_is_refused_with_a_pointer(
        self, guarded: Client, change: dict[str, Any], pointer: str
    ) -> None:
        asked = {name: value for name, value in ASKED.items() if name != "environment" or "state" in change}
        answer = guarded.post(REVIEWS, {**asked, "change": change}, by="editor")
        assert problem(answer) == (422, "invalid")
        assert pointer in [each["pointer"] for each in answer.json["errors"]]

    def test_segments_and_environments(self, guarded: Client) -> None:
        pro = {"attribute": "plan", "op": "in", "values": ["pro"]}
        guarded.post("/api/v1/segments", {"key": "beta", "when": pro})
        rules = [{"when": {"segment": "beta"}, "serve": {"variant": "on"}}]
        guarded.patch(STATE, {"rules": rules, "reason": "glass"})
        change = {"segment": "beta", "change": {"replace": {"when": {"not": pro}}}, "reason": "x"}
        opened = guarded.post(REVIEWS, change, by="editor").json
        assert guarded.post(f"{REVIEWS}/{opened['id']}/approve", by="ben").json["status"] == "applied"
        lower = {"environment": "production", "change": {"patch": {"approvals": 0}}, "reason": "x"}
        assert problem(guarded.post(REVIEWS, lower, by="editor")) == (403, "forbidden")
        wrong = {"environment": "production", "change": {"patch": {"approvals": 9}}, "reason": "x"}
        answer = guarded.post(REVIEWS, wrong)
        assert answer.json["errors"][0]["pointer"] == "#/change/patch/approvals"

    def test_repeated_requests_are_one(self, guarded: Client) -> None:
        one, again = (guarded.post(REVIEWS, ASKED, by="editor", idempotency_key="k").json["id"] for _ in range(2))
        assert one == again
        first, second = (
            guarded.post(f"{REVIEWS}/{one}/approve", by="ben", idempotency_key="a").json["status"] for _ in range(2)
        )
        assert first == second == "applied"

    def test_strangers_see_nothing(self, guarded: Client) -> None:
        opened = review(guarded)
        for stranger in ("stranger", "tester"):
            assert guarded.get(REVIEWS, by=stranger).json["items"] == []
            assert problem(guarded.get(f"{REVIEWS}/{opened['id']}", by=stranger)) == (404, "not-found")
        assert problem(guarded.get(REVIEWS, by="killer")) == (403, "forbidden")
        assert problem(guarded.get(f"{REVIEWS}/0123", by="viewer")) == (404, "not-found")
