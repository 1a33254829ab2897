"""The fleet's housekeeping: one thread of each process, about once a second; some of it in one process of all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from downhaul_server.services.deafness import Deafness
from downhaul_server.services.drill_results import DrillResults
from downhaul_server.services.drill_schedule import DrillSchedule
from downhaul_server.services.errors import ServiceError
from downhaul_server.services.evaluation import Evaluation
from downhaul_server.services.fleet import Fleet
from downhaul_server.services.staleness import LOAD_S as STALENESS_S
from downhaul_server.services.staleness import Staleness
from downhaul_server.services.survey import Survey
from downhaul_server.services.usage import FLUSH_S, Usage
from downhaul_server.store import Store, StoreError

log = logging.getLogger(__name__)

BEAT_S = 1.0
CLOCK_S = 10.0
FORGET_S = 60.0
SWEEP_S = 600.0
DEAF_S = 2.0
COUNTS_S = 5.0
RELOAD_S = 60.0
LEASE = "fleet"
LEASE_S = 10.0
STOP_S = 2.0


@dataclass(slots=True)
class _Chore:
    do: Callable[[], None]
    every_s: float
    alone: bool = False
    """Only in the process that holds the lease."""
    due: float = float("-inf")


class Keeper:
    """Starts with `start`, ends with the store."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        survey: Survey,
        results: DrillResults,
        schedule: DrillSchedule,
        usage: Usage,
        staleness: Staleness,
        evaluation: Evaluation,
    ) -> None:
        deafness = Deafness(store, survey)
        self._store = store
        self._fleet = fleet
        self._usage = usage
        self._evaluation = evaluation
        self._deafness = deafness
        self._lease = store.lease(LEASE, LEASE_S)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="downhaul-keeper", daemon=True)
        self._chores = (
            _Chore(self._keep_lease, BEAT_S),
            _Chore(store.clock.refresh, CLOCK_S),
            _Chore(survey.look, BEAT_S),
            _Chore(self._forget, FORGET_S),
            _Chore(results.load, RELOAD_S),
            _Chore(deafness.look, DEAF_S, alone=True),
            _Chore(schedule.run_due, BEAT_S, alone=True),
            _Chore(evaluation.flush, COUNTS_S),
            _Chore(usage.flush, FLUSH_S),
            _Chore(staleness.load, STALENESS_S),
            _Chore(self._sweep, SWEEP_S, alone=True),
        )

    def start(self) -> None:
        """Until the store is closed."""
        self._store.at_close(self.stop)
        self._thread.start()

    def stop(self) -> None:
        """Let another process do what only one may do. Idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def beat(self) -> None:
        """Do what is due."""
        now = self._fleet.now()
        for chore in self._chores:
            if chore.due <= now and (self._lease.held or not chore.alone) and not self._stopping.is_set():
                chore.due = now + chore.every_s
                self._do(chore)

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_S):
            self.beat()
        self._do(_Chore(self._evaluation.flush, 0))
        self._do(_Chore(self._usage.flush, 0))
        self._do(_Chore(self._lease.release, 0))

    def _do(self, chore: _Chore) -> None:
        try:
            with self._store.asking():
                chore.do()
        except (StoreError, ServiceError) as error:
            log.debug("fleet: %s", error)  # Redis is away: it is tried again, and the store's follower says so
        except Exception:  # whatever is wrong with one chore, the others are needed
            log.exception("fleet: housekeeping failed")

    def _keep_lease(self) -> None:
        if not self._lease.held:
            self._deafness.take_over()
        self._lease.keep()

    def _forget(self) -> None:
        for group, processes in self._fleet.forget().items():
            self._store.news.forget("@".join(group), processes)

    def _sweep(self) -> None:
        self._store.news.sweep(self._fleet.is_forgotten)
        view = self._store.view
        self._usage.sweep(document.key for kind in ("key/", "link/") for document in view.of_kind(kind))
