"""Words for tests of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downhaul_server.store import Commit, Store

ACTOR = {"name": "ada", "kind": "api"}
FLAG = "flag/checkout/new-checkout"


def change(
    address: str = FLAG, body: Mapping[str, Any] | None = None, /, *, delete: bool = False, **options: Any
) -> Commit:
    """A commit that writes (or deletes) one document; `options` are the Commit's own."""
    options.setdefault("action", "flag.replace")
    return Commit(actor=ACTOR, writes={address: None if delete else dict(body or {"on": True})}, **options)


def everything(store: Store) -> dict[str, Mapping[str, Any]]:
    """All documents that a store serves."""
    return {document.address: document.body for document in store.view}


def well(store: Store) -> bool:
    """Whether it follows Redis."""
    return bool(store.health()["state"] == "following")
