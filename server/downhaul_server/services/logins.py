"""People logging in: by password, or because the provider of identities vouches for them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from downhaul_server.services import passwords
from downhaul_server.services.actors import Actor
from downhaul_server.services.commit import Committer, Plan
from downhaul_server.services.documents import existing, now, same_json, stamped
from downhaul_server.services.errors import Forbidden, Invalid, Unauthenticated
from downhaul_server.services.grants import grants_checked
from downhaul_server.services.names import address
from downhaul_server.services.passwords import Passwords
from downhaul_server.services.people_forms import NAME_MAX, PERSON, by_identity, by_login, free_login
from downhaul_server.services.session_holders import person_actor
from downhaul_server.services.sessions import Sessions
from downhaul_server.store import Document, View

FIRST_LASTS = timedelta(days=7)
"""A password that somebody was given is good for so long."""
WRONG = "the login or the password is wrong"
PROVIDER = Actor("provider", "system", ())
"""By whom people come and change who log in by OpenID Connect."""


Body = Mapping[str, Any]


class Logins:
    """Who they are. Their sessions begin elsewhere."""

    def __init__(self, committer: Committer, sessions: Sessions, hashes: Passwords) -> None:
        self._committer = committer
        self._sessions = sessions
        self._passwords = hashes

    def authenticate(self, login: str, password: str) -> tuple[Actor, bool]:
        """Who this is, and whether they have to choose a password first. Raises Unauthenticated, Overloaded.

        Whoever is not there, has no password or is disabled, learns no more than that something is wrong, as late.
        """
        document = by_login(self._committer.view, login.strip().lower())
        stored = document.body.get("hash") if document and document.body["source"] == "local" else None
        actor = person_actor(document.body) if document else None
        if not self._passwords.verify(stored, password) or document is None or actor is None:
            raise Unauthenticated(WRONG)
        if document.body.get("must_change") and _age(document.body["password_set_at"]) > FIRST_LASTS:
            raise Unauthenticated("the first password has expired; ask an administrator for a new one")
        if self._passwords.outdated(str(stored)):
            self._rehash(actor, document, password)
        return actor, bool(document.body.get("must_change"))

    def known(self, login: str) -> str | None:
        """The login, for our logs, if somebody has it: anything else that was typed there may be a password."""
        document = by_login(self._committer.view, login.strip().lower())
        return document.body["login"] if document else None

    def change_password(self, login: str, current: str, new: str) -> Actor:
        """Somebody changes their own; all their sessions end. Raises Unauthenticated, Invalid, Overloaded."""
        actor, _ = self.authenticate(login, current)
        person = existing(self._committer.view, PERSON, actor.token_id or "").body
        passwords.check(new, about=(person["login"], person["name"], person["email"]), field="new")
        if new == current:
            raise Invalid.at("new", message="expected another password than the old one")
        fresh = {"hash": self._passwords.hash(new), "must_change": False, "password_set_at": now()}

        def plan(view: View) -> Plan:
            before = existing(view, PERSON, actor.token_id or "")
            if before.body.get("hash") != person["hash"]:
                raise Unauthenticated(WRONG)
            after = dict(before.body) | fresh | {"generation": before.body["generation"] + 1}
            return Plan(action="person.password", writes={before.address: stamped(after, before)}, alone=False)

        self._committer.run(actor, plan, request=("person.password", actor.token_id))
        self._sessions.clear(PERSON, actor.token_id or "")
        return actor

    def arrive(self, identity: Body) -> Actor:
        """Somebody whom the provider of identities vouches for: `{issuer, subject, login, name, email, grants}`.

        A new person the first time; later, what the provider says now. Local people are never taken for them, whatever
        their login or address. Raises Forbidden for who is disabled, or has no grants; Unavailable.
        """
        grants = grants_checked(identity["grants"])

        def plan(view: View) -> Plan:
            before = by_identity(view, identity["issuer"], identity["subject"])
            said = {"name": identity["name"][:NAME_MAX], "email": identity["email"][:NAME_MAX], "grants": grants}
            if before is None:
                new = {"id": secrets.token_hex(8), "login": free_login(view, identity), "source": "oidc"}
                origin = {"issuer": identity["issuer"], "subject": identity["subject"], "created_by": "provider"}
                body = stamped(new | said | origin | {"disabled": False, "generation": 1}, None)
                writes = {address(PERSON, body["id"]): body} if grants else {}
                return Plan(action="person.create", writes=writes)
            after = dict(before.body) | said
            changed = not same_json(after, dict(before.body))
            return Plan(action="person.update", writes={before.address: stamped(after, before)} if changed else {})

        self._committer.run(PROVIDER, plan, request=("person.arrive", identity["issuer"], identity["subject"]))
        found = by_identity(self._committer.view, identity["issuer"], identity["subject"])
        actor = person_actor(found.body) if found else None
        if found and actor is None:
            raise Forbidden(f"{found.body['login']} is disabled here")
        if actor is None or not actor.grants:
            raise Forbidden("none of your groups has a role here; ask an administrator of Downhaul")
        return actor

    def _rehash(self, actor: Actor, document: Document, password: str) -> None:
        fresh = self._passwords.hash(password)

        def plan(view: View) -> Plan:
            before = existing(view, PERSON, document.key)
            same = before.body.get("hash") == document.body["hash"]
            writes = {before.address: dict(before.body) | {"hash": fresh}} if same else {}
            return Plan(action="person.rehash", writes=writes, alone=False)

        self._committer.run(actor, plan, request=("person.rehash", document.key))


def _age(time: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(time)
