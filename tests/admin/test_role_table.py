"""Who may do what through forms: each role, each form, each scope. What is not allowed changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from downhaul_server.services.actors import ROLES, Action
from support.pages import Browserless

FLAG = "/services/checkout/flags/new-cart"
HERE = {"environment": "production"}
PEOPLE = [role for role in ROLES if role != "killer"]
EVERYTHING = ("*",)
SCOPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "everywhere": (EVERYTHING, EVERYTHING),
    "one service": (("checkout",), EVERYTHING),
    "one place": (("checkout",), ("production",)),
    "another service": (("payments",), EVERYTHING),
    "another environment": (EVERYTHING, ("staging",)),
}


@dataclass(frozen=True)
class Deed:
    """A form, and what sending it takes: an action, for a service and an environment."""

    path: str
    form: dict[str, Any]
    action: Action
    service: str = "*"
    environment: str = "*"


def in_place(path: str, form: dict[str, Any], action: Action = Action.EDIT) -> Deed:
    return Deed(path, HERE | form, action, "checkout", "production")


def of_flag(path: str, form: dict[str, Any]) -> Deed:
    return Deed(path, form, Action.EDIT, "checkout")


RULE = {"do": "save", "when.kind": "all", "serve.kind": "variant", "serve.variant": "on"}
HOOK = {"name": "x", "url": "https://hooks.invalid/", "format": "standard", "events": "*"}
SOON = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
ANYWHERE = "anywhere"
"""Whatever is the flag's in all environments, and hurts in none."""
JSON = '{"type": "boolean", "owner": "json"}'
DEEDS: list[Deed | Callable[[dict[str, str]], Deed]] = [
    lambda ids: in_place(f"/reviews/{ids['review']}", {"verb": "approve"}, Action.APPROVE),
    in_place(f"{FLAG}/explain", {"context": "user=ada"}, Action.READ),
    in_place(f"{FLAG}/kill", {}, Action.KILL),
    in_place("/kill/confirm", {"flag": "checkout/new-cart"}, Action.KILL),
    in_place("/kill", {"flags": "checkout/new-cart"}, Action.KILL),
    in_place(f"{FLAG}/restore", {"reason": "well again"}, Action.RESTORE),
    in_place(f"{FLAG}/state", {"do": "on"}),
    in_place(f"{FLAG}/rules/new", RULE),
    in_place(f"{FLAG}/rules", {"do": "off:1"}),
    in_place(f"{FLAG}/rules/1", RULE | {"name": "other"}),
    of_flag(f"{FLAG}/facts", {"owner": "new", "purpose": "ops"}),
    of_flag(f"{FLAG}/json", {"json": JSON}),
    of_flag(
        f"{FLAG}/variants", {"name": ["on", "off", "no"], "value": ["true", "false", "false"], "off_variant": "off"}
    ),
    lambda ids: of_flag(f"{FLAG}/return", {"revision": ids["version"]}),
    of_flag("/services/checkout/new-flag", {"key": "another", "purpose": "ops"}),
    Deed("/services", {"key": "another"}, Action.CATALOG),
    Deed("/services/checkout/name", {"name": "Checkout"}, Action.CATALOG, "checkout"),
    Deed("/environments", {"key": "another"}, Action.CATALOG),
    Deed(
        "/environments/production",
        {"name": "Live", "approvals": "0", "review_days": "7"},
        Action.CATALOG,
        "*",
        "production",
    ),
    Deed("/segments", {"key": "another"}, Action.EDIT),
    Deed("/segments/beta", {"when": '{"any": []}', "name": "Beta"}, Action.EDIT),
    Deed("/people", {"login": "mallory", "role-0": "viewer"}, Action.PEOPLE),
    Deed("/webhooks", HOOK, Action.HOOKS),
    Deed("/keys", {"kind": "api", "name": "x", "role": "viewer"}, Action.KEYS),
    lambda ids: Deed(f"/keys/{ids['key']}/rotate", {}, Action.KEYS),
    lambda ids: Deed(f"/keys/{ids['key']}/end-previous", {}, Action.KEYS),
    lambda ids: Deed(f"/keys/{ids['key']}/revoke", {"sure": "1"}, Action.KEYS),
    in_place("/links", {"name": "x", "flag": "checkout/new-cart"}, Action.KEYS),
    lambda ids: in_place(f"/links/{ids['link']}/revoke", {}, Action.KEYS),
    lambda ids: Deed(f"/people/{ids['person']}", {}, Action.PEOPLE),
    lambda ids: Deed(f"/people/{ids['person']}/sessions/end", {}, Action.PEOPLE),
    lambda ids: Deed(f"/people/{ids['person']}/disabled", {"disabled": "1"}, Action.PEOPLE),
    lambda ids: Deed(f"/people/{ids['person']}/password", {}, Action.PEOPLE),
    lambda ids: Deed(f"/people/{ids['person']}/delete", {"sure": "1"}, Action.PEOPLE),
    lambda ids: Deed(f"/webhooks/{ids['hook']}/test", {}, Action.HOOKS),
    lambda ids: Deed(f"/webhooks/{ids['hook']}", HOOK, Action.HOOKS),
    lambda ids: Deed(f"/webhooks/{ids['hook']}/rotate", {}, Action.HOOKS),
    lambda ids: Deed(f"/webhooks/{ids['hook']}/enabled", {"enabled": ""}, Action.HOOKS),
    lambda ids: Deed(f"/webhooks/{ids['hook']}/delete", {}, Action.HOOKS),
    Deed(f"{FLAG}/snooze", {"until": SOON, "reason": "it stays"}, Action.EDIT, "checkout", ANYWHERE),
    Deed(f"{FLAG}/wake", {}, Action.EDIT, "checkout", ANYWHERE),
    of_flag(f"{FLAG}/delete", {}),
    Deed("/segments/beta/delete", {}, Action.EDIT),
    Deed("/services/payments/delete", {}, Action.CATALOG, "payments"),
    Deed("/environments/moon/delete", {}, Action.CATALOG, "*", "moon"),
]
OF_EVERYBODY = {"log_in", "choose_password", "log_out", "change_password", "end_session", "end_others"}
OF_A_SESSION = {"end_one"}
"""Takes somebody who is logged in: `test_people_pages.py`."""


@pytest.fixture
def ids(visitor: Browserless) -> dict[str, str]:
    """What there is to be changed, all of it by the first administrator."""
    services, boss = visitor.services, visitor.bootstrap
    for service in ("checkout", "payments"):
        services.catalog.create_service(boss, {"key": service})
    services.catalog.create_environment(boss, {"key": "moon"})
    made = services.flags.create(boss, "checkout", {"key": "new-cart", "type": "boolean"})
    services.flags.patch(boss, "checkout", "new-cart", {"owner": "cart team"})
    services.segments.create(boss, {"key": "beta", "when": {"any": []}})
    change = {"service": "checkout", "flag": "new-cart", "environment": "production", "change": {"state": {"on": True}}}
    hook = {"name": "chat", "url": "https://hooks.invalid/", "format": "standard", "events": ["*"]}
    return {
        "version": str(made["version"]),
        "key": services.keys.create(boss, {"kind": "api", "name": "x", "role": "viewer"})["id"],
        "person": _id(services.people.create(boss, {"login": "ada", "grants": [{"role": "viewer"}]})),
        "hook": services.hooks.create(boss, hook)["id"],
        "link": services.links.create(boss, {"name": "x", "service": "checkout", "flag": "new-cart", **HERE})["id"],
        "review": services.reviews.open(boss, change | {"reason": "wanted"})["id"],
    }


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("role", PEOPLE)
def test_each_form_is_taken_or_refused(visitor: Browserless, ids: dict[str, str], role: str, scope: str) -> None:
    services, environments = SCOPES[scope]
    somebody = visitor.by(role, name="somebody", services=services, environments=environments)
    for each in DEEDS:
        deed = each if isinstance(each, Deed) else each(ids)
        covered = _covers(services, deed.service) and _covers(environments, deed.environment)
        revision = visitor.store.view.revision
        status = somebody.post(deed.path, deed.form).status_code
        if covered and deed.action in ROLES[role]:
            assert status in (200, 303), (status, deed)
        else:
            assert status in (403, 404), (status, deed)
            assert visitor.store.view.revision == revision, deed


def test_every_form_is_in_the_table(visitor: Browserless, ids: dict[str, str]) -> None:
    rules = visitor.app.url_map
    deeds = [each if isinstance(each, Deed) else each(ids) for each in DEEDS]
    tried = {rules.bind("localhost").match(deed.path, method="POST")[0] for deed in deeds}
    there = {rule.endpoint for rule in rules.iter_rules() if "POST" in (rule.methods or ())}
    forms = {name for name in there if name.startswith("downhaul_admin.")}
    assert {name.partition(".")[2] for name in forms - tried} == OF_EVERYBODY | OF_A_SESSION


def _covers(scope: tuple[str, ...], wanted: str) -> bool:
    return wanted == ANYWHERE or "*" in scope or wanted in scope


def _id(made: Any) -> str:
    return str(made["id"] if isinstance(made, dict) else made[0]["id"])
