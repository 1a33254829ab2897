"""Programs that start processes of their own: Celery, multiprocessing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery
from support.house import Household, ends_promptly, running
from support.redis import RealRedis
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_celery_prefork(household: Callable[[], Household], tmp_path: Path) -> None:
    shop, output = household(), tmp_path / "output"
    redis = RealRedis(tmp_path / "redis").start()
    try:
        queue = Celery("test", broker=redis.url, backend=redis.url)
        command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "2"]
        environ = {**shop.environ, "BROKER": redis.url}
        with running(
            [*command, "--loglevel", "warning", "--without-gossip", "--without-mingle"], environ, output
        ) as it:
            children: set[int] = set()

            def ask() -> set[bool]:
                found = [task.get(timeout=20) for task in [queue.send_task("box") for _ in range(10)]]
                children.update(pid for pid, _ in found)
                return {on for _, on in found}

            wait_until(lambda: ask() == {True} and len(children) == 2 and children <= shop.live(), "both have it", 40)
            assert it.pid not in children

            killed = shop.kill()

            assert killed["confirmed"], (killed, output.read_text("utf-8", "replace"))
            assert killed["instances"] >= 3  # the master has imported the module as well
            assert ask() == {False}
            assert ends_promptly(it, output) == 0
        queue.close()
        shop.nobody_is_left()
    finally:
        redis.stop()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, household: Callable[[], Household], tmp_path: Path) -> None:
    shop, output = household(), tmp_path / "output"
    with running([sys.executable, "children.py", method], shop.environ, output) as process:

        def said(word: str) -> set[int]:
            lines = [line.split() for line in output.read_text("utf-8", "replace").splitlines()]
            return {int(line[0]) for line in lines if line[1:] == [word] and line[0].isdigit()}

        wait_until(lambda: len(said("on")) == 2, "both children have the flag", 30)
        wait_until(lambda: said("on") | {process.pid} <= shop.live(), "they and their parent are in the fleet")

        killed = shop.kill()

        assert killed["confirmed"], (killed, output.read_text("utf-8", "replace"))
        try:
            assert process.wait(10) == 0, output.read_text("utf-8", "replace")
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end: {output.read_text('utf-8', 'replace')}")
        assert said("off") == said("on")
    shop.nobody_is_left()
