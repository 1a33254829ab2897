"""Kill and restore in a browser: what is said before, who has obeyed after, and what stands when it fails."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from downhaul_server.services.errors import Unavailable
from support.fleet import Instance, pass_time
from support.pages import Browserless
from werkzeug.test import TestResponse

FLAG = "/services/checkout/flags/new-checkout"
ON = {"on": True, "rules": [], "otherwise": {"variant": "on"}}


@pytest.fixture
def shop(visitor: Browserless) -> Browserless:
    """Two services with flags; nobody is connected."""
    services, boss = visitor.services, visitor.bootstrap
    for key, flags in (("checkout", ("new-checkout", "gift-cards")), ("payments", ("ledger",))):
        services.catalog.create_service(boss, {"key": key})
        for flag in flags:
            services.flags.create(
                boss, key, {"key": flag, "type": "boolean", "tags": ["pay"], "environments": {"production": ON}}
            )
    return visitor


def words(answer: TestResponse) -> str:
    """What people read."""
    main = re.search(r"<main.*</main>", answer.text, re.DOTALL)
    assert main, answer.text
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main[0])).split())


def field(answer: TestResponse, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.text)
    assert found, name
    return html.unescape(found[1])


def is_killed(visitor: Browserless, flag: str = "new-checkout", service: str = "checkout") -> bool:
    document = visitor.services.flags.get(visitor.bootstrap, service, flag)
    return document["environments"]["production"]["killed"] is not None


def test_the_confirmation_says_what_will_happen_and_does_nothing(shop: Browserless) -> None:
    for name in ("a", "b", "c"):
        Instance(name).report(shop.services)
    page = shop.sign_in("operator").get(f"{FLAG}/kill?environment=production")
    assert page.status_code == 200
    assert "3 live processes of checkout in production will serve off to everyone" in words(page)
    assert "Now it is on for everyone" in words(page)
    assert not is_killed(shop)


def test_the_confirmation_counts_who_has_just_come(shop: Browserless) -> None:
    operator = shop.sign_in("operator")
    assert "No process of checkout is connected" in words(operator.get(f"{FLAG}/kill?environment=production"))
    Instance("just-started").report(shop.services)
    assert "1 live process of checkout" in words(operator.get(f"{FLAG}/kill?environment=production"))


def test_a_kill_asks_for_nothing_more_and_shows_who_obeys(shop: Browserless) -> None:
    instances = [Instance(name) for name in ("a", "b", "c")]
    for instance in instances:
        instance.report(shop.services)
    operator = shop.sign_in("operator")
    answer = operator.post(f"{FLAG}/kill", {"environment": "production"})
    assert answer.status_code == 303 and is_killed(shop)
    where = answer.headers["Location"]
    assert re.fullmatch(rf"{FLAG}/kill/[0-9]+\?environment=production", where)
    for instance in instances[:2]:
        instance.report(shop.services)
    waiting = operator.get(where)
    assert "2 of 3 obey" in words(waiting) and "1 process has not obeyed yet" in words(waiting)
    assert "c checkout on node-7, build 2.1.0" in words(waiting)
    assert 'hx-trigger="every 300ms"' in waiting.text and '<meta http-equiv="refresh"' in waiting.text
    instances[2].report(shop.services)
    done = operator.get(where)
    assert "All 3 obey" in words(done)
    assert "every 300ms" not in done.text and "http-equiv" not in done.text


def test_a_silent_process_is_named_with_its_host_and_since_when(shop: Browserless) -> None:
    instance = Instance("pod-9")
    instance.open_stream(shop.services)
    instance.report(shop.services)
    operator = shop.sign_in("operator")
    instance.close_stream(shop.services, by_client=False)
    where = operator.post(f"{FLAG}/kill", {"environment": "production"}).headers["Location"]
    pass_time(shop.services, 40)
    told = words(operator.get(where))
    assert "pod-9" in told and "node-7" in told and re.search(r"silent for 4\d s", told), told


def test_it_kills_when_nobody_is_connected(shop: Browserless) -> None:
    operator = shop.sign_in("operator")
    assert "No process of checkout is connected" in words(operator.get(f"{FLAG}/kill"))
    where = operator.post(f"{FLAG}/kill").headers["Location"]
    assert is_killed(shop)
    assert "Nobody is connected" in words(operator.get(where))


def test_killing_what_is_killed_says_who_did_it(shop: Browserless) -> None:
    shop.services.kill.kill(shop.bootstrap, "checkout", "new-checkout", reason="double charges")
    page = words(shop.sign_in("operator").get(f"{FLAG}/kill"))
    assert "Killed already" in page and "double charges" in page
    assert shop.post(f"{FLAG}/kill").status_code == 303


def test_a_form_that_is_sent_twice_kills_once_whatever_reason_it_has(shop: Browserless) -> None:
    operator = shop.sign_in("operator")
    form = {"environment": "production", "operation": field(operator.get(f"{FLAG}/kill"), "operation")}
    first = operator.post(f"{FLAG}/kill", form).headers["Location"]
    assert operator.post(f"{FLAG}/kill", form).headers["Location"] == first
    assert operator.post(f"{FLAG}/kill", {**form, "reason": "another"}).headers["Location"] == first


def test_without_redis_it_says_what_stands_and_offers_the_same_again(
    shop: Browserless, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = shop.sign_in("operator")
    operation = field(operator.get(f"{FLAG}/kill"), "operation")

    def away(*_: Any, **__: Any) -> None:
        raise Unavailable("Redis does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(shop.services.kill, "kill", away)
        page = operator.post(f"{FLAG}/kill", {"operation": operation, "reason": "<b>now"})
    assert page.status_code == 503
    assert "The kill has not been confirmed" in words(page) and "Redis does not answer" in words(page)
    assert field(page, "operation") == operation and "&lt;b&gt;now" in page.text
    assert "Try again: kill new-checkout in production" in words(page)


def test_only_those_who_may_kill_there_can(shop: Browserless) -> None:
    assert shop.by("viewer").post(f"{FLAG}/kill").status_code == 403
    elsewhere = shop.by("operator", name="else", environments=["staging"])
    assert elsewhere.post(f"{FLAG}/kill", {"environment": "production"}).status_code == 403
    payments = shop.by("operator", name="payer", services=["payments"])
    assert payments.post(f"{FLAG}/kill").status_code == 403
    assert shop.stranger().post(f"{FLAG}/kill").status_code == 303
    assert (
        shop.by("admin", name="boss").post(f"{FLAG}/kill", origin={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    )
    assert not is_killed(shop)


def test_a_mistyped_environment_kills_nowhere(shop: Browserless) -> None:
    assert shop.sign_in("operator").post(f"{FLAG}/kill", {"environment": "prodution"}).status_code == 404
    assert not is_killed(shop)


def test_a_restore_shows_what_comes_back_and_demands_a_reason(shop: Browserless) -> None:
    shop.services.kill.kill(shop.bootstrap, "checkout", "new-checkout", reason="double charges")
    editor = shop.sign_in("editor")
    page = words(editor.get(f"{FLAG}/restore"))
    assert "In production it will be on for everyone" in page and "double charges" in page
    refused = editor.post(f"{FLAG}/restore", {"reason": "  "})
    assert refused.status_code == 422 and "Say why" in words(refused) and is_killed(shop)
    done = editor.post(f"{FLAG}/restore", {"reason": "mended"})
    assert done.status_code == 303 and not is_killed(shop)
    assert "restored in production" in words(editor.get(done.headers["Location"]))


def test_an_operator_kills_and_does_not_restore(shop: Browserless) -> None:
    shop.services.kill.kill(shop.bootstrap, "checkout", "new-checkout")
    operator = shop.sign_in("operator")
    assert operator.get(f"{FLAG}/restore").status_code == 403
    assert operator.post(f"{FLAG}/restore", {"reason": "please"}).status_code == 403
    assert is_killed(shop)


def test_where_others_must_approve_a_restore_asks_them(shop: Browserless) -> None:
    shop.services.catalog.patch_environment(shop.bootstrap, "production", {"protected": True, "approvals": 1})
    shop.services.kill.kill(shop.bootstrap, "checkout", "new-checkout")
    editor = shop.sign_in("editor")
    assert "this opens a review" in words(editor.get(f"{FLAG}/restore"))
    answer = editor.post(f"{FLAG}/restore", {"reason": "mended"})
    assert answer.status_code == 303 and re.fullmatch(r"/reviews/[0-9a-f]+", answer.headers["Location"])
    assert is_killed(shop)


def test_a_kill_that_was_lifted_since_does_not_look_as_if_it_stood(shop: Browserless) -> None:
    editor = shop.sign_in("editor")
    where = editor.post(f"{FLAG}/kill").headers["Location"]
    shop.services.kill.restore(shop.bootstrap, "checkout", "new-checkout", reason="mended")
    assert "This is not so any more" in words(editor.get(where))


def test_the_value_that_everyone_gets_is_shown(shop: Browserless) -> None:
    variants = {"blue": "#00f", "grey": "#888"}
    shop.services.flags.create(
        shop.bootstrap, "checkout", {"key": "colour", "type": "string", "variants": variants, "off_variant": "grey"}
    )
    page = shop.sign_in("operator").get("/services/checkout/flags/colour/kill")
    assert 'will serve grey, which is "#888" to everyone' in words(page)


# The panic view.


def test_the_panic_view_lists_what_may_be_killed_newest_first(shop: Browserless) -> None:
    shop.services.flags.patch(shop.bootstrap, "checkout", "gift-cards", {"description": "newer"})
    page = shop.sign_in("operator").get("/kill")
    assert re.findall(r'name="flag" value="([^"]+)"', page.text)[0] == "checkout/gift-cards"
    assert "3 flags, last changed first" in words(page)
    assert f'href="{FLAG}/kill?environment=production"' in page.text
    mine = shop.by("operator", name="payer", services=["payments"]).get("/kill")
    assert re.findall(r'name="flag" value="([^"]+)"', mine.text) == ["payments/ledger"]
    assert shop.by("viewer").get("/kill").status_code == 403


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("service=payments", 1),
        ("tag=pay", 3),
        ("tag=none", 0),
        ("q=gift", 1),
        ("recent=1", 3),
        ("q=pay&service=checkout", 2),
    ],
)
def test_the_panic_view_filters(shop: Browserless, query: str, found: int) -> None:
    page = shop.sign_in("operator").get(f"/kill?{query}")
    assert len(re.findall(r'name="flag"', page.text)) == found


def test_many_are_killed_with_one_confirmation(shop: Browserless) -> None:
    Instance("a").report(shop.services)
    operator = shop.sign_in("operator")
    chosen = operator.post(
        "/kill/confirm",
        {"environment": "production", "flag": ["checkout/gift-cards", "payments/ledger"], "chosen": "1"},
    )
    assert "2 flags in 2 services , 1 live process in production" in words(chosen)
    assert not is_killed(shop, "gift-cards")
    form = {name: field(chosen, name) for name in ("environment", "operation", "flags")}
    answer = operator.post("/kill", form)
    assert answer.status_code == 303
    assert is_killed(shop, "gift-cards") and is_killed(shop, "ledger", "payments") and not is_killed(shop)
    told = words(operator.get(answer.headers["Location"]))
    assert "2 flags killed in production" in told and "0 of 1 obey" in told
    Instance("a").report(shop.services)


def test_all_that_is_found_is_killed_at_once(shop: Browserless) -> None:
    operator = shop.sign_in("operator")
    chosen = operator.post("/kill/confirm", {"environment": "production", "service": "checkout", "all": "1"})
    assert "2 flags in 1 service" in words(chosen)
    operator.post("/kill", {name: field(chosen, name) for name in ("environment", "operation", "flags")})
    assert is_killed(shop) and is_killed(shop, "gift-cards") and not is_killed(shop, "ledger", "payments")


def test_choosing_nothing_is_said(shop: Browserless) -> None:
    operator = shop.sign_in("operator")
    assert operator.post("/kill/confirm", {"chosen": "1"}).status_code == 422
    assert operator.post("/kill", {}).status_code == 422
    assert operator.get("/kill/confirm").status_code == 303


def test_many_are_not_killed_out_of_reach(shop: Browserless) -> None:
    mine = shop.by("operator", name="payer", services=["payments"])
    assert mine.post("/kill", {"flags": "payments/ledger checkout/new-checkout"}).status_code == 403
    assert not is_killed(shop)


def test_the_panic_view_pages_through_many(shop: Browserless) -> None:
    for number in range(60):
        shop.services.flags.create(shop.bootstrap, "payments", {"key": f"f{number}", "type": "boolean"})
    page = shop.sign_in("operator").get("/kill")
    assert len(re.findall(r'name="flag"', page.text)) == 50 and "1 to 50 of 63" in words(page)
    after = html.unescape(re.search(r'href="(/kill\?from=50[^"]*)"', page.text)[1])  # type: ignore[index]
    assert len(re.findall(r'name="flag"', shop.get(after).text)) == 13
