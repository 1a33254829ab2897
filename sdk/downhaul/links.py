"""The two connections of the one thread: one that holds a stream, and one for what is asked and told besides."""

from __future__ import annotations

import math
from collections.abc import Callable

from downhaul.settings import Settings
from downhaul.snapshot import MAX_BYTES
from downhaul.sockets import Limits
from downhaul.transport import Transport

#: A stream has a heartbeat every 5 s. After two and a half of them without any it is dead.
DEAD_S = 12.5
_SILENCE_S = 5.0
_SIDE_SLICE_S = 0.02
#: When nothing more has come for so long, what came has been applied, and the report of that is due.
_STREAM_FIRST_S = 0.0005


class InterruptedByStreamError(Exception):
    """Something has come on the stream: it is read first, whatever else was being waited for."""


class Links:
    """Made with one key. `look` is called in every wait, and may raise to end it; `work` in those for the stream."""

    def __init__(self, settings: Settings, key: str, look: Callable[[], None], work: Callable[[], None]) -> None:
        self.key = key
        self._look = look
        self._work = work
        total = settings.timeout
        self.side = Transport(
            settings.url,
            key,
            Limits(silence=min(_SILENCE_S, total), total=total, slice=_SIDE_SLICE_S, first=_SIDE_SLICE_S),
            self._aside,
        )
        self.stream = Transport(
            settings.url,
            key,
            Limits(silence=DEAD_S, total=math.inf, body=MAX_BYTES, first=_STREAM_FIRST_S),
            self._between_events,
        )

    def close(self) -> None:
        """Hang up."""
        self.side.close()
        self.stream.close()

    def abandon(self) -> None:
        """In a forked child: these are the parent's connections."""
        self.side.abandon()
        self.stream.abandon()

    def _between_events(self) -> None:
        self._look()
        self._work()

    def _aside(self) -> None:
        self._look()
        if self.stream.heard():
            raise InterruptedByStreamError
