"""One stream, from its first event to its last: what each event means for what is in force."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, NamedTuple

from downhaul.adoption import Adoption, OlderError
from downhaul.events import Event, EventTooLargeError, Parser
from downhaul.health import log
from downhaul.links import DEAD_S
from downhaul.snapshot import MAX_BYTES, SnapshotError, expect_place, json_object
from downhaul.trouble import LinkError

_LARGEST = MAX_BYTES + (1 << 20)


class StreamEnd(NamedTuple):
    """How a stream has ended. `retry_s`: seconds after which the service wants to see us again, if it said so."""

    retry_s: float | None = None


class Stream:
    """Applies what comes. Calls `heard(age_s)` when nothing is missing, and `missed()` when something is."""

    def __init__(self, adoption: Adoption, heard: Callable[[float], None], missed: Callable[[], None]) -> None:
        self._adoption = adoption
        self._heard = heard
        self._missed = missed
        self._retry_s: float | None = None
        self._ended = False
        self._behind: tuple[str, int] | None = None
        self._last = monotonic()

    @property
    def is_behind(self) -> bool:
        """Whether the service has told of something newer than what is in force."""
        current = self._adoption.current
        if self._behind is None:
            return False
        epoch, revision = self._behind
        return current is None or current.epoch != epoch or current.revision < revision

    def read(self, chunks: Iterator[bytes]) -> StreamEnd:
        """To the end. Raises LinkError, and SnapshotError for a snapshot that must not be used."""
        parser = Parser(_LARGEST)
        try:
            for chunk in chunks:
                for event in parser.feed(chunk):
                    self._take(event)
                if self._ended:
                    break
                self.check()
        except EventTooLargeError as error:
            raise LinkError(f"on the stream, {error}", "too large") from None
        return StreamEnd(self._retry_s)

    def check(self) -> None:
        """Raises LinkError when no whole event has come for too long, however many bytes have."""
        if monotonic() - self._last > DEAD_S:
            raise LinkError(f"no event came on the stream for {DEAD_S:g} s", "silent")

    @property
    def dead_in(self) -> float:
        """Seconds until that is too long."""
        return self._last + DEAD_S - monotonic()

    def _take(self, event: Event) -> None:
        if event.retry is not None:
            self._retry_s = event.retry / 1000
        age_s = 0.0
        if event.type == "snapshot":
            self._whole(event)
        elif event.type == "change":
            self._changed(event)
        elif event.type == "heartbeat":
            age_s = self._alive(event)
        elif event.type == "end":
            self._ended = True
            return
        else:
            return
        self._last = monotonic()
        if self.is_behind:
            return
        self._behind = None
        self._heard(age_s)

    def _whole(self, event: Event) -> None:
        try:
            self._adoption.whole(event.data, event.id)
        except OlderError:
            log.debug("a stream began with an older snapshot than the one in force")

    def _changed(self, event: Event) -> None:
        try:
            self._adoption.changed(event.data, event.id)
        except SnapshotError as error:
            log.info("%s; the whole snapshot is fetched", error)
            self._need(*_place(json_object(event.data)))

    def _alive(self, event: Event) -> float:
        beat = json_object(event.data)
        epoch, revision = _place(beat)
        expect_place(beat, event.id, "heartbeat")
        current = self._adoption.current
        if current is None or epoch != current.epoch or revision > current.revision:
            self._need(epoch, revision)
        else:
            self._behind = None
            self._adoption.confirmed()
        age_s = beat.get("age_s")
        return max(0.0, float(age_s)) if isinstance(age_s, int | float) and not isinstance(age_s, bool) else 0.0

    def _need(self, epoch: str, revision: int) -> None:
        new = not self.is_behind
        self._behind = (epoch, revision)
        if new:
            self._missed()


def _place(document: dict[str, Any]) -> tuple[str, int]:
    epoch, revision = document.get("epoch"), document.get("revision")
    if not isinstance(epoch, str) or type(revision) is not int:
        raise SnapshotError("an event of the stream has no epoch or no revision")
    return epoch, revision
