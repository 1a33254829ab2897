"""Has anybody tampered with the log, and who was refused? Asked by those who may see all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from downhaul_server.services.access import newest_view, store_errors
from downhaul_server.services.actors import ALL, Action, Actor, EnvironmentKey, authorize
from downhaul_server.services.export import export
from downhaul_server.services.log_filters import LogFilter
from downhaul_server.services.refusals import Refusals
from downhaul_server.store import Store, StoreDiverged

MOST_FAULTS = 1000
"""So many are told: who has rewritten the whole log has left one in each entry."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk through the log has found."""

    epoch: str
    revision: int
    """The newest that this server has served; all up to it was looked at, and whatever came since."""
    faults: tuple[str, ...]
    """A sentence each, oldest first; at most MOST_FAULTS."""

    def to_json(self) -> dict[str, Any]:
        """As the API answers it."""
        return {"whole": not self.faults, "epoch": self.epoch, "revision": self.revision, "faults": list(self.faults)}


class Audit:
    """Reads all of the log: seconds, where it has hundreds of thousands of entries."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._refusals = Refusals(store)

    def refused(
        self, holder: Actor | EnvironmentKey | None, action: str, target: str, address: str | None, detail: str = ""
    ) -> None:
        """Keep that somebody was refused: who (None: nobody whom we know), what they wanted, of what, from where.

        Returns at once, and never raises: it is written down within a second, and once a minute where it goes on.
        Whatever looks like a token is left out.
        """
        self._refusals.note(holder, action, target, address, detail)

    def export(self, actor: Actor, **filters: Any) -> Iterator[bytes]:
        """All of the log, or what `filters` (those of `History.log`) leave of it, as JSON lines: see `export.py`.

        Raises Invalid, Forbidden, Unavailable.
        """
        return export(self._store, actor, LogFilter.of(**filters))

    def verify(self, actor: Actor) -> Verdict:
        """Walk the hash chain. What was altered, removed, put in another order or written past the log is a fault.

        Raises Forbidden, Unavailable.
        """
        authorize(actor, Action.AUDIT, ALL, ALL)
        served = newest_view(self._store)
        with store_errors():
            try:
                faults = self._store.verify_log()
            except StoreDiverged as error:  # so far gone that it cannot be walked through: that is the finding
                faults = [str(error)]
        return Verdict(served.epoch, served.revision, tuple(faults[:MOST_FAULTS]))
