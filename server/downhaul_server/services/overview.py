"""Flags and fleets at a glance, in one environment: what the pages show first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from downhaul_server.services.access import newest_view
from downhaul_server.services.actors import Action, Actor, authorize
from downhaul_server.services.documents import existing
from downhaul_server.services.flag_forms import active_rules, state_of
from downhaul_server.services.instances import State
from downhaul_server.services.survey import Survey
from downhaul_server.store import Document, Store, View

WORDS = ("killed", "partly", "on", "off")
"""What a flag is in an environment, in the order in which people want to see them."""
LOOK_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """A flag in one environment."""

    service: str
    flag: str
    word: str
    """One of WORDS."""
    document: Document
    state: Mapping[str, Any]

    @property
    def changed_at(self) -> str:
        """RFC 3339; of the flag's last change, in whichever environment."""
        return str(self.document.body.get("updated_at") or "")


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """The processes of one service in one environment."""

    live: int = 0
    silent: int = 0
    behind: int = 0
    """Live, and without the newest snapshot for too long."""
    streaming: int = 0

    @property
    def deaf(self) -> bool:
        """Whether somebody may be serving what was changed."""
        return bool(self.silent or self.behind)


def word_of(flag: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """`killed`, `off`, `on` (everybody gets one variant, and not the off variant), or `partly`."""
    if state["killed"]:
        return "killed"
    if not state["on"]:
        return "off"
    served = {_served(serve) for serve in (*(rule["serve"] for rule in active_rules(state)), state["otherwise"])}
    if None in served or len(served) > 1:
        return "partly"
    return "off" if served == {flag["off_variant"]} else "on"


def _served(serve: Mapping[str, Any]) -> str | None:
    """The one variant; None for a split over several."""
    if "variant" in serve:
        return str(serve["variant"])
    some = [part["variant"] for part in serve["split"] if part["weight"]]
    return str(some[0]) if len(some) == 1 else None


class Overview:
    """Safe to share between threads."""

    def __init__(self, store: Store, survey: Survey) -> None:
        self._store = store
        self._survey = survey
        self._known: dict[str, tuple[tuple[str, int], Sequence[Row]]] = {}
        self._fleets: dict[str, tuple[float, dict[str, FleetCounts]]] = {}

    def flags(self, actor: Actor, environment: str, *, service: str | None = None, query: str = "") -> list[Row]:
        """Flags that the actor may see there: killed ones first, then by their last change, newest first.

        `query`: words, each of which is in the flag's name, description, owner or tags. Raises NotFound, Forbidden,
        Unavailable.
        """
        view = newest_view(self._store)
        existing(view, "environment", environment)
        if service is not None:
            authorize(actor, Action.READ, service, environment)
            existing(view, "service", service)
        words = query.lower().split()
        rows = self._rows(view, environment) if service is None else _rows(view, f"flag/{service}/", environment)
        allowed = {owner: actor.reaches(owner, environment) for owner in {row.service for row in rows}}
        return [row for row in rows if allowed[row.service] and (not words or _fits(row.document.body, words))]

    def _rows(self, view: View, environment: str) -> Sequence[Row]:
        """Of every flag; worked out once for each revision, because every page of everybody asks for them."""
        known = self._known.get(environment)
        if known is None or known[0] != (view.epoch, view.revision):
            known = ((view.epoch, view.revision), _rows(view, "flag/", environment))
            self._known[environment] = known
        return known[1]

    def fleets(self, actor: Actor, environment: str) -> dict[str, FleetCounts]:
        """By service; only those that the actor may see and of which somebody is there. At most a second old."""
        at, found = self._fleets.get(environment, (float("-inf"), {}))
        now = time.monotonic()
        if now - at > LOOK_AGAIN_S:
            found = self._count(environment)
            self._fleets[environment] = (now, found)
        return {service: counts for service, counts in found.items() if actor.reaches(service, environment)}

    def fleet(self, actor: Actor, service: str, environment: str) -> FleetCounts:
        """The processes of one service at this very moment, for whoever is about to decide. Raises Forbidden."""
        authorize(actor, Action.READ, service, environment)
        return _counts(self._survey.instances((service, environment))) or FleetCounts()

    def _count(self, environment: str) -> dict[str, FleetCounts]:
        found = {}
        for service, place in self._survey.groups():
            if place == environment and (counts := _counts(self._survey.instances((service, place)))):
                found[service] = counts
        return found


def _rows(view: View, kind: str, environment: str) -> Sequence[Row]:
    rows = []
    for document in view.of_kind(kind):
        body = document.body
        state = state_of(body, environment)
        rows.append(Row(body["service"], body["key"], word_of(body, state), document, state))
    rows.sort(key=lambda row: row.changed_at, reverse=True)
    rows.sort(key=lambda row: row.word != "killed")
    return rows


def _counts(instances: Iterable[Any]) -> FleetCounts | None:
    numbers: Counter[str] = Counter()
    for seen in instances:
        numbers["silent"] += seen.state is State.SILENT
        if seen.state is State.LIVE:
            numbers["live"] += 1
            numbers["behind"] += seen.deaf
            numbers["streaming"] += seen.link == "stream"
    return FleetCounts(**numbers) if numbers["live"] or numbers["silent"] else None


def _fits(body: Mapping[str, Any], words: list[str]) -> bool:
    text = f"{body['service']}/{body['key']} {body['description']} {body['owner']} {' '.join(body['tags'])}".lower()
    return all(word in text for word in words)
