"""The tests of a user, run as the user runs them: by a pytest, or a unittest, of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_pytest(pytester: pytest.Pytester, *arguments: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
    """In a process of its own. Without the plugins of this project's tests, which take long to load."""
    pytester.plugins = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        named = [part for each in ("downhaul.testing.plugin", *plugins) for part in ("-p", each)]
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *named, *arguments, timeout=100)


def run_unittest(folder: Path, code: str) -> str:
    """What `python -m unittest` says of these tests."""
    (folder / "test_users.py").write_text(code)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "unittest", "-v", "test_users"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    return done.stdout + done.stderr
