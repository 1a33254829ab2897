"""What one commit did, in plain sentences: for the page of a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from downhaul_server.services.access import newest_view, store_errors
from downhaul_server.services.actors import Action, Actor, authorize
from downhaul_server.services.flag_forms import comparable
from downhaul_server.services.history import visible
from downhaul_server.services.names import parts
from downhaul_server.services.words import change_sentences
from downhaul_server.store import Change, Store

TOLD = frozenset({"flag", "segment", "service", "environment"})
"""Kinds that there are words for."""

Body = Mapping[str, Any]


class ChangeWords:
    """Read from Redis, so Unavailable while that is away."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, actor: Actor, revision: int) -> dict[tuple[str, str | None, str], Sequence[str]]:
        """By kind, service (of flags only) and key, as `History.entry` names its documents; what the actor may see.

        Nothing of a revision that is not there. Raises Forbidden, Unavailable.
        """
        authorize(actor, Action.READ)
        names = {each.key: each.body["name"] for each in newest_view(self._store).of_kind("segment/")}
        with store_errors():
            entry = self._store.entry(revision)
        return {parts(change.address): _sentences(actor, change, names) for change in (entry.changes if entry else ())}


def _sentences(actor: Actor, change: Change, names: Mapping[str, str]) -> Sequence[str]:
    kind, service, _ = parts(change.address)
    if kind not in TOLD or not visible(actor, change):
        return []
    before, after = change.before, change.after
    if kind == "flag":
        before, after = (_seen(actor, service, body, (change.before, change.after)) for body in (before, after))
    return change_sentences(before, after, names)


def _seen(actor: Actor, service: str | None, body: Body | None, versions: Sequence[Body | None]) -> Body | None:
    """A stored flag as clients know it, in every environment of both versions that the actor may see."""
    stored = {environment for version in versions if version is not None for environment in version["environments"]}
    return body and comparable(body, sorted(name for name in stored if actor.reaches(service, name)))
