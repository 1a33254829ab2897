"""Compiled rulesets, for those who ask the server to decide: what an instance of the service would answer, from memory.

One for each service and environment that somebody has asked about, made anew when its snapshot is another one. A change
of one flag compiles that flag and those that require it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from downhaul.engine import Evaluator, Ruleset, decode_ruleset, recompile

from downhaul_server.services.snapshots import Snapshot, Snapshots
from downhaul_server.store import View


@dataclass(frozen=True, slots=True)
class Compiled:
    """All flags of one service in one environment, at one revision, ready to run."""

    snapshot: Snapshot
    ruleset: Ruleset
    evaluators: Mapping[str, Evaluator]
    """By the names that the service knows its flags by. `service` and `environment` are folded in, as the attributes
    that every instance knows: a context cannot say otherwise."""


class CompiledRulesets:
    """Cheap when nothing changed: a few look-ups in dicts. Shared by threads, of which two may compile the same."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._kept: dict[tuple[str, str], Compiled] = {}

    def of(self, view: View, service: str, environment: str) -> Compiled:
        """Of the snapshot at a view. Raises NotFound."""
        snapshot = self._snapshots.of(view, service, environment)
        kept = self._kept.get((service, environment))
        if kept is None or kept.snapshot is not snapshot:
            kept = self._kept[service, environment] = _compiled(snapshot, kept)
        return kept


def _compiled(snapshot: Snapshot, before: Compiled | None) -> Compiled:
    known = {"service": snapshot.service, "environment": snapshot.environment}
    ruleset = decode_ruleset({"flags": snapshot.content.flags, "segments": snapshot.content.segments})
    evaluators = recompile(
        before.evaluators if before else {}, before.ruleset if before else Ruleset(), ruleset, known=known
    )
    return Compiled(snapshot, ruleset, evaluators)
