"""What a test has declared and asked for: the sides that it has tried, and the flags that it did not declare."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from downhaul.details import Details

_FAULTS = ("FLAG_NOT_FOUND", "TYPE_MISMATCH")
_SDK = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class UndeclaredFlagError(AssertionError):
    """A test has evaluated a flag to which it gave no value, or one of another type than was asked for."""


class Fault(NamedTuple):
    """One flag that was evaluated as it should not have been: `code` is OpenFeature's word."""

    flag: str
    code: str
    default: Any
    place: str


class Watch:
    """A listener of evaluations: from any thread, and never in the way of the code under test."""

    def __init__(self) -> None:
        self.tried: dict[str, set[str]] = {}
        """Flag -> the values that it had, as JSON."""
        self.named: set[tuple[str, ...]] = set()
        """The flags to which the test gave a value, each by the names that may be meant."""
        self._faults: dict[tuple[str, str], Fault] = {}

    def __call__(self, details: Details[Any], context: Mapping[str, Any]) -> None:
        if not (details.error_code and details.value is None):  # no default either: nothing was tried
            self.tried.setdefault(details.flag, set()).add(as_text(details.value))
        if details.error_code in _FAULTS and (details.flag, details.error_code) not in self._faults:
            fault = Fault(details.flag, details.error_code, details.value, _place())
            self._faults.setdefault((fault.flag, fault.code), fault)

    def gave(self, by_flag: Iterable[str], by_keyword: Iterable[str]) -> None:
        """The test has given these flags a value."""
        self.named.update((name,) for name in by_flag)
        self.named.update(names_of(name) for name in by_keyword)

    def complaint(self) -> str:
        """What is wrong with what was asked for since the last complaint; empty if nothing is."""
        faults = [self._faults.pop(key) for key in sorted(self._faults)]
        return complaint_of(faults) if faults else ""


def complaint_of(faults: list[Fault]) -> str:
    """Each flag with its place, and how to declare it."""
    undeclared = [each for each in faults if each.code == "FLAG_NOT_FOUND"]
    mistyped = [each for each in faults if each.code == "TYPE_MISMATCH"]
    lines = []
    if undeclared:
        lines.append("flags were evaluated that this test does not declare:")
        lines += [f"  {each.flag}, evaluated at {each.place}" for each in undeclared]
        lines += ["give each of them a value, in one of these ways:"]
        lines += [f"  {way}" for way in _ways(undeclared)]
    if mistyped:
        lines.append("flags have values of another type than the code asks for:")
        lines += [f"  {each.flag}, evaluated at {each.place}" for each in mistyped]
    return "\n".join(lines)


def _ways(undeclared: list[Fault]) -> list[str]:
    values = ", ".join(f"{each.flag!r}: {each.default!r}" for each in undeclared)
    given = f"{{{values}}}"
    if all(each.flag.replace("-", "_").isidentifier() for each in undeclared):
        given = ", ".join(f"{each.flag.replace('-', '_')}={each.default!r}" for each in undeclared)
    return [
        f"@pytest.mark.flags({given})",
        f"flags.set({given}) in the test, with the fixture `flags`; self.flags.set(...) in unittest",
        "under [flags] in the file that `downhaul_file` names, for all tests",
    ]


def names_of(keyword: str) -> tuple[str, ...]:
    """The flags that a keyword may mean, the likelier one first: `_` may stand for `-`."""
    return tuple(dict.fromkeys((keyword.replace("_", "-"), keyword)))


def as_text(value: Any) -> str:
    """A value as JSON, by which `true` is not `1`."""
    try:
        return json.dumps(value, sort_keys=True, default=repr)
    except (TypeError, ValueError, RecursionError):  # a test may give a flag any object
        return json.dumps(repr(value))


def _place() -> str:
    """The nearest line that is not the SDK's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_SDK):
        frame = frame.f_back
    path = frame.f_code.co_filename
    with suppress(OSError):  # the test may have removed the folder that it is in
        path = path.removeprefix(os.getcwd() + os.sep)
    return f"{path}:{frame.f_lineno}"
