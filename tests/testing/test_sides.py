"""Both sides of a flag: which tests pytest makes of one, and what each of them sees."""

from __future__ import annotations

import pytest
from downhaul.testing import both, isolated
from support.suites import run_pytest, run_pytest_here

pytest_plugins = ["pytester"]

SUITE = """
import pytest
from downhaul import flags as live
from downhaul.testing import both

def seen(*names):
    print("SEEN", *(live.value(name) for name in names))

@both("new-checkout")
def test_one():
    seen("new-checkout")

@live.both("new-checkout")
@live.both("payments/new-ledger", button_colour=["red", "blue"])
def test_several(flags):
    seen("new-checkout", "payments/new-ledger", "button-colour")

@both({"limits": [0, {"items": 3}]})
def test_values_of_any_type():
    seen("limits")

@both("new-checkout")
class TestClass:
    def test_in_class(self):
        seen("new-checkout")

    @pytest.mark.flags(new_checkout=True)
    def test_pinned(self):
        seen("new-checkout")

    @both(new_checkout=[True])
    def test_narrowed(self):
        seen("new-checkout")

    @pytest.mark.parametrize("x", [1, 2])
    def test_with_parameters(self, x):
        seen("new-checkout")

def test_inside_of_one_test(flags):
    found = [(sides["a"], live.enabled("a"), live.value("b-c")) for sides in flags.both("a", b_c=[1, 2])]
    assert found == [(True, True, 1), (True, True, 2), (False, False, 1), (False, False, 2)]
    assert live.enabled("a") is False and live.value("b-c") is None

def test_inside_of_one_test_that_breaks_off(flags):
    try:
        for sides in flags.both("a"):
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass

def test_after_it(flags):
    assert live.enabled("a") is False
"""

MODULE = """
from downhaul import flags as live
from downhaul.testing import both

pytestmark = [both("new-checkout")]

def test_module():
    print("SEEN", live.value("new-checkout"))
"""

BY_FILE = """
from downhaul.testing import both

@both("colour")
def test_variants(flags):
    print("SEEN", flags.value("colour"), flags.variant("colour"))

@both("size")
def test_size(): pass
"""


def test_a_test_runs_on_each_side(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_suite=SUITE, test_module=MODULE)
    told = run_pytest(pytester, "-v", "-s")
    told.assert_outcomes(passed=25)
    text = told.stdout.str()
    for name, values in {
        "test_one[new-checkout:on]": "True",
        "test_one[new-checkout:off]": "False",
        "test_several[new-checkout:on,payments/new-ledger:off,button-colour:blue]": "True False blue",
        "test_several[new-checkout:off,payments/new-ledger:on,button-colour:red]": "False True red",
        'test_values_of_any_type[limits:{"items": 3}]': "{'items': 3}",
        "test_in_class[new-checkout:off]": "False",
        "test_pinned": "True",
        "test_narrowed[new-checkout:on]": "True",
        "test_module[new-checkout:off]": "False",
    }.items():
        assert f"{name} SEEN {values}\n" in text, name
    assert text.count("test_several[") == 8 and text.count("test_with_parameters[") == 4
    assert text.count("test_narrowed") == text.count("test_pinned") == 1

    run_pytest_here(pytester, "-k", "new-checkout:off and several").assert_outcomes(passed=4, deselected=21)


def test_the_sides_of_a_flag_in_the_file_are_its_variants(pytester: pytest.Pytester) -> None:
    pytester.makefile(
        ".toml", downhaul='[flags]\nsize = 3\n[flags.colour]\nvariants = {red = "#f00", blue = "#00f", none = ""}\n'
    )
    pytester.makeini("[pytest]\ndownhaul_file = downhaul.toml")
    pytester.makepyfile(test_suite=BY_FILE)
    told = run_pytest_here(pytester, "-v", "-s")
    told.assert_outcomes(errors=1)
    told.stdout.fnmatch_lines(
        ["*size has but one value in the file of flags: name its sides, both({'size': [[]...]})*"]
    )

    pytester.makepyfile(test_suite=BY_FILE.split('@both("size")')[0])
    told = run_pytest_here(pytester, "-v", "-s")
    told.assert_outcomes(passed=3)
    told.stdout.fnmatch_lines(["*colour:#f00? SEEN #f00 red", "*colour:#00f? SEEN #00f blue", "*colour:? SEEN  none"])


@pytest.mark.parametrize(
    ("arguments", "keywords", "words"),
    [
        ((), {}, "needs a flag"),
        ((1,), {}, "takes names of flags"),
        ((), {"colour": "red"}, "takes a list of values for colour, not 'red'"),
        (({"colour": []},), {}, "takes a list of values for colour"),
    ],
)
def test_what_is_no_side_is_refused(arguments: tuple[object, ...], keywords: dict[str, str], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        both(*arguments, **keywords)  # type: ignore[arg-type]


def test_outside_of_a_test_there_is_nothing_to_iterate_over() -> None:
    with pytest.raises(RuntimeError, match="where flags are isolated"):
        list(both("a"))
    with isolated():
        assert [sides["a"] for sides in both("a")] == [True, False]
