"""What the marks of a test say: outermost first, so that the innermost wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from downhaul.testing.sides import MARK, Both, Choice, Sided, combinations
from downhaul.testing.watch import names_of

if TYPE_CHECKING:
    from downhaul.engine import Ruleset

FLAGS = "flags"
STRICT = "downhaul_strict"

Combination = tuple[Choice, ...]


def values_of(node: pytest.Item) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The values of each `flags` mark: by flag, and by keyword. Fails the test for a mark that is wrong."""
    return [_values(mark) for mark in _marks(node) if mark.name == FLAGS]


def is_strict(node: pytest.Item, default: bool) -> bool:
    """Whether the test may evaluate only what it declares."""
    mark = node.get_closest_marker(STRICT)
    if mark is None:
        return default
    if mark.kwargs or len(mark.args) > 1 or not all(isinstance(each, bool) for each in mark.args):
        pytest.fail(f"@pytest.mark.{STRICT} takes True (the default) or False", pytrace=False)
    return mark.args[0] if mark.args else True


def sides_of(node: pytest.Item, ruleset: Ruleset | None) -> list[Combination]:
    """One side of each flag that `both` names, in every combination; nothing if it names none.

    A flag that is named again further in counts there: with that mark's sides, or with the value that it gives.
    """
    sided: list[Sided] = []
    for mark in _marks(node):
        flags = mark.args[0].flags if mark.name == MARK and mark.args and isinstance(mark.args[0], Both) else ()
        named = _names(mark) if mark.name == FLAGS else frozenset().union(*(_meant(each) for each in flags))
        sided = [each for each in sided if _meant(each).isdisjoint(named)]
        sided += flags
    try:
        return combinations(sided, ruleset) if sided else []
    except ValueError as error:
        pytest.fail(str(error), pytrace=False)


def _meant(sided: Sided) -> frozenset[str]:
    return frozenset(names_of(sided.name) if sided.keyword else (sided.name,))


def _names(mark: pytest.Mark) -> frozenset[str]:
    by_flag, by_keyword = _values(mark)
    return frozenset(by_flag).union(*map(names_of, by_keyword))


def _values(mark: pytest.Mark) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    by_flag: dict[str, Any] = {}
    for each in mark.args:
        if not isinstance(each, Mapping):
            pytest.fail(
                f"@pytest.mark.flags takes keywords, or a dict of flags and values, not {each!r}", pytrace=False
            )
        by_flag |= each
    return by_flag, mark.kwargs


def _marks(node: pytest.Item) -> Iterator[pytest.Mark]:
    """Outermost first. Of one level, those that come later in pytest's list, which has a base class before its heirs;
    only decorators of a function come the other way round there.
    """
    for each in node.listchain():
        marks: Sequence[pytest.Mark] = each.own_markers
        if each is node:
            own = getattr(getattr(each, "obj", None), "pytestmark", ())
            decorators = [mark for mark in marks if any(mark is other for other in own)]
            marks = [*reversed(decorators), *(mark for mark in marks if not any(mark is each for each in decorators))]
        yield from (mark for mark in marks if mark.name in (FLAGS, MARK))
