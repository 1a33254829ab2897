"""The report of flags with a side that no test has tried."""

from __future__ import annotations

import pytest
from downhaul.testing.report import missing
from support.suites import run_pytest, run_pytest_here

pytest_plugins = ["pytester"]

SUITE = """
import pytest
from downhaul import flags as live
from downhaul.testing import both

@pytest.mark.flags(tried_on=True)
def test_on():
    live.enabled("tried-on")

@pytest.mark.flags(tried_on=True)
def test_on_again():
    live.enabled("tried-on")

def test_by_default(flags):
    assert live.enabled("tried-off") is False

@both("tried-twice")
def test_both():
    live.enabled("tried-twice")

def test_file(flags):
    assert live.value("colour") == "#f00"

def test_in_a_block_of_its_own():
    with live.override(text="blue"):
        live.value("text")

@pytest.mark.flags({"a/b": 1}, set_only=True, tried_on=False)
def test_that_asks_for_nothing():
    pass
"""

FILE = """
[flags]
untouched = false
[flags.colour]
variants = {red = "#f00", blue = "#00f", green = "#0f0"}
otherwise = "red"
"""

EXPECTED = """a/b: never evaluated
colour: never "#00f" nor "#0f0" ("#f00" in 1 test)
set-only: never evaluated
text: never anything but "blue" ("blue" in 1 test)
tried-off: never on (off in 1 test)
tried-on: never off (on in 2 tests)
untouched: never evaluated
tried on each of their sides: 1 of 8 flags"""


def report_in(told: pytest.RunResult) -> str:
    """The lines of the report."""
    _, after = told.stdout.str().split("flags with a side that no test has tried")
    return after.split("\n", 1)[1].rsplit("\n=", 1)[0].strip()


def test_it_is_the_same_with_one_process_and_with_two(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_suite=SUITE)
    pytester.makefile(".toml", downhaul=FILE)
    told = run_pytest_here(pytester, "--downhaul-report", "--downhaul-file=downhaul.toml")
    assert report_in(told) == EXPECTED

    pytester.makeini("[pytest]\ndownhaul_report = true")
    told = run_pytest(pytester, "-n", "2", "--downhaul-file=downhaul.toml", plugins=("xdist.plugin",))
    told.assert_outcomes(passed=8)
    assert report_in(told) == EXPECTED


def test_it_is_told_only_if_asked_for_and_only_if_there_are_flags(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_suite=SUITE, test_other="def test_other(): pass")
    assert "no test has tried" not in run_pytest_here(pytester, "test_suite.py").stdout.str()
    assert "no test has tried" not in run_pytest_here(pytester, "test_other.py", "--downhaul-report").stdout.str()


@pytest.mark.parametrize(
    ("tried", "sentence"),
    [
        ({"true": 1}, "a: never off (on in 1 test)"),
        ({"false": 2, "true": 1}, None),
        ({"1": 2}, "a: never anything but 1 (1 in 2 tests)"),
        ({"1": 2, "2": 1}, None),
        ({}, "a: never evaluated"),
    ],
)
def test_what_counts_as_a_side_where_the_file_does_not_tell(tried: dict[str, int], sentence: str | None) -> None:
    assert list(missing({"a": tried}, {})) == ([sentence] if sentence else [])


def test_a_file_that_is_wrong_ends_the_run_at_once(pytester: pytest.Pytester) -> None:
    pytester.makefile(".toml", downhaul="[flags]\na.b = 1\n")
    pytester.makepyfile("def test_one(): pass")
    told = run_pytest_here(pytester, "--downhaul-file=downhaul.toml")
    assert told.ret == pytest.ExitCode.USAGE_ERROR
    told.stderr.fnmatch_lines(["ERROR: */downhaul.toml: flags.a.b: unknown field; expected *value = {...}"])
