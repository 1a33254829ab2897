"""Drills: a harmless flag of each service is killed and restored, so that a team knows its kill before it needs it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from downhaul_server.services.access import store_errors
from downhaul_server.services.acknowledgement import Acknowledgement, Acknowledgements
from downhaul_server.services.actors import Action, Actor, authorize, home
from downhaul_server.services.commit import KILL_PATIENCE_S, Committer, Outcome, Plan
from downhaul_server.services.documents import existing
from downhaul_server.services.drill_flags import Drill, Writes, sorted_out
from downhaul_server.services.drill_results import DrillResults
from downhaul_server.services.errors import InProgress
from downhaul_server.store import Store, StoreError, View

WAIT_S = 10.0
MORE_S = 60.0
"""A drill has ended this long after its wait, or it died."""
STRAGGLERS_KEPT = 20
FOUND = ("instances", "applied", "confirmed", "stragglers", "latency_ms")


class Drills:
    """One at a time in each environment."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        acknowledgements: Acknowledgements,
        results: DrillResults,
        default_environment: str,
    ) -> None:
        self._store = store
        self._committer = committer
        self._acknowledgements = acknowledgements
        self._results = results
        self._default_environment = default_environment

    def run(
        self,
        actor: Actor,
        *,
        environment: str | None = None,
        services: Sequence[str] = (),
        wait: float = WAIT_S,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Kill, wait (seconds) until all have obeyed, restore. Without `services`: all in the actor's scope.

        Those whose flag of that name is something else are not touched, and told with the `error`.
        Raises Forbidden, NotFound, Invalid (such a service was named), InProgress, Unavailable.
        """
        place = environment or home(actor, self._default_environment)
        authorize(actor, Action.DRILL, environment=place)
        for service in services:
            authorize(actor, Action.DRILL, service, place)
        view = self._committer.view
        existing(view, "environment", place)
        fit, unfit = sorted_out(view, actor, place, services)
        drill = Drill(secrets.token_hex(8), actor, place, fit)
        with self._alone(place, wait):
            self._commit(drill, "drill.prepare", drill.prepare)
            try:
                outcome = self._commit(drill, "drill.kill", drill.kill, operation)
                return self._measured(drill, outcome, unfit, wait)
            finally:
                self._commit(drill, "drill.restore", drill.restore)

    def _measured(self, drill: Drill, outcome: Outcome, unfit: dict[str, str], wait: float) -> dict[str, Any]:
        committed = outcome.committed
        if committed is None:
            raise InProgress("somebody else has killed the drill's flags meanwhile; try again")
        groups = [(service, drill.environment) for service in drill.services]
        found = self._acknowledgements.of_each(committed.revision, committed.committed_at, groups, wait=wait)
        about = {
            "id": outcome.result["id"],
            "environment": drill.environment,
            "revision": committed.revision,
            "committed_at": committed.committed_at,
        }
        items = [{"service": group[0]} | _found(acknowledgement) for group, acknowledgement in found.items()]
        kept = [
            item | about | {"by": drill.actor.name, "stragglers": item["stragglers"][:STRAGGLERS_KEPT]}
            for item in items
        ]
        self._results.keep(drill.environment, kept)
        items += [{"service": service} | _refused(why) for service, why in unfit.items()]
        return about | {
            "confirmed": all(item["confirmed"] for item in items),
            "services": sorted(items, key=lambda item: str(item["service"])),
        }

    def _commit(
        self, drill: Drill, action: str, write: Callable[[View], Writes], operation: str | None = None
    ) -> Outcome:
        def plan(view: View) -> Plan:
            place = existing(view, "environment", drill.environment)
            owners = [existing(view, "service", service) for service in drill.services]
            written = write(view)
            return Plan(
                action=action,
                writes=written,
                touches=drill.touches(view, written),
                expect={document.address: document.version for document in (place, *owners)},
                alone=False,
                guarded=False,
                reason=drill.reason,
                result={"id": drill.id},
            )

        request = (action, drill.environment, drill.services)
        return self._committer.run(drill.actor, plan, request=request, operation=operation, patience=KILL_PATIENCE_S)

    @contextmanager
    def _alone(self, environment: str, wait: float) -> Iterator[None]:
        lease = self._store.lease(f"drill:{environment}", wait + MORE_S)
        with store_errors(), self._store.asking():
            mine = lease.keep()
        if not mine:
            raise InProgress(f"there is a drill in {environment} already")
        try:
            yield
        finally:
            with suppress(StoreError), self._store.asking():
                lease.release()


def _found(acknowledgement: Acknowledgement) -> dict[str, Any]:
    answer = acknowledgement.to_json()
    return {name: answer[name] for name in FOUND}


def _refused(why: str) -> dict[str, Any]:
    return {"instances": 0, "applied": 0, "confirmed": False, "stragglers": [], "latency_ms": None, "error": why}
