"""`downhaul-server backup` and `restore`, as somebody types them: what they refuse, and what they ask."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from downhaul_server.cli import main
from downhaul_server.settings import Settings
from downhaul_server.store import Store
from support.guides import blocks
from support.redis import RealRedis
from support.server import environment
from support.typed import environment as terminal_environment

pytestmark = pytest.mark.redis

Typed = Callable[..., Result]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RealRedis]:
    """With a store in it."""
    redis = RealRedis(tmp_path / "redis").start()
    (folder := tmp_path / "first").mkdir()
    Store.open(Settings(data_dir=folder), redis_url=redis.url).close()
    yield redis
    redis.kill()


@pytest.fixture
def typed(redis: RealRedis, data_dir: Path) -> Typed:
    """Types it, with the settings of a server."""
    environ = environment(data_dir, DOWNHAUL_REDIS_URL=redis.url)
    return lambda *words, answer=None: CliRunner(env=environ).invoke(main, list(map(str, words)), input=answer)


@pytest.fixture
def file(typed: Typed, tmp_path: Path) -> Path:
    path = tmp_path / "backup.gz"
    ended = typed("backup", path)
    assert ended.exit_code == 0, ended.output
    assert "2 documents at revision 1" in ended.output
    return path


def epoch(redis: RealRedis) -> bytes | None:
    with redis.client() as client:
        return client.hget("{downhaul}:meta", "epoch")  # type: ignore[return-value]


def test_a_file_that_is_there_is_not_written_over_unasked(typed: Typed, file: Path) -> None:
    before = file.read_bytes()
    ended = typed("backup", file)
    assert (ended.exit_code, file.read_bytes()) == (1, before)
    assert "is there already" in ended.output
    ended = typed("backup", file, "--force", "--json")
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.output)["revision"] == 1


def test_the_line_for_cron_makes_one_every_night(redis: RealRedis, data_dir: Path, tmp_path: Path) -> None:
    """docs/operations.md, carried out as cron does: by sh, and a `%` with a backslash is one."""
    (line,) = blocks("docs/operations.md", "text")
    *fields, command = line.text.strip().split(None, 5)
    assert all(re.fullmatch(r"\*|\d+", field) for field in fields) and len(fields) == 5
    here = command.replace("\\%", "%").replace("/backups", str(tmp_path))
    environ = environment(data_dir, DOWNHAUL_REDIS_URL=redis.url, PATH=terminal_environment()["PATH"])
    for _ in range(2):
        subprocess.run(["sh", "-c", here], env=environ, capture_output=True, check=True, timeout=60)
    (made,) = tmp_path.glob("downhaul-*.gz")
    assert re.fullmatch(r"downhaul-[1-7]\.gz", made.name) and made.stat().st_size


def test_a_restore_goes_into_an_empty_redis_when_it_is_said_yes_to(typed: Typed, file: Path, redis: RealRedis) -> None:
    with redis.client() as client:
        client.flushall()
    ended = typed("restore", file, "--reason", "lost", answer="n\n")
    assert ended.exit_code == 1 and epoch(redis) is None
    ended = typed("restore", file, "--reason", "lost", answer="y\n")
    assert ended.exit_code == 0, ended.output
    assert "begins at revision 2 with 2 documents" in ended.output
    assert epoch(redis) is not None


def test_a_living_store_is_replaced_only_by_a_word(typed: Typed, file: Path, redis: RealRedis) -> None:
    before = epoch(redis)
    ended = typed("restore", file, "--reason", "because", "--yes")
    assert (ended.exit_code, epoch(redis)) == (1, before)
    assert "back that up first, and say --replace" in ended.output
    ended = typed("restore", file, "--reason", "because", "--replace", "--yes", "--json")
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.output)["replaced"] == (before or b"").decode()
    assert epoch(redis) != before


def test_a_file_can_be_checked_without_a_redis(typed: Typed, file: Path, redis: RealRedis) -> None:
    redis.stop()
    assert typed("restore", file, "--check").exit_code == 0
    file.write_bytes(file.read_bytes()[:-20])
    ended = typed("restore", file, "--check")
    assert ended.exit_code == 1
    assert "is not whole" in ended.output


def test_a_restore_needs_a_reason(typed: Typed, file: Path) -> None:
    ended = typed("restore", file, "--yes")
    assert ended.exit_code == 2
    assert "needs a --reason" in ended.output


def test_what_cannot_be_reached_is_a_sentence(typed: Typed, file: Path, redis: RealRedis) -> None:
    redis.stop()
    for words in (("backup", file, "--force"), ("restore", file, "--reason", "lost", "--yes")):
        ended = typed(*words)
        assert ended.exit_code == 1
        assert "Redis does not answer" in ended.output and "Traceback" not in ended.output
