"""People: who may log in with a name of their own, and what they may do. Nobody grants more than they have."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from downhaul_server.services import tokens
from downhaul_server.services.actors import Action, Actor, authorize
from downhaul_server.services.commit import Committer, Plan
from downhaul_server.services.documents import (
    READ_ONLY,
    check_fields,
    check_version,
    existing,
    now,
    same_json,
    stamped,
)
from downhaul_server.services.errors import AlreadyExists, Forbidden, Invalid
from downhaul_server.services.grants import beyond, check_giving, check_reach, check_scopes
from downhaul_server.services.names import address
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.services.passwords import Passwords
from downhaul_server.services.people_forms import (
    CHANGEABLE,
    PERSON,
    READ_ONLY_TOO,
    by_login,
    check_local,
    check_own,
    check_provided,
    checked,
    complete,
    shown,
)
from downhaul_server.services.sessions import Sessions
from downhaul_server.store import Document, View

PASSWORD_LENGTH = 20

Body = Mapping[str, Any]


class People:
    """Documents: `{id, login, name, email, source, grants: [{role, services, environments}], disabled}`, with times and
    version; `source` is `local` (`password_set_at`, `must_change`) or `oidc` (`issuer`, `subject`). Never the hash."""

    def __init__(self, committer: Committer, sessions: Sessions, hashes: Passwords) -> None:
        self._committer = committer
        self._sessions = sessions
        self._passwords = hashes

    # Administration.

    def list(self, actor: Actor, *, query: str | None = None, limit: int = LIMIT, cursor: str | None = None) -> Page:
        """In the order of their logins; only those whose rights the actor has too. Raises Forbidden."""
        authorize(actor, Action.PEOPLE)
        wanted = (query or "").lower()
        found = sorted(
            (document.body["login"], document)
            for document in self._committer.view.of_kind("person/")
            if beyond(actor, document.body["grants"]) is None
            and wanted in f"{document.body['login']}\n{document.body['name']}\n{document.body['email']}".lower()
        )
        return page_by_key(found, limit, cursor, _public)

    def get(self, actor: Actor, person_id: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden."""
        authorize(actor, Action.PEOPLE)
        return _public(_reached(actor, self._committer.view, person_id))

    def own(self, actor: Actor) -> dict[str, Any] | None:
        """What is known of the actor; None: they are no person."""
        if actor.kind != PERSON:
            return None
        return _public(existing(self._committer.view, PERSON, actor.token_id or ""))

    def create(self, actor: Actor, document: Body, *, operation: str | None = None) -> dict[str, Any]:
        """A local person: `{login, name?, email?, grants?}`. The answer has the first `password`, this once; they
        choose their own when they first log in. Raises AlreadyExists, Invalid, Forbidden.

        A repeated request (same operation) is answered with the same password, as long as it comes with the same token.
        """
        authorize(actor, Action.PEOPLE)
        person = complete(document)
        person_id, nonce = secrets.token_hex(8), secrets.token_hex(16)
        password = _generated(tokens.seed(actor.secret, operation, nonce))
        hidden = {"id": person_id, "hash": self._passwords.hash(password)}

        def plan(view: View) -> Plan:
            check_scopes(view, person["grants"])
            check_giving(actor, person["grants"])
            if by_login(view, person["login"]):
                raise AlreadyExists(PERSON, person["login"])
            body = stamped(person | hidden | {"created_by": actor.name}, None)
            result = {"id": person_id, "nonce": nonce}
            return Plan(action="person.create", writes={address(PERSON, person_id): body}, result=result)

        outcome = self._committer.run(actor, plan, request=("person.create", document), operation=operation)
        first = outcome.result
        written = self._committer.written(outcome, address(PERSON, first["id"]))
        if not outcome.plan:
            password = _generated(tokens.seed(actor.secret, operation, first["nonce"]))
        return shown(written.body, written.version) | {"password": password}

    def patch(
        self,
        actor: Actor,
        person_id: str,
        changes: Body,
        *,
        if_match: int | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Change `name`, `email`, `grants`, `disabled`. What the provider of identities says, only it can change.

        Whoever is disabled is out within seconds. Raises NotFound, VersionMismatch, Invalid, Forbidden.
        """
        authorize(actor, Action.PEOPLE)
        check_fields(changes, {"id", "login", "source", *CHANGEABLE, *READ_ONLY_TOO, *READ_ONLY})
        wanted = checked({name: value for name, value in changes.items() if name in CHANGEABLE})

        def change(view: View, before: Document) -> dict[str, Any]:
            check_version(before, if_match)
            body = before.body
            for name in ("id", "login", "source"):
                if changes.get(name, body[name]) != body[name]:
                    raise Invalid.at(name, message=f"expected {body[name]}: it cannot be changed")
            check_provided(body, wanted)
            if "grants" in wanted:
                check_scopes(view, wanted["grants"])
                check_giving(actor, wanted["grants"])
            after = dict(body) | wanted
            check_own(actor, body, after)
            ends = after["disabled"] and not body["disabled"]
            return after | {"generation": body["generation"] + ends}

        return self._change(actor, person_id, "person.update", change, (changes, if_match), operation)

    def delete(
        self, actor: Actor, person_id: str, *, if_match: int | None = None, operation: str | None = None
    ) -> None:
        """They are out within seconds. Raises NotFound, VersionMismatch, Forbidden."""
        authorize(actor, Action.PEOPLE)

        def plan(view: View) -> Plan:
            before = _reached(actor, view, person_id)
            check_version(before, if_match)
            check_own(actor, before.body, None)
            return Plan(action="person.delete", writes={before.address: None}, alone=False)

        self._committer.run(actor, plan, request=("person.delete", person_id, if_match), operation=operation)
        self._sessions.clear(PERSON, person_id)

    def reset_password(self, actor: Actor, person_id: str, *, operation: str | None = None) -> dict[str, Any]:
        """A new first `password`, shown this once, for somebody else; all their sessions end.

        Raises NotFound, Invalid (not a local person), Forbidden.
        """
        authorize(actor, Action.PEOPLE)
        if actor.kind == PERSON and actor.token_id == person_id:
            raise Forbidden("your own password you change on the page of your account, with the old one")
        nonce = secrets.token_hex(16)
        password = _generated(tokens.seed(actor.secret, operation, nonce))
        new = {"hash": self._passwords.hash(password), "must_change": True, "password_set_at": now()}

        def plan(view: View) -> Plan:
            before = _reached(actor, view, person_id)
            check_local(before.body)
            check_giving(actor, before.body["grants"])
            after = dict(before.body) | new | {"generation": before.body["generation"] + 1}
            return Plan(
                action="person.password",
                writes={before.address: stamped(after, before)},
                alone=False,
                result={"nonce": nonce},
            )

        outcome = self._committer.run(actor, plan, request=("person.password", person_id), operation=operation)
        written = self._committer.written(outcome, address(PERSON, person_id))
        self._sessions.clear(PERSON, person_id)
        if not outcome.plan:
            password = _generated(tokens.seed(actor.secret, operation, outcome.result["nonce"]))
        return shown(written.body, written.version) | {"password": password}

    def sessions(self, actor: Actor, person_id: str, *, current: str | None = None) -> Sequence[dict[str, Any]]:
        """Where they are logged in; their own everybody may see. Raises NotFound, Forbidden, Unavailable."""
        self._check_sessions(actor, person_id)
        return self._sessions.page(PERSON, person_id, current=current)

    def end_session(self, actor: Actor, person_id: str, session: str) -> None:
        """End one. Raises NotFound, Forbidden, Unavailable."""
        self._check_sessions(actor, person_id)
        self._sessions.revoke(PERSON, person_id, session)

    def end_sessions(self, actor: Actor, person_id: str, *, operation: str | None = None) -> None:
        """End all of them. Raises NotFound, Forbidden, Unavailable."""
        self._check_sessions(actor, person_id)
        own = actor.kind == PERSON and actor.token_id == person_id

        def plan(view: View) -> Plan:
            before = existing(view, PERSON, person_id) if own else _reached(actor, view, person_id)
            after = dict(before.body) | {"generation": before.body["generation"] + 1}
            return Plan(action="person.sessions", writes={before.address: stamped(after, before)}, alone=False)

        self._committer.run(actor, plan, request=("person.sessions", person_id), operation=operation)
        self._sessions.clear(PERSON, person_id)

    # The rest.

    def _change(
        self,
        actor: Actor,
        person_id: str,
        action: str,
        change: Callable[[View, Document], dict[str, Any]],
        request: tuple[Any, ...],
        operation: str | None,
    ) -> dict[str, Any]:
        def plan(view: View) -> Plan:
            before = _reached(actor, view, person_id)
            after = change(view, before)
            changed = not same_json(after, dict(before.body))
            writes = {before.address: stamped(after, before)} if changed else {}
            return Plan(action=action, writes=writes)

        outcome = self._committer.run(actor, plan, request=(action, person_id, *request), operation=operation)
        written = self._committer.written(outcome, address(PERSON, person_id))
        if written.body["disabled"]:
            self._sessions.clear(PERSON, person_id)
        return shown(written.body, written.version)

    def _check_sessions(self, actor: Actor, person_id: str) -> None:
        if actor.kind == PERSON and actor.token_id == person_id:
            return
        authorize(actor, Action.PEOPLE)
        _reached(actor, self._committer.view, person_id)


def _reached(actor: Actor, view: View, person_id: str) -> Document:
    """Somebody whom the actor may change: nobody mightier. Raises NotFound, Forbidden."""
    document = existing(view, PERSON, person_id)
    check_reach(actor, document.body["grants"])
    return document


def _generated(seed: bytes) -> str:
    """A first password: 119 bits, in groups that can be read out."""
    letters = tokens.make("api", seed).split("_")[2][:PASSWORD_LENGTH]
    return "-".join(letters[start : start + 5] for start in range(0, PASSWORD_LENGTH, 5))


def _public(document: Document) -> dict[str, Any]:
    return shown(document.body, document.version)
