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
    """Reserved: the kill is made, but not every instance has confirmed it."""
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
    def faults(self) -> list[str]:
        """`place: what is wrong there`, for each fault of a document that was refused, when there are several."""
        errors = (self._problem or {}).get("errors")
        if not isinstance(errors, list) or len(errors) < 2:
            return []
        return [_fault(each) for each in errors if isinstance(each, Mapping)]

    def to_json(self) -> dict[str, Any]:
        """The service's own problem document where there is one, else one that says the same."""
        own = {"type": "about:blank", "title": self.code.name.lower(), "detail": str(self), "hint": self.hint}
        return {**(self._problem or own), "exit_code": int(self.code)}


def _fault(error: Mapping[str, Any]) -> str:
    pointer = str(error.get("pointer", "")).removeprefix("#")
    return f"{pointer}: {error.get('detail', '')}" if pointer else str(error.get("detail", ""))
