"""`downhaul-server recover`: an operator decides, and the running server takes over what was decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from downhaul_server.store import keys
from support.redis import RealRedis
from support.server import Server, command, environment
from support.waiting import wait_until

pytestmark = pytest.mark.redis


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


def test_what_the_server_remembers_is_written_into_the_empty_redis(diverged: Server) -> None:
    ended = command("recover", "--from", "checkpoint", "--reason", "disk lost", "--yes", environ=diverged.environ)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("Epoch ")
    wait_until(
        lambda: diverged.call("POST", "/api/v1/services", {"key": "later"}).status_code in (201, 409), "it takes over"
    )
    assert diverged.call("GET", "/api/v1/services/shop").status_code == 200


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
