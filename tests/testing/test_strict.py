"""The strict mode: a test that evaluates a flag to which it gave no value fails, and says which and how to give one."""

from __future__ import annotations

import threading

import pytest
from downhaul import flags as live
from downhaul.testing import UndeclaredFlagError, isolated
from support.suites import run_pytest, run_pytest_here

pytest_plugins = ["pytester"]

SUITE = """
import threading
import pytest
from downhaul import flags as live

def checkout():
    try:
        return live.enabled("new-checkout", default=True)  # line 7
    except BaseException:
        return False

def test_undeclared():
    checkout()

@pytest.mark.flags(new_checkout=False)
def test_declared_by_a_mark():
    assert checkout() is False

def test_declared_in_the_test(flags):
    flags.set(new_checkout=True)
    with live.override(other="x"):
        assert checkout() and live.value("other") == "x"

def test_in_a_thread():
    thread = threading.Thread(target=lambda: live.value("payments/limit", default=3))
    thread.start()
    thread.join()

@pytest.mark.anyio
async def test_in_a_coroutine():
    checkout()

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture
def shop():
    checkout()
    yield
    live.enabled("at-the-end")

def test_in_a_fixture(shop):
    pass

def test_that_fails_anyway():
    assert checkout() == "something else"

def test_of_another_type(flags):
    flags.set(new_checkout="yes")
    checkout()

@pytest.mark.xfail(strict=True)
def test_expected_to_fail():
    checkout()

@pytest.mark.downhaul_strict(False)
def test_allowed():
    checkout()

def test_declared_in_the_file():
    assert live.enabled("in-the-file") is True

def test_one_typed_wrong(flags):
    flags.set(new_chekout=True)
    checkout()
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_shop=SUITE)
    pytester.makefile(".toml", downhaul="[flags]\nin-the-file = true\n")
    return pytester


def test_an_undeclared_flag_fails_the_test_that_evaluates_it(suite: pytest.Pytester) -> None:
    suite.makeini("[pytest]\ndownhaul_strict = true\ndownhaul_file = downhaul.toml")
    told = run_pytest(suite, "-rA", plugins=("anyio.pytest_plugin",))
    told.assert_outcomes(passed=4, failed=7, errors=1, xfailed=1)
    told.stdout.fnmatch_lines_random(
        [
            "FAILED test_shop.py::test_undeclared - Failed: flags were evaluated*",
            "FAILED test_shop.py::test_in_a_thread *",
            "FAILED test_shop.py::test_in_a_coroutine *",
            "FAILED test_shop.py::test_in_a_fixture *",
            "FAILED test_shop.py::test_one_typed_wrong *",
            "ERROR test_shop.py::test_in_a_fixture *",
            "PASSED test_shop.py::test_allowed",
            "  new-checkout, evaluated at test_shop.py:7",
            "  @pytest.mark.flags(new_checkout=True)",
            "  flags.set(new_checkout=True) in the test, with the fixture `flags`*",
            "  @pytest.mark.flags({'payments/limit': 3})",
            "  at-the-end, evaluated at test_shop.py:*",
            "flags have values of another type than the code asks for:",
        ]
    )
    failure = told.stdout.str().split("def test_that_fails_anyway")[1].split("_ test_of_another_type _")[0]
    assert "something else" in failure and "new-checkout, evaluated at test_shop.py:7" in failure


def test_it_is_switched_on_by_an_option_or_for_one_test_by_a_mark(suite: pytest.Pytester) -> None:
    command = ("--downhaul-strict", "--downhaul-file", "downhaul.toml", "-k", "undeclared or the_file or allowed")
    run_pytest_here(suite, *command).assert_outcomes(passed=2, failed=1, deselected=9)
    suite.makepyfile(
        test_shop=SUITE.replace("def test_undeclared", "@pytest.mark.downhaul_strict\ndef test_undeclared")
    )
    run_pytest_here(suite, "-k", "undeclared or typed_wrong").assert_outcomes(passed=1, failed=1, deselected=10)


def test_a_block_complains_when_it_is_left() -> None:
    block = isolated(strict=True)
    block.__enter__()
    thread = threading.Thread(target=live.enabled, args=("new-checkout",))
    thread.start()
    thread.join()
    live.value("colour", default="blue")
    with pytest.raises(UndeclaredFlagError, match=r"(?s)colour, evaluated at .*test_strict.py:.*new-checkout, eval"):
        block.__exit__(None, None, None)

    with isolated(new_checkout=True, strict=True) as flags:
        assert live.enabled("new-checkout")
        flags.check()


def test_a_block_that_is_left_by_an_error_adds_its_complaint_to_it() -> None:
    @isolated(strict=True)
    def failing() -> None:
        live.enabled("new-checkout")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        failing()
    assert "new-checkout" in "".join(caught.value.__notes__)


def test_a_decorated_function_has_a_block_for_each_call() -> None:
    @isolated({"new-checkout": True}, strict=True)
    def fine() -> bool:
        return live.enabled("new-checkout")

    @isolated(strict=True)
    def undeclared() -> bool:
        return live.enabled("new-checkout")

    assert fine() is fine() is True
    for _ in range(2):
        with pytest.raises(UndeclaredFlagError):
            undeclared()
