"""Web servers that fork: flags are live in every worker, with no call by the user, and the server ends promptly."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.house import Household, answers, ends_promptly, listens, running
from support.redis import free_port
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]

BIN = Path(sys.executable).parent
WORKERS = 2


def gunicorn(port: int, *options: str) -> list[str]:
    bind = ["--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS), "--no-control-socket"]
    return [sys.executable, "-m", "gunicorn", "--preload", *bind, *options, "web:application"]


def uwsgi(port: int, *options: str) -> list[str]:
    bind = ["--http-socket", f"127.0.0.1:{port}", "--master", "--processes", str(WORKERS), "--die-on-term"]
    return [str(BIN / "uwsgi"), *bind, "--home", sys.prefix, "--wsgi-file", "web.py", *options]


SETUPS: dict[str, Callable[[int], list[str]]] = {
    "gunicorn sync": lambda port: gunicorn(port, "--worker-class", "sync"),
    "gunicorn gthread": lambda port: gunicorn(port, "--worker-class", "gthread", "--threads", "2"),
    "gunicorn gevent": lambda port: gunicorn(port, "--worker-class", "gevent"),
    "uwsgi": lambda port: uwsgi(port, "--enable-threads"),
    "uwsgi lazy-apps": lambda port: uwsgi(port, "--enable-threads", "--lazy-apps"),
}


@pytest.mark.parametrize("setup", SETUPS)
def test_every_worker_obeys_a_kill_and_the_server_ends_promptly(
    setup: str, household: Callable[[], Household], tmp_path: Path
) -> None:
    shop, port, output = household(), free_port(), tmp_path / "output"
    with running(SETUPS[setup](port), shop.environ, output) as process:
        wait_until(lambda: listens(port), f"{setup} answers: {output.read_text('utf-8', 'replace')[-2000:]}")
        wait_until(lambda: len(shop.live() - {process.pid}) == WORKERS, "every worker is in the fleet", 30)
        before = answers(port)
        assert set(before.values()) == {"on"}
        assert before.keys() <= shop.live() - {process.pid}

        killed = shop.kill()

        assert killed["confirmed"], (killed, output.read_text("utf-8", "replace"))
        assert killed["instances"] >= WORKERS
        assert set(answers(port).values()) == {"off"}
        assert ends_promptly(process, output) in (0, -15)
    shop.nobody_is_left()
