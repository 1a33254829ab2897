"""`downhaul-server check`: beside a running server, without one, and with what is wrong."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest
from support.redis import RealRedis, free_port
from support.server import Server, command, environment

pytestmark = pytest.mark.redis


def levels(report: str) -> dict[str, str]:
    """Subject -> level; of several lines the last."""
    found: dict[str, Any] = json.loads(report)
    return {finding["subject"]: finding["level"] for finding in found["findings"]}


def test_a_fresh_machine_passes(data_dir: Path) -> None:
    ended = command("check", environ=environment(data_dir, DOWNHAUL_BIND=f"127.0.0.1:{free_port()}"))
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.splitlines()[-1] == "ok       log          Redis is empty: the first start makes a new store"


def test_beside_a_running_server_the_log_is_verified(lasting_server: Server) -> None:
    lasting_server.made("services", {"key": "checked"})
    ended = command("check", "--json", environ=lasting_server.environ)
    assert ended.returncode == 0, ended.stdout
    assert levels(ended.stdout)["address"] == "ok"
    assert "hash chain is whole up to revision" in ended.stdout
    assert lasting_server.get("/readyz") == 200


def test_without_a_server_the_embedded_redis_is_started_for_the_check(data_dir: Path) -> None:
    with Server(data_dir, DOWNHAUL_WORKERS="1") as server:
        server.made("services", {"key": "shop"})
    ended = command("check", environ=server.environ)
    assert ended.returncode == 0, ended.stdout
    assert "hash chain is whole" in ended.stdout
    assert not server.processes()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (1024, "warning  limits       a process may open 1024 files only, so a worker holds about 768 connections"),
        (
            8192,
            "warning  limits       8192 open files a process: a worker holds 7936 connections, 5952 of them streams",
        ),
    ],
)
def test_few_open_files_are_a_warning_that_says_what_they_suffice_for(data_dir: Path, files: int, said: str) -> None:
    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    where = environment(data_dir, DOWNHAUL_BIND=f"127.0.0.1:{free_port()}")
    ended = command("check", environ=where, prepare=few_files)
    assert ended.returncode == 0, ended.stdout
    assert said in ended.stdout


def test_a_redis_that_promises_less_is_a_warning(data_dir: Path, tmp_path: Path) -> None:
    redis = RealRedis(tmp_path / "redis", "--appendonly", "no", "--maxmemory-policy", "allkeys-lru").start()
    try:
        where = environment(data_dir, DOWNHAUL_REDIS_URL=redis.url, DOWNHAUL_BIND=f"127.0.0.1:{free_port()}")
        ended = command("check", environ=where)
    finally:
        redis.stop()
    assert ended.returncode == 0
    assert "a crash loses acknowledged changes" in ended.stdout
    assert "may evict documents" in ended.stdout


def test_an_altered_log_is_a_problem(data_dir: Path, tmp_path: Path) -> None:
    redis = RealRedis(tmp_path / "redis").start()
    try:
        with Server(data_dir, DOWNHAUL_REDIS_URL=redis.url, DOWNHAUL_WORKERS="1") as server:
            server.made("services", {"key": "shop"})
            server.made("services", {"key": "search"})
        with redis.client() as client:
            client.xdel("{downhaul}:log", "2-0")
        ended = command("check", environ=server.environ)
    finally:
        redis.stop()
    assert ended.returncode == 1
    assert "problem  log          revision 2: missing from the log" in ended.stdout


def test_a_redis_that_does_not_answer_is_a_problem(data_dir: Path) -> None:
    where = environment(
        data_dir, DOWNHAUL_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0", DOWNHAUL_BIND=f"127.0.0.1:{free_port()}"
    )
    ended = command("check", environ=where)
    assert ended.returncode == 1
    assert "problem  redis        does not answer" in ended.stdout


def test_an_open_data_folder_and_a_short_token_are_warnings(data_dir: Path) -> None:
    data_dir.mkdir()
    data_dir.chmod(0o755)
    where = environment(data_dir, DOWNHAUL_ADMIN_TOKEN="letmein", DOWNHAUL_BIND=f"127.0.0.1:{free_port()}")
    ended = command("check", "--json", environ=where)
    assert ended.returncode == 0
    assert levels(ended.stdout)["data folder"] == levels(ended.stdout)["admin token"] == "warning"
    assert "letmein" not in ended.stdout
