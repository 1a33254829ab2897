"""Requests that schemathesis makes of our documents, in processes of their own.

It makes a test of each operation while tests are collected, which takes seconds; here each process of pytest-xdist
would take them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize("module", ["api.py", "ofrep.py"])
def test_no_answer_is_undocumented_and_no_wrong_request_is_taken(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", HERE / module, "-q", "-p", "no:xdist", "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        timeout=380,
        cwd=HERE.parents[1],
    )
    assert done.returncode == 0, done.stdout + done.stderr
