"""Programs that tests of deploy/ need: beside Python, or on PATH."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def tool(name: str, how: str) -> str:
    """Where it is. Without it: skips the test on a laptop, fails it in CI. `how`: what installs it."""
    found = shutil.which(name, path=os.pathsep.join([str(BIN), os.environ.get("PATH", ""), "/usr/sbin"]))
    if found:
        return found
    message = f"NO {name.upper()}: this test needs {name} ({how} installs one)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
