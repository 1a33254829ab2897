"""The tests of a user, run as the user runs them: by a pytest, or a unittest, of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# pytester forgets what a run in this process was the first to load: there would be a second copy of the engine.
import downhaul.flags
import downhaul.local.reading
import downhaul.tables
import downhaul.testing.plugin  # noqa: F401
import pytest


def run_pytest(pytester: pytest.Pytester, *arguments: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
    """In a process of its own. Without the plugins of this project's tests, which take long to load."""
    with _alone() as patch:
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        return pytester.runpytest_subprocess(*_options(*plugins), *arguments, timeout=100)


def run_pytest_here(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """In this very process, which takes a tenth of the time: for what needs no process of its own."""
    with _alone():
        return pytester.runpytest_inprocess(*_options(), *arguments)


@contextmanager
def _alone() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        yield patch


def _options(*plugins: str) -> list[str]:
    named = [part for each in ("downhaul.testing.plugin", *plugins) for part in ("-p", each)]
    return ["-p", "no:cacheprovider", *named]


def run_unittest(folder: Path, code: str) -> str:
    """What `python -m unittest` says of these tests."""
    (folder / "test_users.py").write_text(code)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "unittest", "-v", "test_users"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    return done.stdout + done.stderr
