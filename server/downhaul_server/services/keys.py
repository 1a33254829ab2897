"""SDK keys and API tokens: make, list, revoke. A token is shown once; only its hash is kept."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from downhaul_server.services import tokens
from downhaul_server.services.actors import ALL, ROLES, Action, Actor, Grant, SdkKey, authorize
from downhaul_server.services.commit import Committer, Plan
from downhaul_server.services.documents import check_fields, copied, existing, now, timestamp
from downhaul_server.services.errors import Forbidden, Invalid, Unauthenticated
from downhaul_server.services.names import address
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.store import Document, View

FIELDS = {
    "sdk": ("kind", "name", "services", "environment"),
    "api": ("kind", "name", "services", "environments", "role", "expires"),
}
"""What a client sets, by kind."""

Body = Mapping[str, Any]


class Keys:
    """Documents: `{id, kind, name, services, created_at, created_by}` with, for `sdk`, `environment`, and for `api`,
    `role`, `environments`, `expires` (RFC 3339 or None). Never the token or its hash."""

    def __init__(self, committer: Committer, admin_token: str | None) -> None:
        self._committer = committer
        self._admin_token = admin_token
        self._index: tuple[tuple[Document, ...], dict[str, Document]] = ((), {})

    def list(self, actor: Actor, *, kind: str | None = None, limit: int = LIMIT, cursor: str | None = None) -> Page:
        """Keys in the order of their ids; only those whose rights the actor has too."""
        authorize(actor, Action.KEYS)
        found = (
            (document.key, document.body)
            for document in self._committer.view.of_kind("key/")
            if kind in (None, document.body["kind"]) and excess(actor, document.body) is None
        )
        return page_by_key(found, limit, cursor, public)

    def get(self, actor: Actor, key_id: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden."""
        authorize(actor, Action.KEYS)
        document = existing(self._committer.view, "key", key_id)
        _check_reach(actor, document.body)
        return public(document.body)

    def create(self, actor: Actor, document: dict[str, Any], *, operation: str | None = None) -> dict[str, Any]:
        """The new key with its `token`, this once. Raises Invalid, and Forbidden when it would be mightier than the
        actor.

        A repeated request (same operation) is answered with the same token, as long as it comes with the same token.
        """
        authorize(actor, Action.KEYS)
        key = _complete(document)
        key_id, nonce = secrets.token_hex(8), secrets.token_hex(16)
        token = tokens.make(key["kind"], tokens.seed(actor.secret, operation, nonce))
        origin = {
            "id": key_id,
            "created_at": now(),
            "created_by": actor.name,
            "made_by": actor.token_id,
            "hash": tokens.digest(token),
        }

        def plan(view: View) -> Plan:
            _check_scope(view, key)
            _check_reach(actor, key)
            where = address("key", key_id)
            return Plan(action="key.create", writes={where: key | origin}, result={"id": key_id, "nonce": nonce})

        outcome = self._committer.run(actor, plan, request=("key.create", document), operation=operation)
        first = outcome.result
        written = self._committer.written(outcome, address("key", first["id"]))
        token = (
            token if outcome.plan else tokens.make(key["kind"], tokens.seed(actor.secret, operation, first["nonce"]))
        )
        return public(written.body) | {"token": token}

    def revoke(self, actor: Actor, key_id: str, *, operation: str | None = None) -> None:
        """It is refused from now on. Raises NotFound, Forbidden."""
        authorize(actor, Action.KEYS)

        def plan(view: View) -> Plan:
            document = existing(view, "key", key_id)
            _check_reach(actor, document.body)
            return Plan(action="key.revoke", writes={document.address: None}, alone=False)

        self._committer.run(actor, plan, request=("key.revoke", key_id), operation=operation)

    def authenticate(self, token: str) -> Actor | SdkKey:
        """Who holds this token. Asks nobody. Raises Unauthenticated, and Unavailable while nothing is loaded."""
        if self._admin_token and tokens.same(token, self._admin_token):
            return Actor.single("admin", "admin", "admin", secret=tokens.secret_of(token))
        document = self._find(token) if tokens.is_whole(token) else None
        if document is None:
            raise Unauthenticated("the token is not known here")
        expires = document.body.get("expires")
        if expires is not None and expires <= now():
            raise Unauthenticated("the token has expired")
        return _holder(document, token)

    def holds(self, key: SdkKey) -> bool:
        """Whether an SDK key is still what it was when it was authenticated. Asks nobody."""
        document = self._committer.view.get(address("key", key.id))
        return document is not None and _holder(document, "") == key

    def _find(self, token: str) -> Document | None:
        keys = self._committer.view.of_kind("key/")
        known, index = self._index
        if keys is not known:
            index = {document.body["hash"]: document for document in keys}
            self._index = (keys, index)
        digest = tokens.digest(token)
        document = index.get(digest)
        return document if document and tokens.same(document.body["hash"], digest) else None


def public(key: Body) -> dict[str, Any]:
    """A stored key for clients: without the hash, and without the id of whoever made it."""
    return {name: copied(value) for name, value in key.items() if name not in ("hash", "made_by")}


def excess(actor: Actor, key: Body) -> str | None:
    """What the holder of a key may do that the actor may not, as a sentence; None when there is no such thing."""
    faults = [_excess(actor, grant, key) for grant in actor.grants if grant.allows(Action.KEYS)]
    if None not in faults:
        return next(iter(faults), f"the role {actor.role} of {actor.name} has no keys to give")
    if key["kind"] == "api" and actor.expires and (key["expires"] is None or key["expires"] > actor.expires):
        return f"the token of {actor.name} expires before the key would"
    return None


def _excess(actor: Actor, grant: Grant, key: Body) -> str | None:
    for kind, reaches in (("services", grant.services), ("environments", grant.environments)):
        wanted = key.get(kind) or [key["environment"]]
        if ALL not in reaches and not reaches.issuperset(wanted):
            return f"the token of {actor.name} does not reach all of the key's {kind}"
    if key["kind"] == "api" and not ROLES[grant.role] >= ROLES[key["role"]]:
        return f"the role {grant.role} of {actor.name} is less than {key['role']}"
    return None


def _check_reach(actor: Actor, key: Body) -> None:
    if reason := excess(actor, key):
        raise Forbidden(reason)


def _complete(document: Body) -> dict[str, Any]:
    """The key with its defaults: every service, every environment, for ever. Raises Invalid."""
    kind = document.get("kind")
    if kind not in FIELDS:
        raise Invalid.at("kind", message=f"expected one of {', '.join(FIELDS)}")
    check_fields(document, FIELDS[kind])
    key = {"kind": kind, "name": document.get("name"), "services": _unique(document.get("services"))}
    if kind == "sdk":
        return key | {"environment": document.get("environment")}
    if document.get("role") not in ROLES:
        raise Invalid.at("role", message=f"expected one of {', '.join(ROLES)}")
    environments = _unique(document.get("environments"))
    return key | {"role": document["role"], "environments": environments, "expires": _expires(document.get("expires"))}


def _unique(keys: Any) -> Any:
    return list(dict.fromkeys(keys or [ALL]))


def _expires(text: str | None) -> str | None:
    """In UTC and milliseconds, so that times compare as texts. Raises Invalid for the past."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
        expires = timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise Invalid.at("expires", message="expected a time with an offset, such as 2027-01-31T12:00:00Z") from None
    if expires <= now():
        raise Invalid.at("expires", message="expected a time to come")
    return expires


def _check_scope(view: View, key: Body) -> None:
    """Raises Invalid for services and environments that are not there."""
    faults: list[tuple[tuple[str | int, ...], str]] = []
    for kind, field in (("service", "services"), ("environment", "environments")):
        for index, name in enumerate(key.get(field, ())):
            if name != ALL and view.get(address(kind, str(name))) is None:
                faults.append(((field, index), f"there is no {kind} {name}"))
    if key["kind"] == "sdk" and view.get(address("environment", str(key["environment"]))) is None:
        faults.append((("environment",), f"there is no environment {key['environment']}"))
    if not isinstance(key["name"], str) or not key["name"]:
        faults.append((("name",), "missing"))
    if faults:
        raise Invalid(faults)


def _holder(document: Document, token: str) -> Actor | SdkKey:
    key = document.body
    if key["kind"] == "sdk":
        return SdkKey(key["id"], key["name"], key["environment"], frozenset(key["services"]))
    return Actor.single(
        key["name"],
        "token",
        key["role"],
        services=frozenset(key["services"]),
        environments=frozenset(key["environments"]),
        token_id=key["id"],
        expires=key["expires"],
        secret=tokens.secret_of(token),
    )
