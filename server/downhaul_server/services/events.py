"""Server-sent events, ready to be sent: made once, and shared by every stream that they go to."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

MESSAGE = "message"
"""The name of events that do not say one."""


class Event:
    """One event of a stream: `id`, `event`, `retry`, and one line of `data` (the HTML standard's event streams)."""

    def __init__(self, name: str, data: bytes, *, at: str | None = None, retry_ms: int | None = None) -> None:
        """`data` is JSON without a line end; `at` is the position (`epoch:revision`) after it."""
        head = "" if at is None else f"id: {at}\n"
        if name != MESSAGE:
            head += f"event: {name}\n"
        if retry_ms is not None:
            head += f"retry: {retry_ms}\n"
        self._set(name, b"".join((head.encode("ascii"), b"data: ", data, b"\n\n")))

    def _set(self, name: str, text: bytes) -> None:
        self.name = name
        self.text = text
        """As it stands in the body."""

    @classmethod
    def of(cls, name: str, data: Any, *, at: str | None = None, retry_ms: int | None = None) -> Event:
        """An event whose data is yet to be written as JSON: compact, ASCII."""
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
        return cls(name, text.encode("ascii"), at=at, retry_ms=retry_ms)

    @classmethod
    def comment(cls, text: str, *, retry_ms: int | None = None) -> Event:
        """What no listener hears; counted as a heartbeat, or with `retry_ms` as an end."""
        made = cls.__new__(cls)
        retry = "" if retry_ms is None else f"retry: {retry_ms}\n"
        made._set("heartbeat" if retry_ms is None else "end", f": {text}\n{retry}\n".encode("ascii"))
        return made

    @cached_property
    def chunk(self) -> bytes:
        """As a chunk of HTTP/1.1's chunked transfer coding (RFC 9112 section 7.1)."""
        return b"%x\r\n%b\r\n" % (len(self.text), self.text)
