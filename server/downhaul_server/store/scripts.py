"""The Lua scripts of this room, and the store's birth."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import redis

from downhaul_server.store.commits import CREATE, Commit
from downhaul_server.store.documents import encode
from downhaul_server.store.entries import body_digest, change_text, entry_body
from downhaul_server.store.keys import EVERYTHING, SCHEMA
from downhaul_server.store.view import Document

SYSTEM = {"name": "downhaul-server", "kind": "system"}


def source(name: str) -> str:
    """Text of `<name>.lua`."""
    return files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")


def run(client: redis.Redis, name: str, arguments: Iterable[str]) -> list[str]:
    """Run a script over the whole store; gives its answer as text."""
    return decoded(client.register_script(source(name))(keys=EVERYTHING, args=tuple(arguments)))


def decoded(answer: Any) -> list[str]:
    """A script's answer as text."""
    return [part.decode() if isinstance(part, bytes) else str(part) for part in answer]


def new_epoch() -> str:
    """A random id for a store's life."""
    return secrets.token_hex(8)


def create(
    client: redis.Redis,
    commit: Commit,
    documents: Iterable[Document],
    *,
    touched: Mapping[str, int],
    changes: Iterable[str] = (),
    revision: int = 1,
    chain: str = "",
    succeeds: tuple[str, ...] = (),
) -> list[str]:
    """Run create.lua: these documents under a new epoch, `commit` and its `change_text`s as first log entry."""
    body = entry_body(commit, changes, operation=secrets.token_hex(16))
    stored = [part for d in documents for part in (d.address, str(d.version), encode(d.body))]
    fields = [part for field, last in touched.items() for part in (field, str(last))]
    head = [str(SCHEMA), new_epoch(), " ".join(succeeds), str(revision), chain, body_digest(body), body]
    return run(client, "create", [*head, str(len(stored) // 3), *stored, str(len(fields) // 2), *fields])


def create_fresh(client: redis.Redis, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """A new store with these first documents. When another process was faster, its store stands."""
    commit = Commit(action=CREATE, actor=SYSTEM, writes=documents)
    create(
        client,
        commit,
        (Document(address, 1, body) for address, body in documents.items()),
        touched={},
        changes=[change_text(address, 0, None, encode(body)) for address, body in documents.items()],
    )
