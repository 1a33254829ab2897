"""Refused attempts on their way to their log: counted together, bounded, and never in the way of an answer."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from downhaul_server.addresses import neighbourhood
from downhaul_server.redaction import hide
from downhaul_server.services.actors import Actor, ClientKey, EnvironmentKey
from downhaul_server.services.documents import timestamp
from downhaul_server.store import Store, StoreError

log = logging.getLogger(__name__)

WINDOW_S = 60.0
"""What is refused again within it is one entry."""
BEAT_S = 0.5
MOST_WINDOWS = 1000
"""Different attempts that are told apart at a time; of what is more, only the number is kept."""
MOST_UNKNOWN = 700
"""So many, before those of callers whom nobody knows are not told apart any more."""
MOST_EACH = 30
"""And so many of each caller whom we know: one who tries everything is not to hide the others."""
BATCH = 50
LONGEST = 200
"""Characters of each text."""
STOP_S = 2.0

Holder = Actor | EnvironmentKey


@dataclass(slots=True)
class _Window:
    """One kind of attempt of one caller."""

    kind: str
    about: dict[str, Any]
    first: str = ""
    last: str = ""
    count: int = 0
    """Not written down yet."""
    due: float = field(default=float("-inf"))
    """By the monotonic clock: not before then."""


class Refusals:
    """One process's. The first of each kind is written down within a second, what follows once a minute."""

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._windows: dict[tuple[Any, ...], _Window] = {}
        self._callers: Counter[Any] = Counter()
        """How many windows each has."""
        self._rest = _Window("rest", {"actor": None, "attempt": "", "target": "", "address": None, "detail": ""})
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def note(self, holder: Holder | None, attempt: str, target: str, address: str | None, detail: str) -> None:
        """Somebody was refused. Waits for nobody."""
        about = {
            "actor": _name(holder),
            "attempt": _clean(attempt),
            "target": _clean(target),
            "address": address,
            "detail": _clean(detail),
        }
        whom = (holder.kind, holder.token_id) if isinstance(holder, Actor) else holder and holder.id
        key = (whom, about["attempt"], about["target"], neighbourhood(address))
        at = timestamp(datetime.now(UTC))
        with self._lock:
            window = self._windows.get(key) or self._begin_window(key, "known" if holder else "unknown", about)
            self._count(window or self._rest, 1, at, at)
            self._begin()

    def flush(self) -> None:
        """Write down what is due. Raises StoreError: then it is still there."""
        now = self._monotonic()
        with self._lock:
            due = [(window, _body(window)) for window in self._windows.values() if window.count and window.due <= now]
            if self._rest.count and self._rest.due <= now:
                due.append((self._rest, _body(self._rest)))
        for start in range(0, len(due), BATCH):
            self._write(due[start : start + BATCH], now)
        with self._lock:
            for key in [key for key, window in self._windows.items() if not window.count and window.due <= now]:
                del self._windows[key]
                self._callers[key[0]] -= 1
                if not self._callers[key[0]]:
                    del self._callers[key[0]]

    def stop(self) -> None:
        """Write down what there is, due or not, and end. Idempotent."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(STOP_S)
            with self._lock:
                for window in (*self._windows.values(), self._rest):
                    window.due = float("-inf")
            with suppress(StoreError):
                self.flush()

    def _begin_window(self, key: tuple[Any, ...], kind: str, about: dict[str, Any]) -> _Window | None:
        """None where there is no room for another one."""
        if len(self._windows) >= (MOST_UNKNOWN if kind == "unknown" else MOST_WINDOWS):
            return None
        if kind == "known" and self._callers[key[0]] >= MOST_EACH:
            return None
        self._callers[key[0]] += 1
        window = self._windows[key] = _Window(kind, about)
        return window

    def _begin(self) -> None:
        if self._thread is None and not self._stopping.is_set():
            self._store.at_close(self.stop)
            self._thread = threading.Thread(target=self._run, name="downhaul-refusals", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_S):
            try:
                self.flush()
            except StoreError as error:
                log.debug("refusals: %s", error)  # they wait; the store's follower says that Redis is away
            except Exception:
                log.exception("refusals: they could not be written down")

    def _write(self, due: list[tuple[_Window, dict[str, Any]]], now: float) -> None:
        with self._store.asking():
            accepted = self._store.refusals.append([(window.kind, self._placed(body)) for window, body in due])
        with self._lock:
            for (window, body), written in zip(due, accepted, strict=True):
                window.count -= body["count"]
                window.due = now + WINDOW_S
                if not written:
                    self._count(self._rest, body["count"], body["first"], body["last"])

    def _count(self, window: _Window, number: int, first: str, last: str) -> None:
        window.first = min(first, window.first) if window.count else first
        window.last = max(last, window.last) if window.count else last
        window.count += number

    def _placed(self, body: dict[str, Any]) -> dict[str, Any]:
        """With the revision at which it happened, more or less: it gives it a place among the changes."""
        return body | {"revision": self._store.health()["revision"] or 0}


def _body(window: _Window) -> dict[str, Any]:
    times = {"count": window.count, "first": window.first, "last": window.last}
    if window.kind == "rest":
        return window.about | times | {"detail": f"{window.count} more, for which there was no room one by one"}
    return window.about | times


def _name(holder: Holder | None) -> dict[str, Any] | None:
    if holder is None or isinstance(holder, Actor):
        return holder.to_json() if holder else None
    kind = "client" if isinstance(holder, ClientKey) else "sdk"
    return {"name": holder.name, "kind": kind, "role": None, "token": holder.id, "address": None}


def _clean(text: str) -> str:
    printable = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[: 4 * LONGEST]
    )
    return hide(printable)[:LONGEST]
