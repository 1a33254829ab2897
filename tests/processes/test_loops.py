"""Programs with a loop of their own: gevent's, asyncio's. What the SDK does must never hold it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.house import Household, running
from support.server import Server
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]

SILENCE_S = 3.0
HELD_S = 1.5
"""A loop that waits for the service is held for as long as that is silent; a busy machine holds it for far less."""


def test_a_program_that_gevent_has_patched(household: Callable[[], Household], tmp_path: Path) -> None:
    shop, output = household(), tmp_path / "output"
    with running([sys.executable, "patched.py"], shop.environ, output, stdin=subprocess.PIPE) as process:
        wait_until(lambda: process.pid in shop.live(), "it is in the fleet", 30)

        killed = shop.kill()

        assert process.stdin is not None and killed["confirmed"] and killed["instances"] == 1, killed
        process.stdin.close()
        assert process.wait(10) == 0, output.read_text("utf-8", "replace")
        assert output.read_text("utf-8").split("\n")[:3] == [f"{process.pid} on", f"{process.pid} off", "ticking"]
    shop.nobody_is_left()


def test_a_loop_of_asyncio_is_never_held_by_a_change_nor_by_a_service_that_hangs(
    household: Callable[[], Household], house: Server, tmp_path: Path
) -> None:
    shop, output = household(), tmp_path / "errors"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with running([sys.executable, "loop.py"], shop.environ, output, **pipes) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == f"{process.pid} on\n", output.read_text("utf-8")
        wait_until(lambda: process.pid in shop.live(), "it is in the fleet")
        everybody = list(house.processes())
        try:
            for pid in everybody:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(SILENCE_S)  # not to wait for something, but to let the service be silent for so long
        finally:
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)

        killed = shop.kill()

        assert killed["confirmed"], killed
        assert process.stdout.readline() == f"{process.pid} off\n"
        process.stdin.write("\n")
        process.stdin.flush()
        assert float(process.stdout.readline()) < HELD_S
        assert process.wait(10) == 0
