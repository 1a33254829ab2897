"""Waiting until a revision was applied by all: each report costs a look-up, however many instances there are."""

from __future__ import annotations

import threading

from downhaul_server.services.audience import Group
from downhaul_server.services.instances import Entry, State


class Watch:
    """What somebody waits for. Belongs to a `Fleet`, under whose lock it is changed."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self.targets: dict[Group, int] = {}
        """The revision that each group's instances must have."""
        self.pending: set[tuple[Group, str]] = set()
        """Those that have not applied it."""
        self.moved = threading.Event()
        """Nobody is pending any more, or there is a new group to ask; or it is time to stop."""

    def see(self, group: Group, entry: Entry, now: float) -> None:
        """An instance was heard of."""
        if entry.has_applied(self.epoch, self.targets[group]) or entry.state(now) is State.GONE:
            self.drop(group, entry.process)
        else:
            self.pending.add((group, entry.process))

    def drop(self, group: Group, process: str) -> None:
        """It need not be waited for."""
        if (group, process) in self.pending:
            self.pending.remove((group, process))
            if not self.pending:
                self.moved.set()
