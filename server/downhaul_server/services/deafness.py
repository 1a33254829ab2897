"""An instance that does not hear of changes any more is an alarm: told once in the log, and once when it is over."""

from __future__ import annotations

import logging

from downhaul_server.services.survey import Seen, Survey
from downhaul_server.store import Store

log = logging.getLogger(__name__)


class Deafness:
    """To be looked at by one process of all. Redis knows who was told of, so that a successor does not repeat it."""

    def __init__(self, store: Store, survey: Survey) -> None:
        self._store = store
        self._survey = survey
        self._told: set[str] | None = None

    def take_over(self) -> None:
        """Another process may have looked lately."""
        self._told = None

    def look(self) -> None:
        """Log what has changed. Raises StoreUnavailable."""
        deaf = {_name(seen): seen for seen in self._survey.everybody() if seen.deaf}
        with self._store.asking():
            told = self._store.ledger.deaf() if self._told is None else self._told
            for name in deaf.keys() - told:
                if self._store.ledger.mark_deaf(name):
                    log.warning("fleet: %s", _sentence(deaf[name], self._survey.now()))
            for name in told - deaf.keys():
                if self._store.ledger.unmark_deaf(name):
                    log.info("fleet: %s is not deaf any more, or gone", name)
        self._told = set(deaf)


def _name(seen: Seen) -> str:
    return f"{seen.group[0]}@{seen.group[1]}/{seen.entry.process}"


def _sentence(seen: Seen, now: float) -> str:
    entry = seen.entry
    where = f" on {entry.identity.host}" if entry.identity.host else ""
    return (
        f"{entry.name}{where} is deaf: {seen.group[0]} in {seen.group[1]}, process {entry.process}, "
        f"heard of {now - entry.heard:.0f} s ago, at revision {entry.revision}"
    )
