"""The operators of a condition: one table. Each makes, from a rule's values, the test of an attribute.

A test takes any value but None and gives True or False: a value of the wrong type never matches, and none ever raises.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_network
from types import MappingProxyType
from typing import Any, TypeVar

from downhaul.engine import times, versions
from downhaul.engine.errors import DecodeError, Path

T = TypeVar("T")
Test = Callable[[Any], bool]
Prepare = Callable[[Sequence[Any], Path], Test]
"""A rule's values and their path in; the test out. Raises DecodeError at the offending value."""


def is_number(value: Any) -> bool:
    """An integer or a float; `True` is neither, as in JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_members(values: Sequence[Any]) -> frozenset[str] | None:
    """The set of values, where all are strings: then `in` is nothing but membership, which a compiler can inline."""
    return frozenset(values) if all(type(value) is str for value in values) else None


def _in(values: Sequence[Any], path: Path) -> Test:
    for index, value in enumerate(values):
        if not (isinstance(value, str | bool) or is_number(value)):
            raise DecodeError((*path, index), f"expected a string, a number or a boolean, found {kind(value)}")
        _finite(value, (*path, index))
    booleans = frozenset(value for value in values if isinstance(value, bool))
    members = frozenset(value for value in values if not isinstance(value, bool))  # 1 and 1.0 are one member

    def equals_one(value: Any) -> bool:
        if isinstance(value, bool):
            return value in booleans
        return isinstance(value, str | int | float) and value in members

    def is_one(value: Any) -> bool:
        try:
            return value in members
        except TypeError:  # a list or a dict
            return False

    return is_one if as_members(values) is not None else equals_one


def _text(holds: Callable[[str, tuple[str, ...]], bool]) -> Prepare:
    def prepare(values: Sequence[Any], path: Path) -> Test:
        wanted = tuple(_strings(values, path))
        return lambda value: isinstance(value, str) and holds(value, wanted)

    return prepare


def _contains(value: str, parts: tuple[str, ...]) -> bool:
    return any(part in value for part in parts)


def _matches(values: Sequence[Any], path: Path) -> Test:
    # Loaded by the first rule that needs it: most processes never do, and it is half of the engine.
    from downhaul.engine.regex import compile_pattern

    patterns = _prepared(compile_pattern, values, path, "a regular expression")
    searches = tuple(pattern.search for pattern in patterns)
    if len(searches) == 1:
        search = searches[0]
        return lambda value: isinstance(value, str) and search(value)
    return lambda value: isinstance(value, str) and any(search(value) for search in searches)


def _number(related: Callable[[Any, Any], bool]) -> Prepare:
    def prepare(values: Sequence[Any], path: Path) -> Test:
        bounds = tuple(_numbers(values, path))
        return lambda value: is_number(value) and any(related(value, bound) for bound in bounds)

    return prepare


def _between(values: Sequence[Any], path: Path) -> Test:
    bounds = list(_numbers(values, path))
    if len(bounds) != 2:
        raise DecodeError(path, f"expected two numbers, the lowest and the highest, found {len(bounds)}")
    low, high = bounds
    if low > high:
        raise DecodeError(path, f"expected the lower number first, found {low} before {high}")
    return lambda value: is_number(value) and low <= value <= high


def _ordered(read: Callable[[str], T | None], related: Callable[[T, T], bool], expected: str) -> Prepare:
    """Compare what `read` makes of a text; `expected` says what such a text looks like."""

    def prepare(values: Sequence[Any], path: Path) -> Test:
        bounds = tuple(_read(text, (*path, index)) for index, text in enumerate(_strings(values, path)))

        def holds(value: Any) -> bool:
            found = read(str.__str__(value)) if isinstance(value, str) else None
            return found is not None and any(related(found, bound) for bound in bounds)

        return holds

    def _read(text: str, path: Path) -> T:
        found = read(text)
        if found is None:
            raise DecodeError(path, f"expected {expected}, found {text!r}")
        return found

    return prepare


def _cidr(values: Sequence[Any], path: Path) -> Test:
    networks = _prepared(partial(ip_network, strict=False), values, path, "an IP network such as 10.0.0.0/8")
    masks = tuple((each.version, int(each.network_address), int(each.netmask)) for each in networks)

    def holds(value: Any) -> bool:
        found = _address(str.__str__(value)) if isinstance(value, str) else None
        if found is None:
            return False
        version, number = found
        return any(version == wanted and number & mask == base for wanted, base, mask in masks)

    return holds


@lru_cache(maxsize=2048)
def _address(text: str) -> tuple[int, int] | None:
    """Version and number of an IP address."""
    for version, read in ((4, IPv4Address), (6, IPv6Address)):
        try:
            return version, int(read(text))
        except AddressValueError:
            continue
    return None


def _exists(values: Sequence[Any], path: Path) -> Test:
    if values:
        raise DecodeError(path, "`exists` takes no values")
    return lambda value: True


def _strings(values: Sequence[Any], path: Path) -> Sequence[str]:
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise DecodeError((*path, index), f"expected a string, found {kind(value)}")
    return values


def _numbers(values: Sequence[Any], path: Path) -> Sequence[float]:
    for index, value in enumerate(values):
        if not is_number(value):
            raise DecodeError((*path, index), f"expected a number, found {kind(value)}")
        _finite(value, (*path, index))
    return values


def _finite(value: Any, path: Path) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise DecodeError(path, f"expected a finite number, found {value}")


def _prepared(prepare: Callable[[str], T], values: Sequence[Any], path: Path, expected: str) -> list[T]:
    found = []
    for index, text in enumerate(_strings(values, path)):
        try:
            found.append(prepare(text))
        except ValueError as error:
            raise DecodeError((*path, index), f"expected {expected}: {error}") from None
    return found


def kind(value: Any) -> str:
    """What a JSON value is, for an error's text."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value)) or ("a number" if is_number(value) else f"a {type(value).__name__}")


def _versions(related: Callable[[Any, Any], bool]) -> Prepare:
    return _ordered(versions.precedence, related, "a version such as 2.1.0 (semver.org 2.0)")


def _times(related: Callable[[Any, Any], bool]) -> Prepare:
    return _ordered(times.instant, related, "a time with an offset such as 2026-11-23T03:00:00Z (RFC 3339)")


OPERATORS: Mapping[str, Prepare] = MappingProxyType(
    {
        "in": _in,
        "contains": _text(_contains),
        "starts_with": _text(str.startswith),
        "ends_with": _text(str.endswith),
        "matches": _matches,
        "gt": _number(operator.gt),
        "gte": _number(operator.ge),
        "lt": _number(operator.lt),
        "lte": _number(operator.le),
        "between": _between,
        "semver_eq": _versions(operator.eq),
        "semver_gt": _versions(operator.gt),
        "semver_gte": _versions(operator.ge),
        "semver_lt": _versions(operator.lt),
        "semver_lte": _versions(operator.le),
        "before": _times(operator.lt),
        "after": _times(operator.gt),
        "cidr": _cidr,
        "exists": _exists,
    }
)
"""Name -> how its test is prepared. A new operator is one line here, and one in the reference."""

WITHOUT_VALUES = frozenset({"exists"})
