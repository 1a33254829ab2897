"""Kill links: an address that kills one flag in one environment, and can do nothing else. For runbooks and alerts.

Whoever has the address may use it: it is a credential, so it is made, seen and revoked by those who may handle keys
there. It is shown once; only its hash is kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from downhaul_server.services import tokens
from downhaul_server.services.actors import Action, Actor, authorize
from downhaul_server.services.commit import Committer, Plan
from downhaul_server.services.documents import check_fields, copied, existing, now
from downhaul_server.services.errors import Forbidden, Gone, Invalid, NotFound, Path
from downhaul_server.services.flag_forms import kill_revision, state_of
from downhaul_server.services.keys import derived_again, expiry
from downhaul_server.services.kill import Kill, Killed
from downhaul_server.services.names import address
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.services.usage import Usage
from downhaul_server.store import Document, View

FIELDS = ("name", "service", "flag", "environment", "expires_at")
"""What a client sets."""
INTERNAL = frozenset({"hash", "made_by"})
ROLE = "killer"
NAME_MAX = 200

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What a link is for, and how that is now."""

    name: str
    service: str
    flag: str
    environment: str
    expires_at: str | None
    killed: Mapping[str, Any] | None
    """`{at, by, reason}`, when it is killed already."""
    revision: int
    """Of the standing kill, else of the flag's last change."""
    at: str
    """When that was."""

    @property
    def touches(self) -> tuple[tuple[str, str], ...]:
        """Whose instances are concerned."""
        return ((self.service, self.environment),)

    def to_json(self) -> dict[str, Any]:
        """As the API answers it."""
        names = ("name", "service", "flag", "environment", "expires_at")
        return {name: getattr(self, name) for name in names} | {"killed": copied(self.killed)}


class Links:
    """Documents: `{id, name, service, flag, environment, expires_at, created_at, created_by}`; answers also have
    `last_used`. Times in RFC 3339, or None."""

    def __init__(self, committer: Committer, kill: Kill, usage: Usage) -> None:
        self._committer = committer
        self._kill = kill
        self._usage = usage
        self._index: tuple[tuple[Document, ...], dict[str, Document]] = ((), {})

    def list(self, actor: Actor, *, limit: int = LIMIT, cursor: str | None = None) -> Page:
        """In the order of their ids; those of places where the actor may handle keys. Raises Forbidden."""
        authorize(actor, Action.KEYS)
        found = (
            (document.key, document.body)
            for document in self._committer.view.of_kind("link/")
            if actor.reaches(document.body["service"], document.body["environment"], Action.KEYS)
        )
        times = self._usage.times()
        return page_by_key(found, limit, cursor, lambda body: _shown(body, times))

    def create(self, actor: Actor, document: Body, *, operation: str | None = None) -> dict[str, Any]:
        """The new link with its `token`, this once; `path_of` makes an address of it.

        A repeated request is answered like `Keys.create` answers one. Raises Invalid, Forbidden (also for what the
        actor may not kill), Unavailable.
        """
        authorize(actor, Action.KEYS)
        link = _complete(document)
        _check_reach(actor, link)
        _check_expiry(actor, link)
        link_id, nonce = secrets.token_hex(8), secrets.token_hex(16)
        token = tokens.make("kill", tokens.seed(actor.secret, operation, nonce))
        origin = {
            "id": link_id,
            "created_at": now(),
            "created_by": actor.name,
            "made_by": actor.token_id,
            "hash": tokens.digest(token),
        }

        def plan(view: View) -> Plan:
            _check_target(view, link)
            where = address("link", link_id)
            return Plan(action="link.create", writes={where: link | origin}, result={"id": link_id, "nonce": nonce})

        outcome = self._committer.run(actor, plan, request=("link.create", document), operation=operation)
        first = outcome.result
        written = self._committer.written(outcome, address("link", first["id"])).body
        if outcome.plan is None:
            token = derived_again(actor, operation, "kill", first["nonce"], written["hash"])
        return _shown(written, {}) | {"token": token}

    def revoke(self, actor: Actor, link_id: str, *, operation: str | None = None) -> None:
        """Its address leads nowhere from now on. Raises NotFound, Forbidden."""
        authorize(actor, Action.KEYS)

        def plan(view: View) -> Plan:
            document = existing(view, "link", link_id)
            authorize(actor, Action.KEYS, document.body["service"], document.body["environment"])
            return Plan(action="link.revoke", writes={document.address: None}, alone=False)

        self._committer.run(actor, plan, request=("link.revoke", link_id), operation=operation)

    def look(self, token: str) -> Target:
        """What the link would do. Changes nothing.

        Raises NotFound for an unknown or revoked link, Gone for one that has expired or whose flag, service or
        environment is not there any more; neither tells what there is. Raises Unavailable.
        """
        link = self._opened(token)
        view = self._committer.view
        flag = view.get(address("flag", link["service"], link["flag"]))
        if flag is None or view.get(address("environment", link["environment"])) is None:
            raise _gone()
        killed = state_of(flag.body, link["environment"])["killed"]
        return Target(
            name=link["name"],
            service=link["service"],
            flag=link["flag"],
            environment=link["environment"],
            expires_at=link["expires_at"],
            killed=killed,
            revision=kill_revision(flag, link["environment"]) if killed else flag.version,
            at=killed["at"] if killed else flag.body["updated_at"],
        )

    def kill(self, token: str, *, client: str | None = None, reason: str | None = None) -> Killed:
        """Kill what the link is for; `client` is the address that it was used from, for the log.

        Raises what `look` raises.
        """
        link = self._opened(token)
        actor = Actor.single(
            f"kill link {link['name']}",
            "link",
            ROLE,
            frozenset({link["service"]}),
            frozenset({link["environment"]}),
            token_id=link["id"],
            address=client,
            expires=link["expires_at"],
        )
        try:
            killed = self._kill.kill(
                actor, link["service"], link["flag"], environment=link["environment"], reason=reason
            )
        except NotFound:
            raise _gone() from None
        self._usage.note(link["id"])
        return killed

    def _opened(self, token: str) -> Body:
        found = self._find(tokens.digest(token)) if tokens.is_whole(token) else None
        if found is None:
            raise NotFound("kill link", "of this address: it was revoked, or never made")
        expires = found.body["expires_at"]
        if expires is not None and expires <= now():
            raise Gone("this kill link has expired")
        return found.body

    def _find(self, digest: str) -> Document | None:
        links = self._committer.view.of_kind("link/")
        indexed, index = self._index
        if links is not indexed:
            index = {document.body["hash"]: document for document in links}
            self._index = (links, index)
        return index.get(digest)


def path_of(token: str) -> str:
    """Where on this server a link leads."""
    return f"/k/{token}"


def _gone() -> Gone:
    return Gone("what this kill link was made for is not there any more")


def _shown(link: Body, times: Mapping[str, str]) -> dict[str, Any]:
    shown = {name: copied(value) for name, value in link.items() if name not in INTERNAL}
    return shown | {"last_used": times.get(link["id"])}


def _complete(document: Body) -> dict[str, Any]:
    check_fields(document, FIELDS)
    link: dict[str, Any] = {name: document.get(name) for name in FIELDS}
    faults: list[tuple[Path, str]] = [
        ((name,), "missing") for name in FIELDS[:-1] if not isinstance(link[name], str) or not link[name].strip()
    ]
    if faults:
        raise Invalid(faults)
    return link | {"name": link["name"].strip()[:NAME_MAX], "expires_at": expiry(link["expires_at"], "expires_at")}


def _check_reach(actor: Actor, link: Body) -> None:
    """Nobody makes a link where they may not handle keys, or for what they may not kill."""
    for action in (Action.KILL, Action.KEYS):
        authorize(actor, action, link["service"], link["environment"])


def _check_expiry(actor: Actor, link: Body) -> None:
    if actor.expires and (link["expires_at"] is None or link["expires_at"] > actor.expires):
        raise Forbidden(f"the token of {actor.name} expires before the link would")


def _check_target(view: View, link: Body) -> None:
    """Raises Invalid for what is not there."""
    places = (
        ("service", address("service", link["service"])),
        ("environment", address("environment", link["environment"])),
        ("flag", address("flag", link["service"], link["flag"])),
    )
    faults: list[tuple[Path, str]] = [
        ((field,), f"there is no {field} {link[field]}") for field, where in places if view.get(where) is None
    ]
    if faults:
        raise Invalid(faults)
