"""The same without pytest: `FlagsMixin`, and `both` as a loop of subtests. Also where pytest runs such classes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.suites import run_pytest, run_unittest

pytest_plugins = ["pytester"]

SUITE = """
import asyncio
import sys
import unittest
from downhaul import flags as live
from downhaul.testing import FlagsMixin, both, isolated

class Base(FlagsMixin, unittest.TestCase):
    flag_values = {"base": True, "level": "base"}

class Checkout(Base):
    flag_values = {"level": "class", "payments/limit": 3}

    def setUp(self):  # without super
        self.at_first = live.value("level")

    def tearDown(self):
        assert live.value("level") in ("class", "test")

    def test_values(self):
        self.assertEqual((self.at_first, live.enabled("base"), live.value("payments/limit")), ("class", True, 3))
        self.flags.set(level="test")
        self.assertEqual(live.value("level"), "test")

    def test_values_are_gone_in_the_next(self):
        self.assertEqual(live.value("level"), "class")
        self.assertEqual(live.string("nowhere", default="x"), "x")

    @both("new-checkout")
    def test_each_side(self):
        print("SIDE", live.value("new-checkout"), live.value("level"))

    @both("a")
    @both("b")
    def test_decorators_combine(self):
        print("PAIR", live.value("a"), live.value("b"))

    @both(colour=["red", "blue"])
    def test_a_side_that_fails(self):
        self.assertEqual(live.value("colour"), "blue")

class Tasks(Base, unittest.IsolatedAsyncioTestCase):
    @both("new-checkout")
    async def test_coroutines(self):
        print("TASK", await asyncio.to_thread(live.value, "new-checkout"), live.enabled("base"))

@both("new-checkout")
class Sides(unittest.TestCase):
    def test_without_the_mixin(self):
        print("BARE", live.value("new-checkout"))

@isolated(base=True)
class Block(unittest.TestCase):
    def test_decorated(self):
        self.assertTrue(live.enabled("base"))

class Strict(Base):
    flags_strict = True

    def test_declared(self):
        live.enabled("base")

    def test_undeclared(self):
        live.enabled("new-checkout", default=True)

class File(FlagsMixin, unittest.TestCase):
    flags_file = "downhaul.toml"
    flags_strict = True

    def test_known(self):
        self.assertEqual((live.enabled("in-the-file"), live.value("size")), (True, 3))

    @both("colour")
    def test_each_variant(self):
        print("VARIANT", live.value("colour"))
"""

FILE = '[flags]\nin-the-file = true\nsize = 3\ncolour = {variants = {red = "#f00", blue = "#00f"}}\n'
PRINTED = {
    "PAIR": ["True True", "True False", "False True", "False False"],
    "SIDE": ["True class", "False class"],
    "TASK": ["True True", "False True"],
    "BARE": ["True", "False"],
    "VARIANT": ["#f00", "#00f"],
}


def printed(told: str, word: str) -> list[str]:
    return re.findall(rf"\b{word} (.*)", told)


def test_unittest_alone(tmp_path: Path) -> None:
    (tmp_path / "downhaul.toml").write_text(FILE)
    program = "\nimport atexit; atexit.register(lambda: print('PYTEST', 'pytest' in sys.modules))\n"
    told = run_unittest(tmp_path, SUITE + program)
    assert "Ran 12 tests" in told and "FAILED (failures=2)" in told, told
    assert "FAIL: test_a_side_that_fails (test_users.Checkout.test_a_side_that_fails) (colour='red')" in told
    assert "FAIL: test_undeclared" in told and "new-checkout, evaluated at test_users.py:" in told
    assert "self.flags.set(...) in unittest" in told
    assert "PYTEST False" in told
    for word, values in PRINTED.items():
        assert printed(told, word) == values


MARKED = """
import pytest

class Marked(Base):
    @pytest.mark.flags(new_checkout=True)
    @pytest.mark.downhaul_strict
    def test_marked(self):
        self.flags.set(level="test")
        self.assertTrue(live.enabled("new-checkout") and live.enabled("base"))
        self.assertEqual(live.value("level"), "test")

    @pytest.mark.downhaul_strict
    def test_marked_strict(self):
        live.enabled("other")

@pytest.mark.flags(new_checkout=True)
class Plain(unittest.TestCase):
    def test_without_the_mixin(self):
        self.assertTrue(live.enabled("new-checkout"))
"""


def test_pytest_runs_such_classes_and_its_marks_count_in_them(pytester: pytest.Pytester) -> None:
    pytester.makefile(".toml", downhaul=FILE)
    pytester.makepyfile(test_users=SUITE + MARKED)
    told = run_pytest(pytester, "-s", "-v", "--downhaul-report")
    assert told.parseoutcomes() == {"passed": 13, "failed": 3, "subtests": 15}
    text = told.stdout.str()
    for word, values in PRINTED.items():
        assert printed(text, word) == values
    told.stdout.fnmatch_lines_random(
        [
            "*FAILED*Checkout::test_a_side_that_fails*",
            "*FAILED*Strict::test_undeclared*",
            "*FAILED*Marked::test_marked_strict*",
            "size: never anything but 3 (3 in 1 test)",
        ]
    )
