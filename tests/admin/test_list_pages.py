"""The lists and their forms: what each says, who may do what, and what is shown once."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.pages import Browserless
from werkzeug.test import TestResponse

ON = {"on": True, "rules": [], "otherwise": {"variant": "on"}}
PAGES = ("/changes", "/services", "/environments", "/segments", "/stale", "/reviews")
CONDITION = {"any": [{"attribute": "plan", "op": "in", "values": ["pro"]}]}


@pytest.fixture
def shop(visitor: Browserless) -> Browserless:
    services, boss = visitor.services, visitor.bootstrap
    services.catalog.create_service(boss, {"key": "checkout"})
    services.segments.create(boss, {"key": "pros", "name": "Professionals", "when": CONDITION})
    rule = {"name": "pros", "when": {"segment": "pros"}, "serve": {"variant": "on"}}
    services.flags.create(
        boss,
        "checkout",
        {
            "key": "new-checkout",
            "type": "boolean",
            "environments": {"production": ON, "staging": ON | {"rules": [rule]}},
        },
    )
    return visitor


def words(answer: TestResponse) -> str:
    main = re.search(r"<main.*</main>", answer.text, re.DOTALL)
    assert main, answer.text
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main[0])).split())


def made(visitor: Browserless, list_of: str, index: int = 0) -> str:
    """Id of something that was made."""
    listing: Any = getattr(visitor.services, list_of)
    return str(listing.list(visitor.bootstrap).items[index]["id"])


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("role", ["viewer", "operator", "editor", "approver", "boss"])
def test_each_role_may_look_at_what_is_everybodys(shop: Browserless, path: str, role: str) -> None:
    answer = shop.by("admin" if role == "boss" else role, name=f"{role}-1").get(path)
    assert answer.status_code == 200 and "<h1" in answer.text


@pytest.mark.parametrize("path", ["/keys", "/links", "/webhooks"])
def test_secrets_are_for_administrators(shop: Browserless, path: str) -> None:
    assert shop.by("approver").get(path).status_code == 403
    assert shop.by("approver").post(path, {"kind": "sdk", "name": "x"}).status_code == 403
    assert shop.by("admin", name="boss").get(path).status_code == 200
    assert shop.stranger().get(path).status_code == 303


# Changes.


def test_changes_are_listed_by_day_and_filtered(shop: Browserless) -> None:
    shop.services.kill.kill(shop.bootstrap, "checkout", "new-checkout", reason="double charges")
    viewer = shop.sign_in("viewer")
    page = viewer.get("/changes")
    newest = viewer.services.history.log(viewer.bootstrap).items[0]
    day = datetime.fromisoformat(newest["at"]).astimezone(UTC).strftime("%-d %B %Y")
    assert day in words(page) and "double charges" in words(page)
    kills = words(viewer.get("/changes?action=flag.kill&service=checkout&environment=production"))
    assert "double charges" in kills and "segment pros" not in kills
    assert "Nothing happened that fits" in words(viewer.get("/changes?by=nobody"))
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert "Nothing happened" in words(viewer.get(f"/changes?since={tomorrow}"))
    assert "double charges" in words(viewer.get(f"/changes?until={tomorrow}"))
    wrong = viewer.get("/changes?since=soon")
    assert wrong.status_code == 422 and "xpected a day" in words(wrong)
    assert viewer.get("/changes?flag=bare").status_code in (200, 422)


def test_a_change_has_a_page_with_what_differs(shop: Browserless) -> None:
    done = shop.services.kill.kill(shop.bootstrap, "checkout", "new-checkout", reason="<b>double</b>")
    page = shop.sign_in("viewer").get(f"/changes/{done.revision}")
    assert "environments › production › killed" in words(page)
    assert "In production: killed; everyone gets off." in words(page)
    assert "&lt;b&gt;double" in page.text and "<b>double" not in page.text
    assert shop.get("/changes/999999").status_code == 404


def test_what_has_an_id_is_called_by_its_name(shop: Browserless) -> None:
    services, boss = shop.services, shop.bootstrap
    key = services.keys.create(boss, {"kind": "api", "name": "deploy pipeline", "role": "viewer"})
    services.keys.rotate(boss, key["id"])
    services.people.create(boss, {"login": "ada", "grants": [{"role": "viewer"}]})
    where = {"name": "runbook", "service": "checkout", "flag": "new-checkout", "environment": "production"}
    link = services.links.create(boss, where)
    services.links.revoke(boss, link["id"])
    until = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    services.staleness.snooze(boss, "checkout", "new-checkout", {"until": until, "reason": "it stays"})
    text = words(shop.by("admin", name="boss").get("/changes"))
    for title in (
        "Created key deploy pipeline",
        "Rotated key deploy pipeline",
        "Created person ada",
        "Revoked kill link runbook",
        "Left alone as stale: checkout/new-checkout",
    ):
        assert title in text
    assert key["id"] not in text and link["id"] not in text


def test_long_timelines_are_paged(shop: Browserless) -> None:
    for number in range(55):
        shop.services.flags.patch(shop.bootstrap, "checkout", "new-checkout", {"description": str(number)})
    page = shop.sign_in("viewer").get("/changes?service=checkout")
    after = html.unescape(re.search(r'href="(/changes\?[^"]*cursor=[^"]*)"', page.text)[1])  # type: ignore[index]
    assert "service=checkout" in after and shop.get(after).status_code == 200
    assert "The newest" in words(shop.get(after))


def test_the_export_and_refused_attempts_are_for_those_who_audit(shop: Browserless) -> None:
    assert "Export" not in words(shop.by("editor").get("/changes"))
    boss = shop.by("admin", name="boss")
    assert "/api/v1/audit/export?service=checkout" in boss.get("/changes?service=checkout").text
    assert boss.get("/changes?action=refused").status_code == 200
    assert shop.by("editor").get("/changes?action=refused").status_code == 403


# Services and environments.


def test_services_are_made_renamed_and_deleted(shop: Browserless) -> None:
    boss = shop.sign_in("admin", name="boss")
    assert boss.post("/services", {"key": "payments", "name": "Money"}).status_code == 303
    assert "Money" in words(boss.get("/services"))
    again = boss.post("/services", {"key": "payments", "name": "typed"})
    assert again.status_code == 409 and "already" in words(again) and "typed" in again.text
    assert boss.post("/services", {"key": "No Blanks"}).status_code == 422
    assert boss.post("/services/payments/name", {"name": "Treasure"}).status_code == 303
    used = boss.post("/services/checkout/delete")
    assert used.status_code == 409 and "in use by" in words(used)
    assert boss.post("/services/payments/delete").status_code == 303
    assert shop.by("editor").post("/services", {"key": "mine"}).status_code == 403


def protect(boss: Browserless, **more: str) -> TestResponse:
    form = {"protected": "1", "approvals": "1", "review_days": "7", "name": "Production", **more}
    return boss.post("/environments/production", form)


def test_an_environment_is_made_and_protected(shop: Browserless) -> None:
    boss = shop.sign_in("admin", name="boss")
    assert boss.post("/environments", {"key": "canary"}).status_code == 303
    assert protect(boss).status_code == 303
    assert "1 approval of others" in words(boss.get("/environments"))
    assert boss.post("/environments/canary/delete").status_code == 303
    wrong = protect(boss, approvals="many", reason="typed")
    assert wrong.status_code == 422 and "typed" in wrong.text


def test_less_protection_of_a_protected_environment_is_reviewed(shop: Browserless) -> None:
    boss = shop.sign_in("admin", name="boss")
    protect(boss)
    assert protect(boss, approvals="0").status_code == 422
    answer = protect(boss, approvals="0", reason="we are few")
    assert answer.status_code == 303 and answer.headers["Location"].startswith("/reviews/")
    assert shop.services.catalog.get_environment(shop.bootstrap, "production")["approvals"] == 1


# Segments.


def test_segments_are_told_in_words_with_who_uses_them(shop: Browserless) -> None:
    viewer = shop.sign_in("viewer")
    assert "whose plan is pro" in words(viewer.get("/segments"))
    page = viewer.get("/segments/pros")
    assert "checkout/new-checkout" in words(page) and "Save the segment" not in words(page)


def test_segments_are_made_changed_and_deleted(shop: Browserless) -> None:
    editor = shop.sign_in("editor")
    form = {"key": "few", "name": "Few", "when": json.dumps(CONDITION)}
    assert editor.post("/segments", form).status_code == 303
    broken = editor.post("/segments/few", {**form, "when": "{nonsense"})
    assert broken.status_code == 422 and "no JSON" in words(broken) and "{nonsense" in html.unescape(broken.text)
    version = re.search(r'name="version" value="(\d+)"', editor.get("/segments/few").text)[1]  # type: ignore[index]
    change = {"name": "Fewer", "when": json.dumps(CONDITION), "version": version}
    assert editor.post("/segments/few", change).status_code == 303
    overtaken = editor.post("/segments/few", {**change, "name": "Mine"})
    assert overtaken.status_code == 409 and "What it is now" in words(overtaken) and "Mine" in overtaken.text
    assert editor.post("/segments/pros/delete").status_code == 409
    assert editor.post("/segments/few/delete").status_code == 303
    assert editor.get("/segments/few").status_code == 404


def test_a_segment_that_a_guarded_environment_uses_is_reviewed(shop: Browserless) -> None:
    shop.services.catalog.patch_environment(shop.bootstrap, "staging", {"protected": True, "approvals": 1})
    when = json.dumps({"any": [{"attribute": "plan", "op": "in", "values": ["pro", "team"]}]})
    editor = shop.sign_in("editor")
    assert editor.post("/segments/pros", {"when": when, "name": "Professionals"}).status_code == 422
    answer = editor.post("/segments/pros", {"when": when, "name": "Professionals", "reason": "teams too"})
    assert answer.status_code == 303 and answer.headers["Location"].startswith("/reviews/")


# Keys, links, webhooks.


def test_a_token_is_shown_once_rotated_and_revoked(shop: Browserless) -> None:
    boss = shop.sign_in("admin", name="boss")
    page = boss.post("/keys", {"kind": "sdk", "name": "checkout here", "environment": "production"})
    token = re.search(r'id="secret">(dh_sdk_[^<]+)<', page.text)[1]  # type: ignore[index]
    assert page.headers["Cache-Control"] == "no-store"
    assert token not in boss.get("/keys").text and "checkout here" in words(boss.get("/keys"))
    key = made(shop, "keys")
    rotated = boss.post(f"/keys/{key}/rotate", {"overlap": "3600"})
    second = re.search(r'id="secret">(dh_sdk_[^<]+)<', rotated.text)[1]  # type: ignore[index]
    assert second != token and "two tokens alive" in words(rotated)
    third = boss.post(f"/keys/{key}/rotate", {})
    assert third.status_code == 409 and "are good until" in words(third)
    assert boss.post(f"/keys/{key}/end-previous").status_code == 303
    assert boss.post(f"/keys/{key}/revoke").status_code == 303
    assert "No keys yet" in words(boss.get("/keys"))


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"kind": "api", "name": "ci", "role": "editor", "services": "checkout", "expires": "2099-01-31"}, 200),
        ({"kind": "kill", "name": "alerts", "environments": "production, staging"}, 200),
        ({"kind": "api", "name": "ci", "role": "editor", "expires": "2001-01-31"}, 422),
        ({"kind": "api", "name": "ci", "role": "editor", "expires": "soon"}, 422),
        ({"kind": "api", "name": "ci", "role": "king"}, 422),
        ({"kind": "sdk", "name": "", "environment": "production"}, 422),
        ({"kind": "sdk", "name": "typed", "environment": "nowhere"}, 422),
        ({"kind": "kill", "name": "typed", "services": "nowhere"}, 422),
    ],
)
def test_every_kind_of_token(shop: Browserless, form: dict[str, str], status: int) -> None:
    answer = shop.sign_in("admin", name="boss").post("/keys", form)
    assert answer.status_code == status, words(answer)
    assert ('id="secret"' in answer.text) == (status == 200)
    assert status == 200 or form["name"] in answer.text


def test_a_kill_link_is_shown_once_and_revoked(shop: Browserless) -> None:
    boss = shop.sign_in("admin", name="boss")
    form = {"name": "runbook", "flag": "checkout/new-checkout", "environment": "production"}
    page = boss.post("/links", form)
    url = html.unescape(re.search(r'id="secret">([^<]+)<', page.text)[1])  # type: ignore[index]
    assert re.fullmatch(r"http://localhost/k/dh_kill_\S+", url)
    assert url not in boss.get("/links").text and "runbook" in words(boss.get("/links"))
    assert boss.post("/links", {**form, "flag": "bare"}).status_code == 422
    assert boss.post("/links", {**form, "flag": "checkout/nowhere"}).status_code == 422
    assert boss.post(f"/links/{made(shop, 'links')}/revoke").status_code == 303
    assert "No kill links yet" in words(boss.get("/links"))


def test_webhooks_are_made_switched_and_deleted(shop: Browserless) -> None:
    boss = shop.sign_in("admin", name="boss")
    form = {
        "name": "chat",
        "url": "https://hooks.example.com/T/1",
        "format": "slack",
        "events": "flag.kill, flag.restore",
    }
    page = boss.post("/webhooks", form)
    assert re.search(r'id="secret">whsec_', page.text)
    hook = made(shop, "hooks")
    assert "whsec_" not in boss.get(f"/webhooks/{hook}").text and "chat" in words(boss.get("/webhooks"))
    assert boss.post(f"/webhooks/{hook}/enabled", {"enabled": "0"}).status_code == 303
    assert "Switched off" in words(boss.get(f"/webhooks/{hook}"))
    assert boss.post(f"/webhooks/{hook}", {**form, "name": "talk"}).status_code == 303
    wrong = boss.post("/webhooks", {**form, "url": "ftp://example.com", "name": "typed"})
    assert wrong.status_code == 422 and "typed" in wrong.text
    assert re.search(r'id="secret">whsec_', boss.post(f"/webhooks/{hook}/rotate").text)
    assert boss.post(f"/webhooks/{hook}/delete").status_code == 303


# Reviews.


def review(shop: Browserless) -> str:
    shop.services.catalog.patch_environment(shop.bootstrap, "production", {"protected": True, "approvals": 1})
    editor = shop.by("editor", name="author")
    wanted = {
        "service": "checkout",
        "flag": "new-checkout",
        "environment": "production",
        "change": {"state": {"rollout": 50}},
        "reason": "half of them",
    }
    return f"/reviews/{shop.services.reviews.open(editor.actor, wanted)['id']}"  # type: ignore[arg-type]


def test_a_review_says_what_it_does_and_another_one_approves_it(shop: Browserless) -> None:
    path = review(shop)
    author = shop.by("editor", name="author")
    page = words(author.get(path))
    assert "In production: on for 50 % of users" in page and "half of them" in page and "0 of 1 approved" in page
    assert "Approve, and make the change now" not in page and "Withdraw" in page
    assert author.post(path, {"verb": "approve"}).status_code == 403
    approver = shop.by("approver", name="other")
    assert "Waits for you" in words(approver.get("/reviews"))
    assert "Approve, and make the change now" in words(approver.get(path))
    assert approver.post(path, {"verb": "approve"}).status_code == 303
    assert "1 of 1 approved" in words(approver.get(path)) and "Made" in words(approver.get(path))
    late = approver.post(path, {"verb": "reject"})
    assert late.status_code >= 400 and "already" in words(late)


def test_a_review_is_rejected_with_a_reason_or_withdrawn(shop: Browserless) -> None:
    path = review(shop)
    approver = shop.by("approver", name="other")
    assert approver.post(path, {"verb": "reject", "reason": "not today"}).status_code == 303
    assert "not today" in words(approver.get(path))
    assert approver.post(path, {"verb": "explode"}).status_code == 404
    assert "Nothing waits for anybody" in words(approver.get("/reviews"))
    assert "checkout/new-checkout" in words(approver.get("/reviews?status=rejected"))


def test_a_review_that_was_overtaken_says_so(shop: Browserless) -> None:
    path = review(shop)
    shop.services.flags.set_state(
        shop.bootstrap, "checkout", "new-checkout", "production", {"rollout": 10}, reason="meanwhile"
    )
    author = shop.by("editor", name="author")
    page = words(author.get(path))
    assert "It was overtaken" in page and "on for 10 % of users" in page and "Ask anew" in page
    assert author.post(path, {"verb": "rebase"}).status_code == 303
    assert "It was overtaken" not in words(author.get(path))


# Stale flags.


def test_a_stale_flag_is_left_alone_for_a_while(shop: Browserless) -> None:
    shop.services.flags.create(
        shop.bootstrap, "checkout", {"key": "gone", "type": "boolean", "expires": "2020-01-01", "owner": "team-a"}
    )
    editor = shop.sign_in("editor")
    page = words(editor.get("/stale"))
    assert "checkout/gone" in page and "expiry date has passed" in page and "team-a" in page
    snooze = "/services/checkout/flags/gone/snooze"
    until = (datetime.now(UTC).date() + timedelta(days=5)).isoformat()
    wrong = editor.post(snooze, {"until": until, "reason": " "})
    assert wrong.status_code == 422 and "ay why" in words(wrong)
    assert editor.post(snooze, {"until": until, "reason": "the sale"}).status_code == 303
    assert "Nothing to tidy up" in words(editor.get("/stale"))
    assert "the sale" in words(editor.get("/stale?snoozed=1"))
    assert editor.post("/services/checkout/flags/gone/wake").status_code == 303
    assert "checkout/gone" in words(editor.get("/stale"))
    assert shop.by("operator").post(snooze, {"until": until, "reason": "x"}).status_code == 403


def test_a_new_segment_is_filled_in_with_clauses(shop: Browserless) -> None:
    editor = shop.by("editor")
    assert editor.post("/segments", {"key": "crew"}).headers["Location"] == "/segments/crew"
    clause = {"when.kind": "any", "when.0.kind": "clause", "when.0.attribute": "team", "when.0.op": "in"}
    more = editor.post("/segments/crew", {**clause, "when.0.values": "us", "do": "group:when"})
    assert more.status_code == 200
    assert 'name="when.1.0.attribute"' in more.text
    wrong = editor.post("/segments/crew", {**clause, "when.0.values": "", "do": "save"})
    assert wrong.status_code == 422
    assert 'value="team"' in wrong.text
    assert editor.post("/segments/crew", {**clause, "when.0.values": "us", "do": "save"}).status_code == 303
    found = editor.services.segments.get(editor.bootstrap, "crew")
    assert found["when"] == {"any": [{"attribute": "team", "op": "in", "values": ["us"]}]}
