"""Documents of people: what is sent, what is kept, what is shown, and by which name somebody is found."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.documents import answer, check_fields, now, same_json
from downhaul_server.services.errors import Forbidden, Invalid, Path
from downhaul_server.services.grants import administers, beyond, grants_checked
from downhaul_server.store import Document, View

PERSON = "person"
LOGIN = r"[a-z0-9][a-z0-9._@+-]{0,99}"
NAME_MAX = 200
RESERVED = frozenset({"admin", "provider", "system", "downhaul-server"})
"""Nobody is to look like one of those in the log."""
CHANGEABLE = frozenset({"name", "email", "grants", "disabled"})
READ_ONLY_TOO = frozenset({"issuer", "subject", "password_set_at", "must_change", "created_by"})
"""Parts of an answer: a document may be sent back as it came."""
NEVER_SHOWN = frozenset({"hash", "generation"})

Body = Mapping[str, Any]


def complete(document: Body) -> dict[str, Any]:
    """A local person with all that is not said. Raises Invalid."""
    check_fields(document, ("login", "name", "email", "grants"))
    login = document.get("login")
    if not isinstance(login, str) or re.fullmatch(LOGIN, login.lower()) is None:
        raise Invalid.at("login", message=f"expected a login that matches {LOGIN}")
    if login.lower() in RESERVED:
        raise Invalid.at("login", message="this one is reserved: the log knows somebody else by it")
    said = checked({"name": document.get("name") or login, "email": document.get("email") or ""})
    grants = grants_checked(document.get("grants") or [])
    more = {"disabled": False, "generation": 1, "must_change": True, "password_set_at": now()}
    return {"login": login.lower(), "source": "local", "grants": grants} | said | more


def checked(changes: Body) -> dict[str, Any]:
    """What may be changed of anybody, in its proper form. Raises Invalid."""
    found = dict(changes)
    for name in ("name", "email"):
        text = changes.get(name, "")
        if not isinstance(text, str) or len(text) > NAME_MAX or not text.isprintable():
            raise Invalid.at(name, message=f"expected a text of at most {NAME_MAX} characters")
    if not isinstance(changes.get("disabled", False), bool):
        raise Invalid.at("disabled", message="expected true or false")
    if "grants" in changes:
        found["grants"] = grants_checked(changes["grants"])
    return found


def check_own(actor: Actor, before: Body, after: Body | None) -> None:
    """Nobody locks themselves out by mistake."""
    if actor.kind != PERSON or actor.token_id != before["id"]:
        return
    if after is None or after["disabled"] or beyond(actor, after["grants"]) or not administers(after["grants"]):
        raise Forbidden("your own rights only another administrator can take from you")


def check_local(person: Body) -> None:
    """Raises Invalid for who has no password here."""
    if person["source"] != "local":
        raise Invalid.at(message=f"{person['login']} logs in by the provider of identities, and has no password here")


def check_provided(person: Body, wanted: Body) -> None:
    """Raises Invalid for changes of what the provider of identities says."""
    if person["source"] == "local":
        return
    faults: list[tuple[Path, str]] = [
        ((name,), "it comes from the provider of identities, at each log-in")
        for name in ("name", "email", "grants")
        if name in wanted and not same_json(wanted[name], person[name])
    ]
    if faults:
        raise Invalid(faults)


def by_login(view: View, login: str) -> Document | None:
    """Who logs in by this name."""
    return next((document for document in view.of_kind("person/") if document.body["login"] == login), None)


def by_identity(view: View, issuer: str, subject: str) -> Document | None:
    """Whom the provider knows by this subject."""
    for document in view.of_kind("person/"):
        if (document.body.get("issuer"), document.body.get("subject")) == (issuer, subject):
            return document
    return None


def free_login(view: View, identity: Body) -> str:
    """What the provider calls them; with a number when somebody else has that name here."""
    wanted = re.sub(r"[^a-z0-9._@+-]", "-", identity["login"].lower()).lstrip("._@+-")[:90] or "person"
    names = (wanted, *(f"{wanted}-{number}" for number in range(2, 100)), f"{wanted}-{secrets.token_hex(4)}")
    return next(name for name in names if name not in RESERVED and by_login(view, name) is None)


def shown(body: Body, version: int) -> dict[str, Any]:
    """As clients get it: never the hash."""
    return answer({name: value for name, value in body.items() if name not in NEVER_SHOWN}, version)
