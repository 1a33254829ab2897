"""What is written down while a cluster suffers. Times are seconds of the monotonic clock, which all processes share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Position = tuple[str, int]
"""Epoch and revision."""
USERS: tuple[dict[str, Any], ...] = ({"user": "u1", "plan": "pro"}, {"user": "u2", "plan": "free"}, {"user": "u3"}, {})
"""For whom every flag is evaluated."""
ABSENT = "absent"
"""The value of a flag that is not there."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What an instance saw, the same from `at` until at least `until`."""

    at: float
    until: float
    position: Position | None
    """Of its snapshot; None before it has one."""
    values: Mapping[str, Any]
    """Flag -> its value for each of the users; what is missing is `ABSENT`."""
    state: str
    link: str
    source: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Biography:
    """An instance, and all that it saw."""

    name: str
    service: str
    environment: str
    seen: tuple[Observation, ...]
    known_at: float = 0.0
    """When the fleet was seen to know of it. From then on no kill may overlook it."""
    requests: tuple[float, ...] = ()
    """When it sent one, or connected."""
    severed: tuple[tuple[float, float], ...] = ()
    """From when to when nothing from the service can have reached it."""

    @property
    def group(self) -> tuple[str, str]:
        """Those who share its snapshot."""
        return self.service, self.environment


@dataclass(frozen=True, slots=True)
class Operation:
    """A request of an operator, repeated under one idempotency key until its outcome was known."""

    key: str
    method: str
    path: str
    body: Any
    began: float
    ended: float
    status: int | None = None
    """Of the last answer; None where there was none."""
    answer: Mapping[str, Any] = field(default_factory=dict)

    @property
    def acknowledged(self) -> bool:
        """Whether the service said that it is done."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def acknowledgement(self) -> Mapping[str, Any] | None:
        """Who has obeyed, where the answer says it."""
        if not self.acknowledged:
            return None
        found: Mapping[str, Any] | None = (
            self.answer if "confirmed" in self.answer else self.answer.get("acknowledgement")
        )
        return found

    @property
    def revision(self) -> int | None:
        """Where it was said to be in the log; None where nothing was said."""
        if not self.acknowledged:
            return None
        found = (self.acknowledgement or self.answer).get("revision", self.answer.get("version"))
        return None if found is None else int(found)


@dataclass(frozen=True, slots=True)
class Convergence:
    """How it ended."""

    healed_at: float
    took_s: dict[str, float | None]
    """Instance -> seconds from the last fault's end until it had the newest; None if it never had."""


def read_observations(path: Path) -> tuple[Observation, ...]:
    """What `instance.py` has written; a last line that is not finished is left out."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")]
    found: list[Observation] = []
    for line, following in zip(lines, [*lines[1:], None][: len(lines)], strict=True):
        until = following["since"] if following else line["at"]
        found.append(_observation(line, max(until, line["at"])))
    return tuple(found)


def _observation(line: dict[str, Any], until: float) -> Observation:
    position = None if line["epoch"] is None else (line["epoch"], line["revision"])
    said = (line[name] for name in ("values", "state", "link", "source", "error"))
    return Observation(line["at"], until, position, *said)
