"""Server-sent events, from bytes as they come: pure, with no idea of what the events mean.

After the WHATWG's standard (HTML, 9.2), with two differences: an event without data is given as well, because an order
to reconnect later may come with nothing else, and one that is too large is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class EventTooLargeError(ValueError):
    """What has come of an event is larger than any event may be."""


class Event(NamedTuple):
    """One event. `retry`: milliseconds until the next attempt, if the server said so in this event."""

    type: str
    data: bytes
    id: str | None
    retry: int | None


class Parser:
    """Takes chunks of any size, gives the events that are whole. For one stream."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes of one event."""
        self._limit = limit
        self._rest: list[bytes] = []
        self._after_cr = False
        self._first = True
        self._size = 0
        self._type = "message"
        self._data: list[bytes] = []
        self._id: str | None = None
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that end in this chunk. Raises EventTooLargeError."""
        return [event for line in self._lines(chunk) if (event := self._take(line))]

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        if self._after_cr and chunk:
            self._after_cr, chunk = False, chunk.removeprefix(b"\n")
        if not chunk:
            return
        *whole, last = _LINE_END.split(chunk)
        self._after_cr = chunk.endswith(b"\r")
        for piece in whole:
            self._add(piece)
            line = b"".join(self._rest)
            self._rest.clear()
            yield line
        self._add(last)

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise EventTooLargeError(f"an event is larger than {self._limit} bytes")
        if piece:
            self._rest.append(piece)

    def _take(self, line: bytes) -> Event | None:
        if self._first:
            self._first, line = False, line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self._retry = int(value[:9])
        return None

    def _dispatch(self) -> Event | None:
        event = Event(self._type, b"\n".join(self._data), self._id, self._retry)
        said = bool(self._data) or self._type != "message" or self._retry is not None
        self._clear()
        return event if said else None

    def _clear(self) -> None:
        self._type, self._data, self._id, self._retry, self._size = "message", [], None, None, 0
