"""The pytest plugin, as the tests of a user see it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

USERS_TESTS = """
from downhaul import flags as real

def test_both_sides(flags):
    assert real.enabled("new-checkout") is False
    flags.set(new_checkout=True, colour="red")
    assert real.enabled("new-checkout") is flags.enabled("new-checkout") is True
    assert real.value("colour", default="blue") == "red"
    with flags.override(new_checkout=False):
        assert real.enabled("new-checkout") is False

def test_the_next_test_knows_nothing_of_it(flags):
    assert real.enabled("new-checkout") is False
    assert real.value("colour", default="blue") == "blue"

def test_what_is_overridden_outside_is_not_seen_inside(request):
    with real.override(outer=True):
        flags = request.getfixturevalue("flags")
        assert real.enabled("outer") is False
        flags.set({"a/b": True})
        assert flags.explain("a/b").reason == "OVERRIDE"

def test_without_the_fixture_overrides_work_too():
    with real.override(new_checkout=True):
        assert real.enabled("new-checkout")
"""


def run_users_tests(folder: Path, *arguments: str, **environment: str) -> str:
    """What pytest says of them. Without the plugins of this project's own tests, which take long to load."""
    (folder / "test_users.py").write_text(USERS_TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "downhaul.testing", *arguments]
    settings = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
    result = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=60, check=False)
    return result.stdout + result.stderr


def test_flags_are_isolated_for_each_test(tmp_path: Path) -> None:
    (tmp_path / "overrides.json").write_text('{"new-checkout": true}')
    told = run_users_tests(tmp_path, "-k", "not without", DOWNHAUL_OVERRIDES=str(tmp_path / "overrides.json"))
    assert "3 passed" in told, told


def test_overrides_need_no_fixture(tmp_path: Path) -> None:
    told = run_users_tests(tmp_path)
    assert "4 passed" in told, told


def test_the_plugin_loads_nothing_before_it_is_asked() -> None:
    program = "import sys, downhaul.testing; print('downhaul.flags' in sys.modules, 'downhaul.client' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert result.stdout == "False False\n"
