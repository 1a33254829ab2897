"""`downhaul-server recover`: an operator decides, and the running server takes over what was decided."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from downhaul_server.store import keys
from support.guides import blocks
from support.redis import RealRedis
from support.server import Server, command, environment
from support.typed import environment as terminal_environment
from support.waiting import wait_until

pytestmark = pytest.mark.redis

MARK = "tried by tests/run/test_recovery.py"
GUIDE = [
    line.removeprefix("$ ")
    for block in blocks("docs/running.md", "console")
    if block.mark == MARK
    for line in block.text.splitlines()
]


def typed(line: str, server: Server, answer: str = "") -> subprocess.CompletedProcess[str]:
    """With the settings of a server, at its side."""
    environ = server.environ | {"PATH": terminal_environment()["PATH"]}
    return subprocess.run(["bash", "-c", line], input=answer, env=environ, capture_output=True, text=True, timeout=60)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RealRedis]:
    redis = RealRedis(tmp_path / "redis").start()
    yield redis
    redis.stop()


@pytest.fixture
def diverged(redis: RealRedis, data_dir: Path) -> Iterator[Server]:
    """A server that has served a service `shop`, and whose Redis has come back empty."""
    with Server(data_dir, DOWNHAUL_REDIS_URL=redis.url, DOWNHAUL_WORKERS="1") as server:
        server.made("services", {"key": "shop"})
        wait_until(lambda: '"service/shop"' in _saved(data_dir), "the checkpoint is written")
        with redis.client() as client:
            client.flushall()
        wait_until(lambda: server.get("/readyz") == 503, "it says that it has diverged")
        yield server


def test_whose_history_holds_is_decided_as_the_guide_says(diverged: Server, redis: RealRedis) -> None:
    """docs/running.md: first Redis has lost everything, then it is restored from a copy that is older."""
    check, from_checkpoint, from_redis = GUIDE
    looked = typed(check, diverged)
    assert looked.returncode == 1 and "Redis is empty, while this server has served" in looked.stdout

    decide(from_checkpoint, diverged)
    assert diverged.call("GET", "/api/v1/services/shop").status_code == 200

    with redis.client() as client:
        copy = {key: client.dump(key) for key in client.scan_iter()}
        diverged.made("services", {"key": "newer"})
        wait_until(lambda: '"service/newer"' in _saved(diverged.data_dir), "the checkpoint is written")
        at_once = client.pipeline(transaction=True)  # a server that looks meanwhile would write into what is not whole
        at_once.flushall()
        for key, value in copy.items():
            at_once.restore(key, 0, value)
        at_once.execute()
    wait_until(lambda: diverged.get("/readyz") == 503, "it says that it has diverged")
    decide(from_redis, diverged)
    assert diverged.call("GET", "/api/v1/services/shop").status_code == 200
    assert diverged.call("GET", "/api/v1/services/newer").status_code == 404


def decide(line: str, server: Server) -> None:
    """And wait until the running server has taken it over."""
    ended = typed(line, server, answer="y\n")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("Epoch ")
    wait_until(lambda: server.get("/readyz") == 200, "it takes over")


def test_it_asks_first_and_without_an_answer_does_nothing(diverged: Server, redis: RealRedis) -> None:
    ended = command("recover", "--from", "checkpoint", "--reason", "disk lost", environ=diverged.environ)
    assert ended.returncode == 1
    assert "Redis:   nothing" in ended.stderr
    with redis.client() as client:
        assert not client.exists(keys.META, keys.LOG, keys.DOCS)


def test_there_is_nothing_to_keep_in_an_empty_redis(diverged: Server) -> None:
    ended = command("recover", "--from", "redis", "--reason", "as it is", "--yes", environ=diverged.environ)
    assert ended.returncode == 1
    assert ended.stderr == ("downhaul-server: Redis is empty: there is nothing to keep; recover from the checkpoint\n")


def test_without_a_checkpoint_there_is_nothing_to_decide(redis: RealRedis, data_dir: Path) -> None:
    where = environment(data_dir, DOWNHAUL_REDIS_URL=redis.url)
    ended = command("recover", "--from", "checkpoint", "--reason", "because", "--yes", environ=where)
    assert ended.returncode == 1
    assert "there is no checkpoint" in ended.stderr


def _saved(data_dir: Path) -> str:
    path = data_dir / "checkpoint.json"
    return path.read_text("ascii") if path.exists() else ""
