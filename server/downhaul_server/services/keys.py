"""SDK keys, client keys and API tokens: make, list, revoke. A token is shown once; only its hash is kept."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from downhaul_server.services import tokens
from downhaul_server.services.actors import (
    ALL,
    ROLES,
    Action,
    Actor,
    ClientKey,
    EnvironmentKey,
    Grant,
    SdkKey,
    authorize,
)
from downhaul_server.services.commit import Committer, Plan
from downhaul_server.services.documents import check_fields, copied, existing, now, timestamp
from downhaul_server.services.errors import Forbidden, InProgress, Invalid, NotFound, OperationConflict, Unauthenticated
from downhaul_server.services.names import address
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.services.usage import Usage
from downhaul_server.store import Document, View

FIELDS = {
    "sdk": ("kind", "name", "services", "environment"),
    "client": ("kind", "name", "services", "environment"),
    "api": ("kind", "name", "services", "environments", "role", "expires"),
}
"""What a client sets, by kind."""
INTERNAL = frozenset({"hash", "previous_hash", "made_by", "rotated_by"})
"""What no client is told."""
OVERLAP_S = 24 * 3600
LONGEST_OVERLAP_S = 30 * 24 * 3600
MARK_LENGTH = 16
EVALUATORS: Mapping[str, type[EnvironmentKey]] = MappingProxyType({"sdk": SdkKey, "client": ClientKey})
"""Kinds of keys for those who evaluate flags."""

Body = Mapping[str, Any]


class Keys:
    """Documents: `{id, kind, name, services, created_at, created_by}` with, for `sdk` and `client`, `environment`, and
    for `api`, `role`, `environments`, `expires` (RFC 3339 or None). Never the token or its hash.

    Also `last_used` (RFC 3339 or None; coarse), and of a key that was rotated `rotated_at` and `previous_expires`, when
    the token before ends, or has ended."""

    def __init__(self, committer: Committer, admin_token: str | None, usage: Usage) -> None:
        self._committer = committer
        self._admin_token = admin_token
        self._usage = usage
        self._index: tuple[tuple[Document, ...], dict[str, Document]] = ((), {})

    def list(self, actor: Actor, *, kind: str | None = None, limit: int = LIMIT, cursor: str | None = None) -> Page:
        """Keys in the order of their ids; only those whose rights the actor has too."""
        authorize(actor, Action.KEYS)
        found = (
            (document.key, document.body)
            for document in self._committer.view.of_kind("key/")
            if kind in (None, document.body["kind"]) and excess(actor, document.body) is None
        )
        times = self._usage.times()
        return page_by_key(found, limit, cursor, lambda body: _shown(body, times))

    def get(self, actor: Actor, key_id: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden."""
        authorize(actor, Action.KEYS)
        document = existing(self._committer.view, "key", key_id)
        _check_reach(actor, document.body)
        return _shown(document.body, self._usage.times())

    def create(self, actor: Actor, document: dict[str, Any], *, operation: str | None = None) -> dict[str, Any]:
        """The new key with its `token`, this once. Raises Invalid, and Forbidden when it would be mightier than the
        actor.

        A repeated request (same operation) is answered with the same token, as long as it comes with the same token
        or session; else with OperationConflict, for nobody knows the new token any more.
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
        if outcome.plan is None:
            token = derived_again(actor, operation, key["kind"], first["nonce"], written.body["hash"])
        return _shown(written.body, {}) | {"token": token}

    def rotate(
        self, actor: Actor, key_id: str, *, overlap: int = OVERLAP_S, operation: str | None = None
    ) -> dict[str, Any]:
        """The key with a new `token`, this once. The one before is good for `overlap` more seconds, 0 to 30 days.

        What the key may do, and when it expires, stays. Repeated requests as with `create`.
        Raises InProgress while the token before the current one is good, NotFound, Invalid, Forbidden, Unavailable.
        """
        authorize(actor, Action.KEYS)
        if not 0 <= overlap <= LONGEST_OVERLAP_S:
            raise Invalid.at("overlap", message=f"expected 0 to {LONGEST_OVERLAP_S} seconds")
        nonce = secrets.token_hex(16)

        def plan(view: View) -> Plan:
            document = existing(view, "key", key_id)
            _check_reach(actor, document.body)
            _check_rotation(document.body)
            token = tokens.make(document.body["kind"], tokens.seed(actor.secret, operation, nonce))
            made.append(token)
            after = _rotated(document.body, actor, tokens.digest(token), overlap)
            return Plan(action="key.rotate", writes={document.address: after}, alone=False, result={"nonce": nonce})

        made: list[str] = []
        outcome = self._committer.run(actor, plan, request=("key.rotate", key_id, overlap), operation=operation)
        written = self._committer.written(outcome, address("key", key_id)).body
        token = (
            made[-1]
            if outcome.plan
            else derived_again(actor, operation, written["kind"], outcome.result["nonce"], written["hash"])
        )
        return _shown(written, self._usage.times()) | {"token": token}

    def end_previous(self, actor: Actor, key_id: str, *, operation: str | None = None) -> None:
        """The token before the current one is refused from now on. Raises NotFound where none is good, Forbidden."""
        authorize(actor, Action.KEYS)

        def plan(view: View) -> Plan:
            document = existing(view, "key", key_id)
            _check_reach(actor, document.body)
            if not _overlaps(document.body):
                raise NotFound("token before the current one of the key", key_id)
            after = {**document.body, "previous_hash": None, "previous_expires": now()}
            return Plan(action="key.end-previous", writes={document.address: after}, alone=False)

        self._committer.run(actor, plan, request=("key.end-previous", key_id), operation=operation)

    def revoke(self, actor: Actor, key_id: str, *, operation: str | None = None) -> None:
        """It is refused from now on. Raises NotFound, Forbidden."""
        authorize(actor, Action.KEYS)

        def plan(view: View) -> Plan:
            document = existing(view, "key", key_id)
            _check_reach(actor, document.body)
            return Plan(action="key.revoke", writes={document.address: None}, alone=False)

        self._committer.run(actor, plan, request=("key.revoke", key_id), operation=operation)

    def authenticate(self, token: str) -> Actor | EnvironmentKey:
        """Who holds this token. Asks nobody. Raises Unauthenticated, and Unavailable while nothing is loaded."""
        if self._admin_token and tokens.same(token, self._admin_token):
            return Actor.single("admin", "admin", "admin", secret=tokens.secret_of(token))
        digest = tokens.digest(token) if tokens.is_whole(token) else ""
        document = self._find(digest)
        if document is None:
            raise Unauthenticated("the token is not known here")
        key = document.body
        expires = key.get("expires")
        if expires is not None and expires <= now():
            raise Unauthenticated("the token has expired")
        if digest != key["hash"] and not _overlaps(key):
            raise Unauthenticated("the token has expired: the key was rotated")
        self._usage.note(key["id"])
        return holder(document, token, digest)

    def holds(self, key: EnvironmentKey) -> bool:
        """Whether a key is still what it was when it was authenticated. Asks nobody."""
        return key in self.standing(key.id)

    def standing(self, key_id: str) -> dict[EnvironmentKey, str]:
        """Who holds the tokens of a key that are good, with the hash of each; nothing for API tokens. Asks nobody."""
        document = self._committer.view.get(address("key", key_id))
        if document is None:
            return {}
        holders = {holder(document, "", digest): digest for digest in _standing(document.body)}
        return {each: digest for each, digest in holders.items() if isinstance(each, EnvironmentKey)}

    def _find(self, digest: str) -> Document | None:
        # What is looked up is a hash: how long that takes tells nothing of the token.
        keys = self._committer.view.of_kind("key/")
        indexed, index = self._index
        if keys is not indexed:
            index = {
                known: document
                for document in keys
                for known in (document.body["hash"], document.body.get("previous_hash"))
                if known is not None
            }
            self._index = (keys, index)
        return index.get(digest)


def public(key: Body) -> dict[str, Any]:
    """A stored key for clients: without the hashes, and without the ids of whoever made it."""
    return {name: copied(value) for name, value in key.items() if name not in INTERNAL}


def derived_again(actor: Actor, operation: str | None, kind: str, nonce: str, digest: str) -> str:
    """The token that a repeated request was answered with at first.

    Raises OperationConflict when it cannot be told: it was derived from another token or session of the same actor.
    """
    token = tokens.make(kind, tokens.seed(actor.secret, operation, nonce))
    if tokens.digest(token) != digest:
        raise OperationConflict(
            "this was done already, and its token cannot be shown again: repeat with the token or session of the first "
            "request, or make another"
        )
    return token


def _shown(key: Body, times: Mapping[str, str]) -> dict[str, Any]:
    return public(key) | {"last_used": times.get(key["id"])}


def _overlaps(key: Body) -> bool:
    """Whether the token before the current one is good."""
    return key.get("previous_hash") is not None and key["previous_expires"] > now()


def _standing(key: Body) -> tuple[str, ...]:
    """Hashes of the tokens that are good."""
    return (key["hash"], key["previous_hash"]) if _overlaps(key) else (key["hash"],)


def _check_rotation(key: Body) -> None:
    if _overlaps(key):
        raise InProgress(
            f"two tokens of the key {key['name']} are good until {key['previous_expires']}: wait, or end the older one "
            f"with DELETE /api/v1/keys/{key['id']}/previous"
        )
    if (key.get("expires") or "9") <= now():
        raise Invalid.at(message=f"the key {key['name']} has expired: make another")


def _rotated(key: Body, actor: Actor, digest: str, overlap: int) -> dict[str, Any]:
    moment = datetime.now(UTC)
    ends = timestamp(moment + timedelta(seconds=overlap))
    return {
        **key,
        "hash": digest,
        "previous_hash": key["hash"] if overlap else None,
        "previous_expires": min(ends, key.get("expires") or ends),
        "rotated_at": timestamp(moment),
        "rotated_by": list(dict.fromkeys([*key.get("rotated_by", ()), actor.token_id])),
    }


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
    if kind in EVALUATORS:
        return key | {"environment": document.get("environment")}
    if document.get("role") not in ROLES:
        raise Invalid.at("role", message=f"expected one of {', '.join(ROLES)}")
    environments = _unique(document.get("environments"))
    return key | {"role": document["role"], "environments": environments, "expires": expiry(document.get("expires"))}


def _unique(keys: Any) -> Any:
    return list(dict.fromkeys(keys or [ALL]))


def expiry(text: str | None, field: str = "expires") -> str | None:
    """In UTC and milliseconds, so that times compare as texts. Raises Invalid for the past."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
        expires = timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise Invalid.at(field, message="expected a time with an offset, such as 2027-01-31T12:00:00Z") from None
    if expires <= now():
        raise Invalid.at(field, message="expected a time to come")
    return expires


def _check_scope(view: View, key: Body) -> None:
    """Raises Invalid for services and environments that are not there."""
    faults: list[tuple[tuple[str | int, ...], str]] = []
    for kind, field in (("service", "services"), ("environment", "environments")):
        for index, name in enumerate(key.get(field, ())):
            if name != ALL and view.get(address(kind, str(name))) is None:
                faults.append(((field, index), f"there is no {kind} {name}"))
    if key["kind"] in EVALUATORS and view.get(address("environment", str(key["environment"]))) is None:
        faults.append((("environment",), f"there is no environment {key['environment']}"))
    if not isinstance(key["name"], str) or not key["name"]:
        faults.append((("name",), "missing"))
    if faults:
        raise Invalid(faults)


def holder(document: Document, token: str, digest: str) -> Actor | EnvironmentKey:
    """Whoever comes with the token (of this hash) of a stored key."""
    key = document.body
    if kind := EVALUATORS.get(key["kind"]):
        return kind(key["id"], key["name"], key["environment"], frozenset(key["services"]), digest[:MARK_LENGTH])
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
