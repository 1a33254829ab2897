"""Waiting for the network, and for a word of another thread, at the same time."""

from __future__ import annotations

import math
import select
import socket
from collections.abc import Iterable
from contextlib import suppress

_LONGEST_S = 3600.0


def wait_for(reading: Iterable[int], seconds: float, *, writing: Iterable[int] = ()) -> None:
    """Until one of these descriptors can be read from or written to, or is broken; at most so many seconds.

    `select` is asked at each call for what it has: a program that gevent patches has another one there.
    """
    seconds = min(max(0.0, seconds), _LONGEST_S)
    if not hasattr(select, "poll"):  # Windows
        select.select(list(reading), list(writing), [], seconds)
        return
    poller = select.poll()
    for descriptor in reading:
        poller.register(descriptor, select.POLLIN)
    for descriptor in writing:
        poller.register(descriptor, select.POLLOUT)
    poller.poll(math.ceil(seconds * 1000))


class Bell:
    """Rung by any thread, heard by the one that waits for it."""

    def __init__(self) -> None:
        self._hearing, self._ringing = socket.socketpair()
        self._hearing.setblocking(False)
        self._ringing.setblocking(False)

    def fileno(self) -> int:
        return self._hearing.fileno()

    def ring(self) -> None:
        """End a wait, or the next one."""
        with suppress(OSError):  # it is full of rings already, or nobody waits any more
            self._ringing.send(b"\0")

    def hush(self) -> None:
        """It has been heard."""
        with suppress(OSError):
            self._hearing.recv(4096)

    def close(self) -> None:
        self._hearing.close()
        self._ringing.close()
