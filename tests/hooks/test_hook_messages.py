"""What is sent, in each format; and that nothing in people's texts is taken for anything but text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.hook_events import Event, event_of, test_event
from downhaul_server.services.hook_messages import LARGEST, body_of
from downhaul_server.services.hook_signing import alive, first, headers, rotated, sign
from downhaul_server.store import Change, Entry
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, actor, boolean

HOOK = {"id": "0123", "name": "x", "events": ["*"], "services": ["*"], "environments": ["*"]}
EVIL = (
    "<!channel> <https://evil.example|click> *bold* [a](https://evil.example) {{DATE(2026-01-01)}} & \u202e\x07\nnext"
)
KILL = Event(
    id="evt_7_abc_0123",
    type="flag.kill",
    at="2026-11-24T03:00:01.250Z",
    actor="anna",
    revision=7,
    reason="double charges",
    documents=({"kind": "flag", "service": "checkout", "key": "new", "name": "checkout/new", "changes": []},),
    environments=("production",),
    headline="anna killed flag checkout/new in production",
    lines=("In production: killed; everyone gets off.",),
    link="https://flags.example.com/services/checkout/flags/new",
)


def sent(event: Event, form: str) -> Any:
    return json.loads(body_of(event, form))


def entries(services: Services) -> list[Entry]:
    """Oldest first."""
    return services._store.log(limit=50)[::-1]


def last(services: Services, hook: dict[str, Any] = HOOK) -> Event | None:
    return event_of(hook, entries(services)[-1], "https://flags.example.com")


def texts(document: Any) -> list[str]:
    if isinstance(document, dict):
        return [text for value in document.values() for text in texts(value)]
    if isinstance(document, list):
        return [text for value in document for text in texts(value)]
    return [document] if isinstance(document, str) else []


def test_the_signature_is_the_one_that_the_specification_publishes() -> None:
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'

    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers([secret, secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": f"{signature} {signature}",
    }


def test_of_secrets_the_last_two_are_alive_and_the_older_one_for_a_while() -> None:
    both = rotated(rotated(first("a", 0), "b", 10, 100), "c", 20, 100)

    assert alive(both, 21) == ["c", "b"]
    assert alive(both, 120) == ["c"]
    assert alive(rotated(both, "c", 30, 100), 31) == ["c", "b"]  # a repeated request
    assert alive(None, 0) == []


def test_a_kill_in_slack() -> None:
    message = sent(KILL, "slack")

    assert message["text"] == "🛑 anna killed flag checkout/new in production"
    assert [block["type"] for block in message["blocks"]] == ["header", "section", "context"]
    assert message["blocks"][1]["text"]["text"] == "Reason: double charges\nIn production: killed; everyone gets off."
    about = message["blocks"][2]["elements"][0]["text"]
    assert about == (
        "revision 7 · 2026-11-24 03:00:01 UTC · "
        "<https://flags.example.com/services/checkout/flags/new|Open in Downhaul>"
    )


def test_a_kill_in_teams() -> None:
    message = sent(KILL, "teams")
    card = message["attachments"][0]["content"]

    assert message["type"] == "message"
    assert message["attachments"][0]["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    runs = [block["inlines"][0] for block in card["body"]]
    assert runs[0]["text"] == "🛑 anna killed flag checkout/new in production" and runs[0]["color"] == "attention"
    assert [run["text"] for run in runs[1:]] == [
        "Reason: double charges",
        "In production: killed; everyone gets off.",
        "revision 7 · 2026-11-24 03:00:01 UTC",
    ]
    assert card["actions"][0]["url"] == KILL.link


def test_what_people_write_is_nothing_but_text_in_slack() -> None:
    evil = replace(KILL, actor=EVIL, headline=f"{EVIL} killed it", reason=EVIL, lines=(EVIL,))
    message = sent(evil, "slack")

    assert "<" not in message["text"] and ">" not in message["text"]
    for block in message["blocks"][:2]:
        assert block["text"]["type"] == "plain_text"
    marked = message["blocks"][2]["elements"][0]["text"]
    assert "evil" not in marked
    assert not any("\u202e" in text or "\x07" in text for text in texts(message))


def test_what_people_write_is_nothing_but_text_in_teams() -> None:
    evil = replace(KILL, headline=f"{EVIL} killed it", reason=EVIL, lines=(EVIL,))
    card = sent(evil, "teams")["attachments"][0]["content"]

    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}  # a TextBlock would read Markdown
    assert not any("{{" in text for block in card["body"] for text in texts(block))


@pytest.mark.parametrize("form", ["slack", "teams"])
def test_what_is_too_long_is_cut(form: str) -> None:
    message = sent(replace(KILL, headline="h" * 5000, reason="r" * 5000, lines=("l" * 5000,) * 8), form)

    assert max(map(len, texts(message))) <= 2000
    if form == "slack":
        assert len(message["blocks"][0]["text"]["text"]) <= 150


def test_a_huge_change_is_told_without_its_differences() -> None:
    change = {"op": "replace", "path": "/description", "before": "x" * LARGEST, "after": ""}
    data = sent(replace(KILL, documents=({**KILL.documents[0], "changes": [change]},)), "standard")["data"]

    assert data["truncated"] is True
    assert data["documents"] == [{**KILL.documents[0], "changes": []}]


def test_a_test_says_that_nothing_has_changed() -> None:
    event = test_event({**HOOK, "name": "on-call"}, "anna", "2026-11-24T03:00:00.000Z", "aa", None)

    assert event.type == "webhook.test"
    assert event.headline == "anna tests the webhook on-call"
    assert "Nothing has changed" in event.lines[0]


def test_changes_are_told_in_plain_words(services: Services) -> None:
    services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rollout": 25}, reason="a quarter")
    event = last(services)

    assert event is not None
    assert event.headline == "admin changed flag checkout/new-checkout in production"
    assert event.lines[0] == "In production: switched on; it is then on for 25 % of users."
    assert event.reason == "a quarter"


def test_a_bulk_kill_names_its_flags(services: Services) -> None:
    services.kill.kill_many(ADMIN, services=[CHECKOUT, PAYMENTS])
    event = last(services)

    assert event is not None
    assert event.headline == (
        "admin killed 3 flags (checkout/new-checkout, checkout/old-banner, payments/new-ledger) in production"
    )
    assert event.lines[0] == "checkout/new-checkout: In production: killed; everyone gets off."
    assert event.link is not None and event.link.startswith("https://flags.example.com/changes/")


def test_a_great_many_are_counted(services: Services) -> None:
    for number in range(12):
        services.flags.create(ADMIN, CHECKOUT, boolean(f"flag-{number:02}"))
    services.kill.kill_many(ADMIN, services=[CHECKOUT])
    event = last(services)

    assert event is not None
    assert "14 flags (" in event.headline and "and 9 more" in event.headline
    assert len(event.lines) == 9 and event.lines[-1] == "And at least 6 more changes."


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ({"services": [PAYMENTS]}, False),
        ({"environments": ["staging"]}, False),
        ({"events": ["flag.kill", "segment.*"]}, False),
        ({"events": ["flag.state"]}, True),
        ({"events": ["*.state"]}, True),
        ({"services": [CHECKOUT], "environments": ["production"]}, True),
    ],
)
def test_whether_a_hook_is_concerned(services: Services, scope: dict[str, Any], told: bool) -> None:
    services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True})

    assert (last(services, {**HOOK, **scope}) is not None) is told


def test_a_hook_of_one_environment_learns_nothing_of_another(services: Services) -> None:
    states = {"production": {"on": True}, "staging": {"on": True}}
    services.flags.patch(ADMIN, CHECKOUT, FLAG, {"environments": states})
    event = last(services, {**HOOK, "environments": ["staging"]})

    assert event is not None
    assert event.environments == ("staging",)
    assert "production" not in body_of(event, "standard").decode()


def test_a_segment_concerns_a_hook_where_it_makes_a_difference(services: Services) -> None:
    when = {"attribute": "plan", "op": "in", "values": ["pro"]}
    services.segments.create(ADMIN, {"key": "pro", "when": when})
    rules = [{"name": "", "when": {"segment": "pro"}, "serve": {"variant": "on"}}]
    services.flags.set_state(ADMIN, CHECKOUT, FLAG, "production", {"on": True, "rules": rules})
    services.segments.replace(ADMIN, "pro", {"when": {"not": when}})

    assert last(services, {**HOOK, "environments": ["production"]}) is not None
    assert last(services, {**HOOK, "environments": ["staging"]}) is None
    assert last(services, {**HOOK, "services": [PAYMENTS]}) is None


def test_what_waits_for_approval_is_told_with_what_it_would_do(services: Services) -> None:
    services.catalog.patch_environment(ADMIN, "production", {"protected": True, "approvals": 1})
    request = {"service": CHECKOUT, "flag": FLAG, "environment": "production", "change": {"state": {"on": True}}}
    review = services.reviews.open(actor("editor"), {**request, "reason": "launch"})
    event = last(services)

    assert event is not None and event.type == "review.open"
    assert event.headline == "ada asks for approval of the change of checkout/new-checkout"
    assert event.lines[0].startswith("In production: switched on")
    assert event.link is not None and "/reviews/" in event.link
    assert "switched on" in body_of(event, "slack").decode()
    services.reviews.approve(actor("approver", name="grace"), review["id"])
    applied = last(services)
    assert applied is not None and applied.link == event.link
    assert applied.headline == "grace changed flag checkout/new-checkout in production"
    assert applied.lines == event.lines and applied.environments == ("production",)


def test_no_secret_of_a_person_or_a_key_is_told(services: Services) -> None:
    person = {"login": "anna", "name": "Anna", "grants": [{"role": "editor", "services": ["*"], "environments": ["*"]}]}
    password = services.people.create(ADMIN, person)["password"]
    token = services.keys.create(ADMIN, {"kind": "api", "name": "ci", "role": "viewer"})["token"]
    told = [body_of(event, "standard").decode() for entry in entries(services) if (event := event_of(HOOK, entry))]

    assert "person.create" in told[-2] and "key.create" in told[-1]
    for secret in (password, token, "argon2", '"hash"'):
        assert not any(secret in text for text in told)


def test_of_a_kind_that_is_not_known_no_difference_is_told(services: Services) -> None:
    entry = entries(services)[-1]
    strange = replace(entry, action="vault.open", touches=(), changes=(Change("vault/1", 0, None, {"pin": "0000"}),))
    event = event_of(HOOK, strange)

    assert event is not None
    assert event.headline == "admin did vault.open: vault 1"
    assert "0000" not in body_of(event, "standard").decode()


def test_the_address_of_another_hook_is_not_told(services: Services) -> None:
    url = "https://hooks.slack.com/services/T000/B000/secret"
    made = services.hooks.create(ADMIN, {"name": "team", "url": url, "format": "slack"})
    services.hooks.patch(ADMIN, made["id"], {"url": f"{url}2"})
    told = [body_of(event, "standard").decode() for entry in entries(services) if (event := event_of(HOOK, entry))]

    assert "hooks.slack.com" in told[-1] and "hook.update" in told[-1]
    assert not any("/services/T000" in text for text in told)
    assert not any(made["secret"] in text for text in told)
