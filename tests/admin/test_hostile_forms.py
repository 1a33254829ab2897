"""Whatever is sent to a page or a form: refused in words or taken as text, never a failure of ours, never markup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services.errors import AlreadyExists
from support.pages import Browserless, open_pages
from support.redis import FakeRedis
from werkzeug.test import TestResponse

MARK = "<img src=x onerror=alert(1)>\"'`{{7*7}}"
VALUES = {
    "markup": MARK,
    "control characters": "\x00\x1b[31m\r\nSet-Cookie: a=b\u202e\ufeff",
    "half a letter in a flag": '{"type": "string", "description": "\\ud800", "variants": {"\\ud800": "\\udfff"}}',
    "no number in a flag": '{"type": "number", "variants": {"a": NaN, "b": 1e999, "a": -0}, "off_variant": "b"}',
    "huge": "9" * 5_000,
    "not a number": "NaN",
    "deep": "[" * 200 + "]" * 200,
}
NAMES = """
    key name description owner purpose tags expires type variants off_variant requires reason value json do when
    environment version operation revision service flag flags q tag recent from all chosen login email role-0
    services-0 environments-0 role services environments kind approvals review_days protected url format events enabled
    until verb overlap sure token password current new again context next disabled at
    serve.kind serve.variant serve.by serve.weight.on serve.weight.off when.kind when.0.kind when.0.attribute when.0.op
    when.0.values when.0.segment when.0.not when.99999999.kind when.\u0664.kind
"""
FIELDS = NAMES.split()
SETTLED = {
    "do": "save",
    "kind": "api",
    "role": "viewer",
    "type": "boolean",
    "environment": "production",
    "when.kind": "all",
    "when.0.kind": "clause",
    "serve.kind": "split",
    "verb": "reject",
    "format": "standard",
}
"""Those that decide which way a form goes: without them most of it would be refused at once."""


class Markup(HTMLParser):
    """Collects what nobody of us has written."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name.startswith("on") or (name in ("href", "action") and str(value).startswith("javascript:")):
                self.found.append((name, value))
        if tag == "img" and dict(attrs).get("src") == "x":
            self.found.append((tag, attrs))


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browserless]:
    with open_pages(FakeRedis(), Path(tmp_path_factory.mktemp("data"))) as visitor:
        visitor.app.config["PROPAGATE_EXCEPTIONS"] = False
        yield visitor.sign_in("bootstrap")


def places(visitor: Browserless, method: str) -> list[str]:
    """The addresses of all pages that are asked for like this, with things that are there."""
    there = {"service": "checkout", "flag": "new-cart", "segment": "beta", "environment": "staging", "number": "1"}
    found = []
    for rule in visitor.app.url_map.iter_rules():
        if rule.endpoint.startswith("downhaul_admin.") and method in (rule.methods or set()):
            path = re.sub(r"<(?:\w+:)?(\w+)>", lambda name: there.get(name[1], "1"), rule.rule)
            if path not in ("/logout", "/login", "/ui/events", "/account/sessions/end"):
                found.append(path)
    return found


@pytest.mark.parametrize("kind", VALUES)
def test_no_form_fails_and_none_repeats_markup(visitor: Browserless, kind: str) -> None:
    wrong = []
    for path in places(visitor, "POST"):
        there(visitor)
        for settled in ({}, SETTLED):
            answer = visitor.post(path, dict.fromkeys(FIELDS, VALUES[kind]) | settled)
            wrong += faults(path, answer)
    assert wrong == []


@pytest.mark.parametrize("kind", ["markup", "control characters", "not a number"])
def test_no_page_fails_and_none_repeats_markup(visitor: Browserless, kind: str) -> None:
    there(visitor)
    query, wrong = dict.fromkeys(FIELDS, VALUES[kind][:60]), []  # addresses are short
    for path in places(visitor, "GET"):
        for settled in ({}, SETTLED):
            answer = visitor.client.get(path, query_string=query | settled, base_url="http://localhost")
            wrong += faults(path, answer)
    assert wrong == []


def faults(path: str, answer: TestResponse) -> list[Any]:
    """What must not be in an answer."""
    if answer.status_code >= 500:
        return [(path, answer.status_code)]
    return [(path, *each) for each in markup(answer.text)]


def there(visitor: Browserless) -> None:
    """What the forms are about, whatever they have done to it."""
    boss, catalog = visitor.bootstrap, visitor.services.catalog
    for create, key in (
        (catalog.create_service, "checkout"),
        (catalog.create_service, "payments"),
        (catalog.create_environment, "staging"),
    ):
        with suppress(AlreadyExists):
            create(boss, {"key": key})
    rule = {"when": {"any": []}, "serve": {"variant": "on"}}
    flag = {"type": "boolean", "environments": {"production": {"on": True, "rules": [rule]}}}
    visitor.services.flags.replace(boss, "checkout", "new-cart", flag)
    visitor.services.segments.replace(boss, "beta", {"when": {"any": []}})


def markup(text: str) -> list[tuple[str, Any]]:
    parser = Markup()
    parser.feed(text)
    return parser.found


def test_a_condition_that_never_ends_is_refused(visitor: Browserless) -> None:
    there(visitor)
    deep = {f"when{'.0' * level}.kind": "all" for level in range(600)}
    for path in ("/services/checkout/flags/new-cart/rules/new", "/segments/beta"):
        assert visitor.post(path, deep | {"do": "save"}).status_code == 422, path
        assert visitor.post(path, deep | {"do": "add:when"}).status_code == 200, path


def test_a_form_that_is_too_large_is_refused(visitor: Browserless) -> None:
    for path in places(visitor, "POST"):
        status = visitor.post(path, {"json": "x" * 2_000_000}).status_code
        assert 400 <= status < 500 or status == 303, (path, status)


@pytest.mark.parametrize("role", ["viewer", "operator", "editor", "admin"])
def test_whoever_reaches_little_changes_nothing_beyond_and_makes_nothing_fail(visitor: Browserless, role: str) -> None:
    """Every page and form, for an environment and a service out of reach, and for those that are nowhere."""
    there(visitor)
    somebody = visitor.by(role, name=f"small-{role}", services=["payments"], environments=["staging"])
    before, wrong = beyond(visitor), []
    for place in ("production", "nowhere"):
        form = SETTLED | {"environment": place, "do": "copy:1:staging", "flag": "checkout/new-cart", "reason": "x"}
        form |= {"flags": "checkout/new-cart", "service": "checkout", "services": "checkout", "key": "mine"}
        for path in places(visitor, "POST"):
            if path != "/account/password":
                wrong += faults(path, somebody.post(path, form))
        for path in places(visitor, "GET"):
            wrong += faults(path, somebody.client.get(path, query_string=form, base_url="http://localhost"))
    assert wrong == []
    assert beyond(visitor) == before


def test_a_copy_takes_nothing_from_where_one_may_not_look(visitor: Browserless) -> None:
    there(visitor)
    somebody = visitor.by("editor", name="staging-only", services=["checkout"], environments=["staging"])
    form = {"do": "copy:1:staging", "environment": "production"}
    assert somebody.post("/services/checkout/flags/new-cart/rules", form).status_code in (403, 404)


def test_json_lifts_no_kill_and_takes_over_no_other_flag(visitor: Browserless) -> None:
    there(visitor)
    boss, services = visitor.bootstrap, visitor.services
    services.kill.kill(boss, "checkout", "new-cart", environment="production")
    before = services.flags.get(boss, "checkout", "new-cart")
    states = {"production": before["environments"]["production"] | {"killed": None}}
    for more in ({"environments": states}, {"key": "other"}, {"service": "payments"}, {"salt": "mine"}, {"hash": "x"}):
        document = {"type": "boolean", "variants": before["variants"], **more}
        form = {"json": json.dumps(document), "version": "", "reason": "x"}
        visitor.post("/services/checkout/flags/new-cart/json", form)
        after = services.flags.get(boss, "checkout", "new-cart")
        assert after["environments"]["production"]["killed"], more
        assert (after["key"], after["service"], after["salt"]) == ("new-cart", "checkout", before["salt"]), more


def beyond(visitor: Browserless) -> dict[str, int]:
    """Versions of what is not payments' in staging."""
    kinds = ("service/", "environment/", "segment/", "flag/checkout/", "key/", "link/", "hook/", "review/")
    return {each.address: each.version for kind in kinds for each in visitor.store.view.of_kind(kind)}
