"""Drills that come by themselves."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence

from downhaul_server.services.actors import Actor
from downhaul_server.services.drill import Drills
from downhaul_server.services.drill_results import DrillResults
from downhaul_server.services.errors import ServiceError
from downhaul_server.store import Store

log = logging.getLogger(__name__)

FIRST_WITHIN_S = 60.0
JITTER = 0.1
ACTOR = Actor.single("downhaul-server", "system", "operator")


class DrillSchedule:
    """To be asked by one process of all; when the last drill was, is known to all of them."""

    def __init__(
        self, store: Store, drills: Drills, results: DrillResults, *, every_s: int, environments: Sequence[str]
    ) -> None:
        """`every_s`: 0 for never."""
        self._clock = store.clock
        self._drills = drills
        self._results = results
        self._every_s = every_s
        self._environments = tuple(environments)
        self._due: dict[tuple[str, int | None], float] = {}
        self._running: threading.Thread | None = None

    def run_due(self) -> None:
        """Begin a drill whose time has come, in a thread of its own; one at a time."""
        if not self._every_s or (self._running and self._running.is_alive()):
            return
        for environment in self._environments:
            if self._is_due(environment):
                self._running = threading.Thread(
                    target=self.run, args=(environment,), name="downhaul-drill", daemon=True
                )
                self._running.start()
                return

    def run(self, environment: str) -> None:
        """Drill all services of an environment; what goes wrong is told in the log."""
        try:
            result = self._drills.run(ACTOR, environment=environment)
        except ServiceError as error:
            log.warning("the drill in %s failed: %s", environment, error)
        except Exception:  # the next one is due all the same
            log.exception("the drill in %s failed", environment)
        else:
            faults = [str(item["service"]) for item in result["services"] if not item["confirmed"]]
            if faults:
                log.warning("the drill in %s was not confirmed by: %s", environment, ", ".join(faults))

    def _is_due(self, environment: str) -> bool:
        last = self._results.last_at_ms(environment)
        at = self._clock.to_redis(self._clock.monotonic())
        if (environment, last) not in self._due:
            self._due = {key: due for key, due in self._due.items() if key[0] != environment}
            self._due[environment, last] = (at if last is None else last) + 1000 * self._pause(last is None)
        if at < self._due[environment, last]:
            return False
        # Whatever comes of it, the next one is a while away.
        self._due[environment, last] = at + 1000 * self._pause(False)
        return True

    def _pause(self, first: bool) -> float:
        """Seconds. Apart from other installations, and from whatever else happens at every full hour."""
        if first:
            return random.uniform(0, min(FIRST_WITHIN_S, self._every_s))  # noqa: S311
        return self._every_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
