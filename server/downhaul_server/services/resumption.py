"""Streams taken up again where they were cut: the one event that brings a client from its revision to the newest."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future

from downhaul_server.services.changes import change_event
from downhaul_server.services.events import Event
from downhaul_server.services.ruleset import gather
from downhaul_server.services.snapshots import Snapshot
from downhaul_server.store import Store, View

MOST_KEPT = 16

_Key = tuple[str, str, str, int, int]
"""Service, environment, epoch, the client's revision, the newest one."""


class Resumptions:
    """Each event is made once: a herd that comes back shares what the first of it has asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, Future[Event | None]] = OrderedDict()

    def event(self, view: View, after: Snapshot, revision: int) -> Event | None:
        """`event: change` from `revision` to `after`, which is a snapshot of the view. None where the log cannot tell.

        Asks Redis, within its time limits.
        """
        key = (after.service, after.environment, after.epoch, revision, after.revision)
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                mine = self._kept[key] = Future()
                while len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
        if found is not None:
            return found.result()
        try:
            event = self._made(view, after, revision)
        except BaseException as error:
            self._forget(key)
            mine.set_exception(error)
            raise
        if event is None:
            self._forget(key)  # Redis may be back the next time.
        mine.set_result(event)
        return event

    def _made(self, view: View, after: Snapshot, revision: int) -> Event | None:
        before = self._store.rewind(view, revision)
        if before is None:
            return None
        content = gather(before, after.service, after.environment, before=after.content)
        return change_event(content, revision, after)

    def _forget(self, key: _Key) -> None:
        with self._lock:
            self._kept.pop(key, None)
