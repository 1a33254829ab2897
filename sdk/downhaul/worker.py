"""The one thread of a client: started, told to stop, waited for. What it does is in `sync`, which only it loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from threading import Event, Thread, current_thread
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from downhaul import forks
from downhaul.forks import guard
from downhaul.health import Health, log

if TYPE_CHECKING:
    from downhaul.identity import Identity
    from downhaul.settings import Settings
    from downhaul.snapshot import Snapshot


class Found(NamedTuple):
    """What the thread has found so far: the snapshot, where it is from, and what the overrides file says."""

    snapshot: Snapshot | None = None
    source: str = "none"  # or "cache", "service", "file"
    overrides: Mapping[str, Any] = MappingProxyType({})


class Host(Protocol):
    """The client, as its worker sees it."""

    def adopt(self, worker: Worker, found: Found) -> frozenset[str]:
        """Compile `found` and put it in force. Returns the flags that may now answer otherwise."""
        ...

    def tell(self, changed: frozenset[str]) -> None:
        """Tell the listeners."""
        ...

    def attend(self, worker: Worker) -> None:
        """Look whether the status is another one, and tell the listeners of that."""
        ...

    def counts(self) -> dict[str, dict[str, int]]:
        """How often each flag gave each answer."""
        ...


class Worker:
    """Runs `sync` in a daemon thread, which hands what it finds to the client."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        health: Health,
        found: Found,
        host: Host,
        counted: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    ) -> None:
        """`counted`: evaluations that another worker has to report."""
        self.settings = settings
        self.identity = identity
        self.health = health
        self.found = found
        self.counted = counted
        self.counts = host.counts
        #: In a forked child: lets go of the connections that are the parent's.
        self.abandon: Callable[[], None] = _nothing
        #: Set when there is a snapshot and a first attempt to have it confirmed has ended; also when it is too late.
        self.ready = Event()
        if found.snapshot is not None:
            self.ready.set()
        self.started = False
        #: It was to be started, and will be in the children.
        self.postponed = False
        self.stopping = False
        #: Ends a wait of the thread.
        self.wake: Callable[[], None] = _nothing
        #: Follows the local file of flags, if there is one.
        self.look_at_file: Callable[[], None] = _nothing
        self.file_due_in: Callable[[], float] = _never
        self._host = host
        self._thread = Thread(target=self._run, name="downhaul-sync", daemon=True)

    def start(self) -> None:
        """Start the thread, unless there is nothing for it to do. Never raises."""
        if self.started or not (self.settings.complete or self.settings.overrides or self.settings.file):
            return
        if self.settings.file:
            self._follow_file()
        if forks.are_to_come():
            self.postponed = True
            return
        try:
            self.started = True  # before the thread looks
            self._thread.start()
        except RuntimeError as error:  # no more threads in this process, or it is about to end
            self.started = False
            self.health.ill(f"the sync thread cannot be started: {error}", "start")

    def stop(self) -> None:
        """Ask the thread to end. It does so within a fraction of a second, unless it resolves a host name."""
        self.stopping = True
        self.wake()
        self.ready.set()

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread, at most `timeout` seconds."""
        if self.started and self._thread is not current_thread():
            self._thread.join(timeout)

    def attend(self) -> None:
        """Tell of a status that has changed."""
        self._host.attend(self)

    def apply(self, found: Found) -> None:
        """Put `found` in force. What was found before stays so if that raises."""
        with guard():  # a forked child must find both, or neither
            changed = self._host.adopt(self, found)
            self.found = found
        if changed:
            self._host.tell(changed)

    def _follow_file(self) -> None:
        """Its first look is taken here, not by the thread: a script that asks at once gets what the file says."""
        with guard():
            from downhaul.local.watch import LocalFileWatch
        watch = LocalFileWatch(self)
        self.look_at_file, self.file_due_in = watch.look_if_due, watch.due_in
        if self.found.snapshot is None:
            watch.look_if_due()

    def _run(self) -> None:
        try:
            with guard():  # a fork in the middle of an import would leave the child with half a module
                from downhaul.sync import Sync
            Sync(self).run()
        except Exception as error:  # noqa: BLE001 -- whatever ends it, someone has to hear of it
            self.health.ill(f"the sync thread has ended: {error!r}", "ended")
            log.exception("the sync thread has ended; flags stay as they are")


def _nothing() -> None:
    """There is no thread yet."""


def _never() -> float:
    return inf
