"""The flags of one service in one environment, compiled and with their answers written: what is evaluated here.

Made from the snapshot when it is first asked for after a change, and only those flags anew that the change concerns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from downhaul.engine import ErrorCode, Evaluator, Outcome, Ruleset, change_ruleset, recompile

from downhaul_server.services.changes import difference
from downhaul_server.services.evaluations import OTHER
from downhaul_server.services.flag_forms import for_clients, snapshot_name
from downhaul_server.services.references import segments_in
from downhaul_server.services.resolutions import resolution
from downhaul_server.services.ruleset import Content
from downhaul_server.services.snapshots import Snapshot, Snapshots
from downhaul_server.store import View

Counted = tuple[str, str, str, str]
"""Service, environment, flag, variant: what an evaluation counts as."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One flag."""

    evaluator: Evaluator
    for_clients: bool
    digest: bytes
    """Another one whenever anything changes that its evaluation depends on; the same in every process."""
    counted: Mapping[Outcome, Counted]
    to_instances: Mapping[Outcome, bytes]
    """Of each outcome: the answer, as `resolution` writes it."""
    to_clients: Mapping[Outcome, bytes]
    """The same for client keys; empty where they may not evaluate it."""


@dataclass(frozen=True)
class FlagSet:
    """All flags of the service itself, by key; not those of others that it needs."""

    snapshot: Snapshot
    ruleset: Ruleset = field(repr=False)
    evaluators: Mapping[str, Evaluator] = field(repr=False)
    offers: Mapping[str, Offer] = field(repr=False)

    @cached_property
    def shown(self) -> Mapping[str, Offer]:
        """Those that clients may evaluate."""
        return {name: offer for name, offer in self.offers.items() if offer.for_clients}

    def seen_by(self, client: bool) -> Mapping[str, Offer]:
        """Those that may be evaluated with a client key, or with an SDK key."""
        return self.shown if client else self.offers

    def digest(self, client: bool) -> bytes:
        """Of all that may be evaluated."""
        return self._client_digest if client else self._whole_digest

    @cached_property
    def _whole_digest(self) -> bytes:
        return _together(self.offers)

    @cached_property
    def _client_digest(self) -> bytes:
        return _together(self.shown)


class FlagSets:
    """Of one process. Cheap when nothing has changed: a look-up and a comparison."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._kept: dict[tuple[str, str], FlagSet] = {}

    def of(self, view: View, service: str, environment: str) -> FlagSet:
        """The set at a view. Raises NotFound."""
        snapshot = self._snapshots.of(view, service, environment)
        kept = self._kept.get((service, environment))
        if kept is None or kept.snapshot is not snapshot:
            kept = self._kept[service, environment] = _made(snapshot, kept)
        return kept


def _made(snapshot: Snapshot, before: FlagSet | None) -> FlagSet:
    known = {"service": snapshot.service, "environment": snapshot.environment}
    content, old = snapshot.content, before.snapshot.content if before else None
    ruleset, evaluators = (before.ruleset, before.evaluators) if before else (Ruleset(), {})
    changed = difference(old.flags if old else {}, content.flags)
    segments = difference(old.segments if old else {}, content.segments)
    now = change_ruleset(ruleset, changed, segments)
    compiled = recompile(evaluators, ruleset, now, known)
    offers = {
        name: _offer(snapshot, name, now, compiled[name], before.offers.get(name) if before else None)
        for name, part in content.parts.items()
        if part.document.body["service"] == snapshot.service
    }
    return FlagSet(snapshot, now, compiled, offers)


def _offer(snapshot: Snapshot, name: str, ruleset: Ruleset, evaluator: Evaluator, before: Offer | None) -> Offer:
    shown = for_clients(snapshot.content.parts[name].document.body)
    if before is not None and before.evaluator is evaluator and before.for_clients == shown:
        return before
    flag = ruleset.flags[name]
    return Offer(
        evaluator,
        shown,
        _digest(snapshot.content, name, snapshot.service),
        {each: (snapshot.service, snapshot.environment, name, _served(each)) for each in evaluator.outcomes},
        {each: resolution(flag, each, for_client=False) for each in evaluator.outcomes},
        {each: resolution(flag, each, for_client=True) for each in evaluator.outcomes} if shown else {},
    )


def _served(outcome: Outcome) -> str:
    """The variant that whoever asked has got; where they got none, they served a default of their own."""
    missing = outcome.variant is None or outcome.error_code is ErrorCode.TARGETING_KEY_MISSING
    return OTHER if missing else str(outcome.variant)


def _digest(content: Content, name: str, service: str) -> bytes:
    """Of the flag, of those that it requires, and of their segments."""
    flags = {each: content.flags[each] for each in _needed(content, name, service)}
    segments = {each: content.segments[each] for each in _segments(content, flags)}
    text = json.dumps([name, flags, segments], sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).digest()


def _needed(content: Content, name: str, service: str) -> Iterator[str]:
    waiting, seen = [name], set[str]()
    while waiting:
        each = waiting.pop()
        part = content.parts.get(each)
        if part is not None and each not in seen:
            seen.add(each)
            yield each
            waiting += [snapshot_name(*need, service) for need in part.needs]


def _segments(content: Content, flags: Iterable[str]) -> Iterator[str]:
    waiting = [segment for each in flags for segment in content.parts[each].segments]
    seen = set[str]()
    while waiting:
        each = waiting.pop()
        if each in content.segments and each not in seen:
            seen.add(each)
            yield each
            waiting += [inner for _, inner in segments_in(content.segments[each])]


def _together(offers: Mapping[str, Offer]) -> bytes:
    whole = hashlib.sha256()
    for name in sorted(offers):
        whole.update(name.encode("ascii") + b"\0" + offers[name].digest)
    return whole.digest()
