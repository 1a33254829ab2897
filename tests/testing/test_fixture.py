"""The fixture `flags` and the marks, as the tests of a user see them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from downhaul import flags as live
from downhaul.testing import IsolatedFlags
from support.suites import run_pytest, run_pytest_here

pytest_plugins = ["pytester"]

ISOLATED = """
import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from downhaul import flags as live

pool = ThreadPoolExecutor(1)
pool.submit(int).result()  # its thread is there before any test is


def test_what_a_test_sets_is_in_force(flags):
    assert live.enabled("new-checkout") is False
    flags.set(new_checkout=True, colour="red")
    assert live.enabled("new-checkout") is flags.enabled("new-checkout") is True
    assert live.value("colour", default="blue") == "red"
    with flags.override(new_checkout=False):
        assert live.enabled("new-checkout") is False
    assert live.enabled("new-checkout") is True

def test_the_next_test_knows_nothing_of_it(flags):
    assert live.enabled("new-checkout") is False
    assert live.value("colour", default="blue") == "blue"

def test_threads_see_it_also_those_that_were_there_before(flags):
    flags.set(new_checkout=True)
    assert pool.submit(live.enabled, "new-checkout").result() is True
    seen = []
    thread = threading.Thread(target=lambda: seen.append(live.enabled("new-checkout")))
    thread.start()
    thread.join()
    assert seen == [True]

def test_a_thread_that_outlives_a_test_has_nothing_of_it(flags):
    assert pool.submit(live.enabled, "new-checkout").result() is False

@pytest.mark.anyio
async def test_coroutines_and_their_tasks_see_it(flags):
    flags.set(new_checkout=True)
    one, two = await asyncio.gather(asyncio.to_thread(live.enabled, "new-checkout"), later())
    assert one is two is True

async def later():
    return live.enabled("new-checkout")

@pytest.fixture
def anyio_backend():
    return "asyncio"

def test_blocks_around_the_fixture_are_not_seen_inside(request):
    with live.override(outer=True):
        flags = request.getfixturevalue("flags")
        assert live.enabled("outer") is False
        flags.set({"a/b": True})
        assert flags.explain("a/b").reason == "OVERRIDE"
        assert flags.details("a/b").value is True

told = []

def test_listeners_are_gone_after_the_test(flags):
    flags.on_evaluation(lambda details, context: told.append(details.flag))
    live.enabled("heard")
    assert told == ["heard"]

def test_so_they_hear_nothing_of_the_next(flags):
    live.enabled("unheard")
    assert told == ["heard"]

def test_what_would_end_the_client_is_no_call_for_a_test(flags):
    with pytest.raises(AttributeError, match="'configure' is no call for a test"):
        flags.configure(url="http://x")

@pytest.fixture
def shop(new_shop=True):
    return "new" if live.enabled("new-shop") else "old"

@pytest.mark.flags(new_shop=True)
def test_a_mark_needs_no_fixture_and_counts_in_fixtures(shop):
    assert shop == "new" and live.enabled("new-checkout", default=True) is True

def test_without_mark_and_fixture_nothing_is_isolated():
    with live.override(new_checkout=True):
        assert live.enabled("new-checkout")
"""

MARKED = """
import pytest
from downhaul import flags as live

pytestmark = pytest.mark.flags(level="module", here=True)

def test_module():
    assert (live.value("level"), live.enabled("here")) == ("module", True)

@pytest.mark.flags(level="function")
@pytest.mark.flags({"payments/new-ledger": True, "a.b": 1}, level="nearest")
def test_function():
    assert (live.value("level"), live.enabled("here")) == ("nearest", True)
    assert (live.enabled("payments/new-ledger"), live.value("a.b")) == (True, 1)

@pytest.mark.flags(level="base")
class Base:
    def check(self, level):
        assert (live.value("level"), live.enabled("here")) == (level, True)

@pytest.mark.flags(level="class")
class TestClass(Base):
    def test_class(self):
        self.check("class")

    @pytest.mark.flags(level="method")
    def test_method(self):
        self.check("method")

    @pytest.mark.flags(level="method")
    @pytest.mark.parametrize("level", ["method", pytest.param("case", marks=pytest.mark.flags(level="case"))])
    def test_case(self, level):
        self.check(level)

    @pytest.mark.flags(level="method")
    def test_set_in_the_test(self, flags):
        flags.set(level="set")
        self.check("set")
"""


def test_flags_are_isolated_for_each_test_and_marks_nest(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pytester.makefile(".json", overrides='{"new-checkout": true}')
    pytester.makepyfile(test_isolated=ISOLATED, test_marked=MARKED)
    monkeypatch.setenv("DOWNHAUL_OVERRIDES", str(file))
    told = run_pytest(pytester, "--strict-markers", "-k", "not without", plugins=("anyio.pytest_plugin",))
    told.assert_outcomes(passed=17, deselected=1)

    monkeypatch.delenv("DOWNHAUL_OVERRIDES")
    run_pytest(pytester, "-k", "without").assert_outcomes(passed=1, deselected=17)


def test_a_wrong_mark_fails_its_test_and_says_what_was_expected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_one="import pytest\n@pytest.mark.flags('new-checkout')\ndef test_values(): pass",
        test_two="import pytest\n@pytest.mark.downhaul_strict('yes')\ndef test_strict(): pass",
    )
    told = run_pytest_here(pytester, "--continue-on-collection-errors")
    told.assert_outcomes(errors=2)
    told.stdout.fnmatch_lines(
        [
            "*pytest.mark.flags takes keywords, or a dict of flags and values, not 'new-checkout'*",
            "*pytest.mark.downhaul_strict takes True (the default) or False*",
        ]
    )


def test_a_test_has_every_call_that_makes_sense_in_it(flags: IsolatedFlags) -> None:
    calls = {name for name in live.__all__ if name.islower()} - {"client", "close", "configure"}
    assert {name for name in calls if not callable(getattr(flags, name))} == set()


def test_the_plugin_loads_nothing_before_it_is_asked() -> None:
    program = "import sys, downhaul.testing.plugin; print('downhaul.flags' in sys.modules, 'requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False False\n"


def test_without_pytest_there_is_no_need_for_it() -> None:
    program = "import sys, downhaul.testing; print('pytest' in sys.modules, 'downhaul.client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False False\n"
