"""The overrides file: a second way to kill a flag, for the day when the service is unreachable.

A JSON object, `{"new-checkout": false}`, that an operator changes on the machine or through a mounted ConfigMap. It is
read in full at each look, because that costs microseconds and no trick with modification times has to be trusted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from downhaul.files import UnreadableError, read_file
from downhaul.forks import guard
from downhaul.health import Once

if TYPE_CHECKING:
    from downhaul.worker import Worker

#: Seconds between two looks. A change is believed when it is seen; trouble is believed when it is seen twice.
LOOK_EVERY_S = 0.4
_MAX_BYTES = 1 << 20

NONE: Mapping[str, Any] = MappingProxyType({})
_SOMETHING = b"\0"  # no file that could be in force has this content


class OverridesError(Exception):
    """The file cannot be used. The message says why; what was read before stays in force."""


class OverridesFile:
    """One file, looked at again and again by the sync thread."""

    def __init__(self, path: str, values: Mapping[str, Any] = NONE) -> None:
        """`values`: what is in force already, in a forked child."""
        self.path = path
        self.values = values
        self._seen: bytes | None = _SOMETHING if values else None
        self._doubt: str | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether the last look found trouble."""
        return self._doubt is not None

    def look(self) -> bool:
        """Read the file; True when it is another than before. A file that is not there overrides nothing.

        Raises OverridesError when the file is wrong, or cannot be read. That, and its absence, count only when they
        are seen a second time: editors and deployment tools leave a file empty, half-written or away for a moment.
        """
        try:
            content = self._read()
            if content == self._seen:
                self._doubt = None
                return False
            if content is None and self._doubted("absent"):
                return False
            values = _decode(content)
        except OverridesError as error:
            if self._doubted(str(error)):
                return False
            raise
        self._seen, self._doubt = content, None
        self.values = values
        return True

    def _doubted(self, trouble: str) -> bool:
        first_time, self._doubt = self._doubt != trouble, trouble
        return first_time and self._seen is not None

    def _read(self) -> bytes | None:
        try:
            return read_file(self.path, _MAX_BYTES)
        except UnreadableError as error:
            raise OverridesError(str(error)) from None


class OverridesWatch:
    """The looks at one file, when they are due, and what they find told and put in force."""

    def __init__(self, path: str, worker: Worker, once: Once) -> None:
        """An empty `path`: there is no file."""
        self._file = OverridesFile(path, worker.found.overrides)
        self._worker = worker
        self._once = once
        self._next = 0.0 if path else inf

    @property
    def due_in(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._next - monotonic())

    def look_if_due(self) -> None:
        """Never raises for what is wrong with the file."""
        if monotonic() >= self._next:
            self._next = monotonic() + LOOK_EVERY_S
            self._look()

    def _look(self) -> None:
        health = self._worker.health
        try:
            with guard():
                changed = self._file.look()
        except OverridesError as error:
            sentence = f"the overrides file {self._file.path} {error}"
            health.overrides_error = sentence
            self._once.warn(sentence, "%s; what it said before stays in force", sentence)
            return
        if health.overrides_error and not self._file.in_doubt:
            self._once.forget(health.overrides_error)
            health.overrides_error = None
        if changed:
            self._worker.apply(self._worker.found._replace(overrides=self._file.values))


def _decode(content: bytes | None) -> Mapping[str, Any]:
    if content is None:
        return NONE
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise OverridesError(f"is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise OverridesError(f"must hold a JSON object of flags and values, not {type(values).__name__}")
    return MappingProxyType(values)
