"""Waiting in tests: for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

PATIENCE_S = 45.0
"""Much longer than anything takes: machines that run tests may be busy with other things."""


def wait_until(condition: Callable[[], Any], what: str, timeout: float = PATIENCE_S) -> None:
    """Wait for a condition; fails the test, saying what it waited for."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout:.0f} s in vain: {what}")
        time.sleep(0.005)
