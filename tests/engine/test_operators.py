"""Each operator on its own: what it takes, what it refuses, and that nothing makes it raise."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul.engine import DecodeError, decode_condition
from downhaul.engine.operators import OPERATORS
from support.rulesets import leaf

NAN = float("nan")
HOSTILE: list[Any] = [
    True, False, 0, 1, -1, 10**400, 1.5, NAN, float("inf"), "", "x", "\ud800", "a" * 10_000, b"x", [], [1], {},
    {"a": 1}, (), ([],), object(), complex(1, 2), range(3), lambda: None,
]  # fmt: skip

CASES: list[tuple[str, list[Any], Any, bool]] = [
    ("in", ["DE", "FR"], "DE", True),
    ("in", ["DE", "FR"], "de", False),
    ("in", ["DE"], ["DE"], False),
    ("in", [1], 1.0, True),
    ("in", [1.0], 1, True),
    ("in", [1], True, False),
    ("in", [True], 1, False),
    ("in", [True], True, True),
    ("in", [0], False, False),
    ("in", ["1"], 1, False),
    ("in", [10**30], 10**30, True),
    ("in", [9007199254740993], 9007199254740992.0, False),
    ("in", ["a", 1, True], 1, True),
    ("contains", ["ell"], "hello", True),
    ("contains", ["ELL"], "hello", False),
    ("contains", ["x", "llo"], "hello", True),
    ("contains", ["1"], 1, False),
    ("starts_with", ["he"], "hello", True),
    ("starts_with", ["lo"], "hello", False),
    ("ends_with", ["xx", "lo"], "hello", True),
    ("ends_with", ["he"], "hello", False),
    ("matches", ["^a+b$"], "aaab", True),
    ("matches", ["b"], "abc", True),
    ("matches", ["^b"], "abc", False),
    ("matches", ["[0-9]{3}", "z$"], "abz", True),
    ("gt", [5], 5.5, True),
    ("gt", [5], 5, False),
    ("gt", [5], True, False),
    ("gt", [5], "6", False),
    ("gt", [5], 10**400, True),
    ("gt", [5], NAN, False),
    ("gte", [5], 5, True),
    ("gte", [10, 3], 5, True),
    ("gte", [5], 4.999, False),
    ("lt", [5], 4, True),
    ("lt", [5], 5, False),
    ("lte", [5], 5, True),
    ("lte", [5], float("inf"), False),
    ("between", [1, 3], 1, True),
    ("between", [1, 3], 3, True),
    ("between", [1, 3], 3.0001, False),
    ("between", [1, 3], True, False),
    ("between", [2, 2], 2, True),
    ("semver_eq", ["1.2.3"], "1.2.3+build.5", True),
    ("semver_eq", ["1.2.3"], "1.2.3-rc.1", False),
    ("semver_gt", ["1.0.0-alpha"], "1.0.0-alpha.1", True),
    ("semver_gt", ["1.0.0-alpha.1"], "1.0.0-alpha.beta", True),
    ("semver_gt", ["1.0.0-beta.2"], "1.0.0-beta.11", True),
    ("semver_gt", ["1.0.0-rc.1"], "1.0.0", True),
    ("semver_gt", ["1.9.0"], "1.10.0", True),
    ("semver_gt", ["1.0.0"], "1.0.0+later", False),
    ("semver_gte", ["2.1.0"], "2.1.0", True),
    ("semver_gte", ["2.1.0"], "2.1.0-rc.1", False),
    ("semver_gte", ["2.1.0"], "2.1", False),
    ("semver_gte", ["2.1.0"], "v2.1.0", False),
    ("semver_gte", ["2.1.0"], "2.01.0", False),
    ("semver_gte", ["2.1.0"], "3.0.0-01", False),
    ("semver_gte", ["2.1.0"], " 3.0.0", False),
    ("semver_gte", ["2.1.0"], "3.0.0\n", False),
    ("semver_gte", ["2.1.0"], "٣.0.0", False),
    ("semver_gt", ["1.0.0"], "9" * 900 + ".0.0", True),
    ("semver_lt", ["2.0.0"], "2.0.0-0", True),
    ("semver_lte", ["2.0.0"], "2.0.0", True),
    ("semver_lte", ["2.0.0"], "2.0.1-0", False),
    ("semver_lt", ["2.0.0"], 1, False),
    ("before", ["2026-11-23T03:00:00Z"], "2026-11-23T02:59:59.999Z", True),
    ("before", ["2026-11-23T03:00:00Z"], "2026-11-23T03:00:00Z", False),
    ("before", ["2026-11-23T03:00:00Z"], "2026-11-23T03:30:00+01:00", True),
    ("after", ["2026-11-23T03:00:00Z"], "2026-11-23T03:00:00.0000000001Z", True),
    ("after", ["2026-11-23T03:00:00Z"], "2026-11-23t03:00:01z", True),
    ("after", ["2026-11-23T03:00:00.5Z"], "2026-11-23T03:00:00.45Z", False),
    ("after", ["2026-11-23T03:00:00Z"], "2026-11-24T03:00:00", False),
    ("after", ["2026-11-23T03:00:00Z"], "2026-11-24", False),
    ("after", ["2026-11-23T03:00:00Z"], "2026-11-24 03:00:00Z", False),
    ("after", ["2026-11-23T03:00:00Z"], "2027-02-29T03:00:00Z", False),
    ("after", ["2026-11-23T03:00:00Z"], "2027-01-01T24:00:00Z", False),
    ("after", ["2026-12-31T23:59:59Z"], "2026-12-31T23:59:60Z", True),
    ("after", ["2026-11-23T03:00:00Z"], 1_900_000_000, False),
    ("cidr", ["10.0.0.0/8"], "10.255.0.1", True),
    ("cidr", ["10.0.0.0/8"], "11.0.0.1", False),
    ("cidr", ["10.0.0.5/8"], "10.1.1.1", True),
    ("cidr", ["10.0.0.5"], "10.0.0.5", True),
    ("cidr", ["2001:db8::/32", "10.0.0.0/8"], "2001:db8:1::1", True),
    ("cidr", ["2001:db8::/32"], "10.0.0.1", False),
    ("cidr", ["0.0.0.0/0"], "::1", False),
    ("cidr", ["10.0.0.0/8"], "10.0.0.1/32", False),
    ("cidr", ["10.0.0.0/8"], "010.0.0.1", False),
    ("cidr", ["10.0.0.0/8"], 167772161, False),
    ("exists", [], "", True),
    ("exists", [], 0, True),
    ("exists", [], False, True),
    ("exists", [], [], True),
]


@pytest.mark.parametrize(("op", "values", "value", "expected"), CASES, ids=str)
def test_operator(op: str, values: list[Any], value: Any, expected: bool) -> None:
    assert OPERATORS[op](values, ())(value) is expected


def test_every_operator_has_cases_that_hold_and_cases_that_do_not() -> None:
    held = {op for op, _, _, expected in CASES if expected}
    refused = {op for op, _, _, expected in CASES if not expected} | {"exists"}

    assert held == refused == set(OPERATORS)


@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_no_value_makes_an_operator_raise(op: str) -> None:
    values = next(values for each, values, _, _ in CASES if each == op)
    test = OPERATORS[op](values, ())

    for value in HOSTILE:
        assert test(value) in (True, False)


@pytest.mark.parametrize(
    ("op", "values", "place", "message"),
    [
        ("in", [None], ("values", 0), "found null"),
        ("in", ["a", ["b"]], ("values", 1), "found an array"),
        ("in", [NAN], ("values", 0), "finite"),
        ("contains", [1], ("values", 0), "expected a string, found a number"),
        ("starts_with", [True], ("values", 0), "expected a string, found a boolean"),
        ("matches", ["ok", "(unclosed"], ("values", 1), "regular expression"),
        ("matches", [r"(a)\1"], ("values", 0), "regular expression"),
        ("gt", ["5"], ("values", 0), "expected a number, found a string"),
        ("gt", [True], ("values", 0), "expected a number, found a boolean"),
        ("gt", [float("inf")], ("values", 0), "finite"),
        ("between", [1], ("values",), "two numbers"),
        ("between", [1, 2, 3], ("values",), "two numbers"),
        ("between", [3, 1], ("values",), "lower number first"),
        ("semver_gte", ["1.0.0", "2.1"], ("values", 1), "expected a version"),
        ("before", ["2026-11-23"], ("values", 0), "with an offset"),
        ("cidr", ["10.0.0.0/33"], ("values", 0), "network"),
        ("cidr", ["example.com"], ("values", 0), "network"),
        ("exists", ["x"], ("values",), "takes no values"),
        ("in", [], ("values",), "at least one value"),
        ("like", ["x"], ("op",), "expected one of in, contains"),
    ],
)
def test_a_rule_that_cannot_be_prepared_is_refused_at_the_offending_value(
    op: str, values: list[Any], place: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(DecodeError, match=message) as caught:
        decode_condition(leaf("x", op, *values), ("when",))

    assert caught.value.path == ("when", *place)
