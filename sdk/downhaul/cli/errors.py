"""What can go wrong for the person at the keyboard, and the exit code that tells a script."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What a script can rely on; docs/cli.md explains each."""

    OK = 0
    OTHER = 1
    USAGE = 2
    UNCONFIRMED = 3
    """The change is made, but not every process has confirmed it."""
    NOT_FOUND = 4
    CONFLICT = 5
    UNAUTHORISED = 6
    UNAVAILABLE = 7
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class CliError(Exception):
    """One sentence for a person, what to do next, and the problem document (RFC 9457) for `--json`."""

    def __init__(
        self,
        message: str,
        code: ExitCode = ExitCode.OTHER,
        *,
        hint: str = "",
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self._problem = problem

    @property
    def kind(self) -> str:
        """The last word of the problem's type, such as `approval-required`; empty for what is no answer."""
        return str((self._problem or {}).get("type", "")).rpartition(":")[2]

    @property
    def faults(self) -> list[str]:
        """`place: what is wrong there`, for each fault of what was refused that the sentence does not tell."""
        errors = (self._problem or {}).get("errors")
        faults = errors if isinstance(errors, list) else []
        return [
            _fault(each) for each in faults if isinstance(each, Mapping) and str(each.get("detail")) not in str(self)
        ]

    def to_json(self) -> dict[str, Any]:
        """The service's own problem document where there is one, else one that says the same."""
        own = {"type": "about:blank", "title": self.code.name.lower(), "detail": str(self), "hint": self.hint}
        return {**(self._problem or own), "exit_code": int(self.code)}


def _fault(error: Mapping[str, Any]) -> str:
    place = str(error.get("pointer") or error.get("parameter") or "").removeprefix("#")
    return f"{place}: {error.get('detail', '')}" if place else str(error.get("detail", ""))
