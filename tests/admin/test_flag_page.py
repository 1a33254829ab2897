"""The page of a flag: what it says, what can be changed and by whom, and that nothing typed is lost."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from downhaul_server.services.actors import SdkKey
from support.pages import Browserless
from support.waiting import wait_until
from werkzeug.test import TestResponse

FLAG = "/services/checkout/flags/new-cart"
PLACE = {"environment": "production"}
PRO = {"all": [{"attribute": "plan", "op": "in", "values": ["pro"]}]}
RULES = [
    {"name": "paying", "when": PRO, "serve": {"variant": "on"}},
    {
        "name": "staff",
        "when": {"all": [{"attribute": "team", "op": "in", "values": ["us"]}]},
        "serve": {"variant": "on"},
    },
]
STATE = {"on": True, "rules": RULES, "otherwise": {"variant": "off"}}


@pytest.fixture
def shop(visitor: Browserless) -> Browserless:
    boss = visitor.bootstrap
    visitor.services.catalog.create_service(boss, {"key": "checkout"})
    wanted = {"key": "new-cart", "type": "boolean", "environments": {"production": STATE}}
    visitor.services.flags.create(boss, "checkout", wanted)
    return visitor.sign_in("editor")


def flag(shop: Browserless) -> dict[str, Any]:
    return shop.services.flags.get(shop.bootstrap, "checkout", "new-cart")


def state(shop: Browserless, place: str = "production") -> Any:
    return flag(shop)["environments"][place]


def words(answer: TestResponse) -> str:
    main = re.search(r"<main.*</main>", answer.text, re.DOTALL)
    assert main
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main[0])).split())


def send(shop: Browserless, place: str, **form: Any) -> TestResponse:
    return shop.post(f"{FLAG}/{place}", PLACE | {"version": flag(shop)["version"]} | form)


def rule_form(**more: str) -> dict[str, str]:
    return {
        "name": "beta",
        "when.kind": "any",
        "when.0.kind": "clause",
        "when.0.attribute": "plan",
        "when.0.op": "in",
        "when.0.values": "beta",
        "serve.kind": "variant",
        "serve.variant": "on",
    } | more


class TestWhatItSays:
    def test_in_plain_words_with_numbered_rules(self, shop: Browserless) -> None:
        text = words(shop.get(f"{FLAG}?environment=production"))
        assert "In production it is on for everyone whose plan is pro" in text
        assert "the first that matches wins" in text
        assert text.index("paying") < text.index("staff")
        assert "Kill in production" in text

    def test_why_a_user_got_that(self, shop: Browserless) -> None:
        text = words(shop.get(f"{FLAG}?environment=production&context=user%3Dada%0Aplan%3Dfree"))
        assert "Gets off" in text
        assert "paying, does not match: plan is 'free', expected in 'pro'" in text

    def test_where_a_user_stands_in_a_split(self, shop: Browserless) -> None:
        shop.services.flags.set_state(
            shop.bootstrap, "checkout", "new-cart", "production", {"rules": [], "rollout": 25}
        )
        assert "user ada stands at" in words(shop.get(f"{FLAG}?environment=production&context=user%3Dada"))

    def test_who_it_is_tried_for_is_in_no_address(self, shop: Browserless) -> None:
        answer = shop.by("viewer").post(f"{FLAG}/explain", PLACE | {"context": "user=ada\nplan=pro"})
        assert answer.status_code == 200
        assert "Gets on" in words(answer)
        assert "ada" in answer.text
        assert shop.get(f"{FLAG}/explain").headers["Location"] == FLAG

    def test_evaluations_over_time_in_the_colours_of_the_variants(self, shop: Browserless) -> None:
        made = shop.services.keys.create(shop.bootstrap, {"kind": "sdk", "name": "x", "environment": "production"})
        key = shop.services.authenticate(made["token"])
        assert isinstance(key, SdkKey)
        shop.services.evaluations.add(key, "checkout", {"new-cart": {"off": 4_321, "gone": 7}})
        place = {"environment": "production"}
        wait_until(
            lambda: shop.services.evaluations.of(shop.bootstrap, "checkout", "new-cart", **place)[-1]["counts"],
            "it is counted",
        )
        for over, says in (
            ("", "the last day"),
            ("week", "the last week"),
            ("month", "the last 30 days"),
            ("x", "day"),
        ):
            page = shop.get(f"{FLAG}?environment=production&over={over}")
            assert says in words(page)
            assert "4 321" in words(page)
            assert 'class="share-off"' in page.text and 'class="share-other"' in page.text
            assert 'class="share-0" x=' not in page.text.partition('class="hours"')[2].partition("</svg>")[0]

    def test_history_has_the_differences(self, shop: Browserless) -> None:
        shop.services.flags.patch(shop.bootstrap, "checkout", "new-cart", {"owner": "cart team"})
        text = words(shop.get(f"{FLAG}?environment=production"))
        assert "owner" in text and "cart team" in text

    def test_a_malformed_context_is_said_and_kept(self, shop: Browserless) -> None:
        text = shop.get(f"{FLAG}?context=nonsense").text
        assert "expected name=value" in text
        assert ">nonsense</textarea>" in text

    def test_a_viewer_is_offered_nothing(self, shop: Browserless) -> None:
        text = shop.by("viewer").get(f"{FLAG}?environment=production").text
        assert re.findall(f'action="{FLAG}/(\\w+)', text) == ["explain"]
        assert "/kill?" not in text

    def test_killed(self, shop: Browserless) -> None:
        shop.services.kill.kill(shop.bootstrap, "checkout", "new-cart", environment="production", reason="smoke")
        text = words(shop.get(f"{FLAG}?environment=production"))
        assert "killed: off for everyone" in text
        assert "smoke" in text
        assert "Restore in production" in text
        assert "the rules below decide" not in text and "this counts again after a restore" in text


FORMS = [
    ("state", {"do": "off"}),
    ("rules", {"do": "remove:1"}),
    ("rules/new", {"do": "save", **rule_form()}),
    ("facts", {"owner": "mallory"}),
    ("variants", {"name": "on", "value": "true", "off_variant": "on"}),
    ("json", {"json": "{}"}),
    ("return", {"revision": "1"}),
    ("delete", {}),
]


@pytest.mark.parametrize("role", ["viewer", "operator"])
@pytest.mark.parametrize(("place", "form"), FORMS)
def test_whoever_may_not_edit_changes_nothing_through_forms(
    shop: Browserless, role: str, place: str, form: dict[str, str]
) -> None:
    before = flag(shop)
    answer = send(shop.by(role), place, **form)
    assert answer.status_code in (403, 404)
    assert flag(shop) == before


class TestState:
    def test_off_and_on_again(self, shop: Browserless) -> None:
        assert send(shop, "state", do="off").status_code == 303
        assert not state(shop)["on"]
        send(shop, "state", do="on")
        assert state(shop)["on"]

    def test_a_rollout(self, shop: Browserless) -> None:
        form = {"serve.kind": "split", "serve.weight.on": "12.5", "serve.weight.off": "87.5", "serve.by": "tenant"}
        assert send(shop, "state", do="serve", **form).status_code == 303
        assert state(shop)["otherwise"]["by"] == "tenant"
        assert state(shop)["otherwise"]["split"][0] == {"variant": "on", "weight": 12_500}

    def test_what_is_no_whole_is_said_and_kept(self, shop: Browserless) -> None:
        answer = send(shop, "state", do="serve", **{"serve.kind": "split", "serve.weight.on": "33"})
        assert answer.status_code == 422
        assert "33 % together" in answer.text
        assert 'value="33"' in answer.text

    def test_a_switch_that_comes_too_late_leaves_the_rollout_alone(self, shop: Browserless) -> None:
        answer = send(shop, "state", do="off", version="1")
        assert answer.status_code == 409
        assert "Somebody else has changed this" in answer.text
        assert re.search(r"<details><summary[^>]*>[^<]*<svg.*?</svg>Change the rollout", answer.text)
        assert (
            "<option selected>off</option>" in answer.text.partition('id="serve-variant"')[2].partition("</select>")[0]
        )


class TestRules:
    @pytest.mark.parametrize(
        ("deed", "names"),
        [("up:2", ["staff", "paying"]), ("down:1", ["staff", "paying"]), ("remove:1", ["staff"]), ("up:1", None)],
    )
    def test_moved_and_removed(self, shop: Browserless, deed: str, names: list[str] | None) -> None:
        assert send(shop, "rules", do=deed).status_code == 303
        assert [rule["name"] for rule in state(shop)["rules"]] == (names or ["paying", "staff"])

    def test_switched_off_without_being_deleted(self, shop: Browserless) -> None:
        send(shop, "rules", do="off:1")
        assert state(shop)["rules"][0]["enabled"] is False
        assert "Switched off" in shop.get(f"{FLAG}?environment=production").text
        send(shop, "rules", do="on:1")
        assert state(shop)["rules"] == RULES

    def test_copied_to_another_environment(self, shop: Browserless) -> None:
        assert send(shop, "rules", do="copy:1:staging").status_code == 303
        assert state(shop, "staging")["rules"] == RULES[:1]
        assert state(shop)["rules"] == RULES

    @pytest.mark.parametrize("deed", ["remove:9", "off:x", "dance:1", "copy:1:nowhere", ""])
    def test_nonsense_is_refused(self, shop: Browserless, deed: str) -> None:
        assert send(shop, "rules", do=deed).status_code == 422
        assert state(shop)["rules"] == RULES

    def test_a_new_one(self, shop: Browserless) -> None:
        assert send(shop, "rules/new", do="save", **rule_form()).status_code == 303
        assert state(shop)["rules"][2]["when"] == {"any": [{"attribute": "plan", "op": "in", "values": ["beta"]}]}

    def test_a_button_adds_a_clause_and_saves_nothing(self, shop: Browserless) -> None:
        answer = send(shop, "rules/1", do="group:when", **rule_form())
        assert answer.status_code == 200
        assert 'name="when.1.0.attribute"' in answer.text
        assert 'value="beta"' in answer.text
        assert state(shop)["rules"] == RULES

    def test_a_fault_is_at_its_clause_and_what_was_typed_is_kept(self, shop: Browserless) -> None:
        answer = send(shop, "rules/1", do="save", **rule_form(**{"when.0.values": ""}))
        assert answer.status_code == 422
        assert "Expected at least one value." in html.unescape(answer.text)
        assert re.search(r'name="when.0.values"[^>]*aria-invalid="true"', answer.text)
        assert state(shop)["rules"] == RULES

    def test_of_two_people_the_second_sees_both_and_chooses(self, shop: Browserless) -> None:
        version = flag(shop)["version"]
        send(shop, "rules", do="remove:2")
        answer = send(shop, "rules/1", do="save", **rule_form(), version=version)
        assert answer.status_code == 409
        assert "What it is now in production" in answer.text
        assert 'value="beta"' in answer.text
        chosen = re.search(r'name="version" value="(\d+)"', answer.text)
        assert chosen
        assert send(shop, "rules/1", do="save", **rule_form(), version=chosen[1]).status_code == 303

    def test_the_second_says_where_the_rule_belongs_now(self, shop: Browserless) -> None:
        """The first one has removed the rule before it: its number is another one's now, or nobody's."""
        version = flag(shop)["version"]
        send(shop, "rules", do="remove:1")
        late = send(shop, "rules/2", do="save", **rule_form(name="staff"), version=version)
        assert late.status_code == 409
        options = re.findall(r'<option value="(\w+)"( selected)?>', late.text.partition('id="at"')[2])
        assert options[:2] == [("1", " selected"), ("new", "")]
        assert send(shop, "rules/2", do="save", **rule_form(name="staff"), at="1").status_code == 303
        assert [rule["name"] for rule in state(shop)["rules"]] == ["staff"]
        assert send(shop, "rules/2", do="save", **rule_form(), at="new").status_code == 303
        assert [rule["name"] for rule in state(shop)["rules"]] == ["staff", "beta"]
        gone = send(shop, "rules/2", do="save", **rule_form(), at="7")
        assert gone.status_code == 422 and 'value="beta"' in gone.text

    def test_what_was_typed_is_kept_whatever_refuses_it(self, shop: Browserless) -> None:
        shop.services.catalog.patch_environment(shop.bootstrap, "production", {"protected": True, "approvals": 1})
        answer = send(shop, "rules/1", do="save", **rule_form())
        assert answer.status_code == 422
        assert "reason" in words(answer).lower()
        assert 'value="beta"' in answer.text
        assert (
            send(shop, "rules/1", do="save", **rule_form(), reason="wanted").headers["Location"].startswith("/reviews/")
        )

    def test_a_form_that_is_sent_twice_asks_for_one_review(self, shop: Browserless) -> None:
        shop.services.catalog.patch_environment(shop.bootstrap, "production", {"protected": True, "approvals": 1})
        form = rule_form() | {"do": "save", "reason": "wanted", "operation": "0" * 32}
        first, again = send(shop, "rules/1", **form), send(shop, "rules/1", **form)
        assert first.headers["Location"] == again.headers["Location"]

    def test_a_copy_to_where_a_reason_is_needed_asks_for_it_here(self, shop: Browserless) -> None:
        shop.services.catalog.patch_environment(shop.bootstrap, "staging", {"protected": True})
        assert "needed to copy to staging" in words(shop.get(f"{FLAG}?environment=production"))
        refused = send(shop, "rules", do="copy:1:staging")
        assert refused.status_code == 422 and 'id="rules-reason-error"' in refused.text
        assert send(shop, "rules", do="copy:1:staging", reason="as in production").status_code == 303
        assert state(shop, "staging")["rules"] == RULES[:1]


class TestTheRest:
    def test_a_flag_may_be_called_new(self, shop: Browserless) -> None:
        shop.services.flags.create(shop.bootstrap, "checkout", {"key": "new", "type": "boolean"})
        assert "In production it is off for everyone" in words(shop.get("/services/checkout/flags/new"))

    def test_facts(self, shop: Browserless) -> None:
        form = {
            "owner": "cart team",
            "purpose": "ops",
            "tags": "pay, cart",
            "expires": "2030-01-01",
            "description": "x",
        }
        assert send(shop, "facts", **form).status_code == 303
        assert flag(shop)["owner"] == "cart team"
        assert flag(shop)["tags"] == ["pay", "cart"]

    def test_a_malformed_date_is_said(self, shop: Browserless) -> None:
        answer = send(shop, "facts", purpose="ops", expires="soon")
        assert answer.status_code == 422
        assert 'value="soon"' in answer.text

    def test_json_and_its_faults(self, shop: Browserless) -> None:
        text = json.dumps({"type": "boolean", "owner": "json", "environments": {"production": {"on": True}}})
        assert send(shop, "json", json=text).status_code == 303
        assert flag(shop)["owner"] == "json"
        for wrong in ("{", "[]", '{"type": "boolean", "nonsense": 1}'):
            answer = send(shop, "json", json=wrong)
            assert answer.status_code == 422
            assert html.escape(wrong) in answer.text.replace("&#34;", "&quot;")

    def test_back_to_an_earlier_version_with_a_reason(self, shop: Browserless) -> None:
        earlier = flag(shop)["version"]
        send(shop, "rules", do="remove:1")
        shop.services.kill.kill(shop.bootstrap, "checkout", "new-cart", environment="production")
        assert send(shop, "return", revision=earlier, reason="it was better").status_code == 303
        assert state(shop)["rules"] == RULES
        assert state(shop)["killed"] is not None  # a return is no restore

    def test_no_version_to_return_to(self, shop: Browserless) -> None:
        assert send(shop, "return", revision=1).status_code == 404

    def test_variants_are_added_and_removed(self, shop: Browserless) -> None:
        boss = shop.bootstrap
        wanted = {"key": "color", "type": "string", "variants": {"a": "red", "b": "blue"}, "off_variant": "a"}
        shop.services.flags.create(boss, "checkout", wanted)
        form = {"name": ["a", "c"], "value": ['"red"', "green"], "off_variant": "a", "requires": "new-cart: on"}
        assert shop.post("/services/checkout/flags/color/variants", form).status_code == 303
        found = shop.services.flags.get(boss, "checkout", "color")
        assert found["variants"] == {"a": "red", "c": "green"}
        assert found["requires"] == [{"flag": "new-cart", "variants": ["on"]}]

    def test_deleted(self, shop: Browserless) -> None:
        assert send(shop, "delete").status_code == 303
        assert shop.get(FLAG).status_code == 404

    def test_a_new_flag(self, shop: Browserless) -> None:
        form = {
            "key": "size",
            "type": "number",
            "variants": "small=1\nlarge=3",
            "off_variant": "small",
            "purpose": "ops",
        }
        assert shop.post("/services/checkout/new-flag", form).headers["Location"].endswith("/flags/size")
        again = shop.post("/services/checkout/new-flag", form)
        assert again.status_code == 409
        assert 'value="size"' in again.text

    def test_where_approval_is_demanded_a_review_is_opened(self, shop: Browserless) -> None:
        shop.services.catalog.patch_environment(shop.bootstrap, "production", {"protected": True, "approvals": 1})
        answer = send(shop, "rules", do="remove:1", reason="cleaning up")
        assert answer.status_code == 303
        assert "/reviews/" in answer.headers["Location"]
        assert state(shop)["rules"] == RULES
        assert send(shop, "state", do="off").headers["Location"].startswith(FLAG)  # off is never held up
        assert not state(shop)["on"]
