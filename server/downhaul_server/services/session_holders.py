"""Whose a session is: the document that stands for an actor, and the actor that it makes now."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from downhaul_server.services import tokens
from downhaul_server.services.actors import Actor, Grant
from downhaul_server.services.documents import now
from downhaul_server.services.names import address

MARK_LENGTH = 16

Record = dict[str, Any]
Body = Mapping[str, Any]


def person_actor(person: Body) -> Actor | None:
    """Who a person is in the log, and what they may do; None when they are disabled."""
    if person["disabled"]:
        return None
    return Actor(person["login"], "person", tuple(map(_grant, person["grants"])), token_id=person["id"])


def holder_of(actor: Actor) -> str:
    """`admin`, `key` or `person`: the kind of document that stands for an actor."""
    return {"token": "key"}.get(actor.kind, actor.kind)


def key_actor(key: Body) -> Actor | None:
    """Who a token is, and what it may do; None when it has expired."""
    expires = key.get("expires")
    if expires is not None and expires <= now():
        return None
    return Actor(key["name"], "token", (_grant(key),), token_id=key["id"], expires=expires)


def _grant(granted: Body) -> Grant:
    return Grant(granted["role"], frozenset(granted["services"]), frozenset(granted["environments"]))


def identity(actor: Actor) -> Record:
    """The part of a session's record that says whose it is."""
    return {"holder": holder_of(actor), "id": actor.token_id}


def same_holder(record: Record, holder: str, key: str | None) -> bool:
    """Whether a session is this one's."""
    return bool(record["holder"] == holder and record["id"] == key)


def place(actor: Actor) -> str:
    """Where the document lies that stands for an actor."""
    return address(holder_of(actor), actor.token_id or "")


def mark_of(document: Body, token: str | None) -> str:
    """What a session of this holder's begins with: of a person how often all their sessions were ended."""
    if "generation" in document:
        return str(document["generation"])
    return (tokens.digest(token) if token else str(document["hash"]))[:MARK_LENGTH]


def marks_of(document: Body) -> frozenset[str]:
    """The marks that are valid now. Of a key that was rotated also that of the older token, while it is good."""
    if "generation" in document:
        return frozenset({str(document["generation"])})
    older = document.get("previous_hash") if (document.get("previous_expires") or "") > now() else None
    return frozenset(digest[:MARK_LENGTH] for digest in (document["hash"], older) if digest)


def mark_of_secret(secret: str) -> str:
    """Enough to see that the administrator's token was changed, too little to guess it from."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:4]
