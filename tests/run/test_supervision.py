"""The processes of a server: started again when they die, ended together, and never left behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest
import requests
from support.redis import RealRedis
from support.server import Server
from support.waiting import wait_until
from support.webserver import master_of, workers_of

pytestmark = pytest.mark.redis

STOP_S = 12.0
GRACE_S = 5.0
"""What a client that does not finish its request holds up an end in order."""


def pids(server: Server, name: str) -> list[int]:
    return [pid for pid, line in server.processes().items() if name in line]


def test_redis_that_is_killed_is_started_again_and_nothing_is_lost(lasting_server: Server) -> None:
    lasting_server.made("services", {"key": "before"})
    (redis,) = pids(lasting_server, "redis-server")
    os.kill(redis, signal.SIGKILL)
    wait_until(lambda: redis not in pids(lasting_server, "redis-server"), "Redis is gone")
    assert lasting_server.get("/livez") == 200
    wait_until(
        lambda: lasting_server.call("POST", "/api/v1/services", {"key": "after"}).status_code in (201, 409), "it writes"
    )
    assert lasting_server.call("GET", "/api/v1/services/before").status_code == 200
    assert lasting_server.get("/readyz") == 200


def test_a_web_server_that_is_killed_is_started_again(lasting_server: Server) -> None:
    web = master_of(lasting_server)
    os.kill(web, signal.SIGKILL)
    wait_until(
        lambda: web not in lasting_server.processes() and lasting_server.get("/readyz") == 200, "it serves again"
    )


def test_a_worker_that_is_killed_is_replaced(lasting_server: Server) -> None:
    wait_until(lambda: len(workers_of(lasting_server)) == 2, "there are two workers")
    first, *_ = workers_of(lasting_server)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: first not in lasting_server.processes(), "it is gone")
    wait_until(lambda: len(workers_of(lasting_server)) == 2, "there are two workers again")
    wait_until(lambda: lasting_server.get("/readyz") == 200, "it serves")


@pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux ends children with their parent")
def test_a_server_that_is_killed_leaves_no_process_behind_and_can_be_started_again(data_dir: Path) -> None:
    with Server(data_dir) as first:
        assert len(first.processes()) >= 5
        first.made("services", {"key": "shop"})
        first.send(signal.SIGKILL)
        with Server(data_dir, port=first.port) as second:
            assert second.call("GET", "/api/v1/services/shop").status_code == 200
        wait_until(lambda: not first.processes(), "every process is gone")


def test_a_signal_ends_everything_within_seconds(server: Server) -> None:
    with requests.Session() as idle:
        idle.get(f"{server.url}/livez", timeout=5)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < STOP_S
    assert not server.processes()
    assert "Traceback" not in server.output and '"error"' not in server.output


def test_a_client_that_never_finishes_its_request_does_not_hold_up_the_end(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /api/v1/services HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < STOP_S


def test_a_signal_that_arrives_twice_is_still_an_end_in_order(server: Server) -> None:
    server.send(signal.SIGTERM)
    server.send(signal.SIGTERM)
    assert server.stop() == 0


def test_a_second_signal_ends_it_at_once(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /api/v1/services HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        server.send(signal.SIGTERM)
        began = time.monotonic()
        wait_until(lambda: server.ended() or time.monotonic() - began > 1, "a moment has passed")
        assert server.stop(signal.SIGINT) == 128 + signal.SIGINT
        assert time.monotonic() - began < GRACE_S
    wait_until(lambda: not server.processes(), "every process is gone")


def test_nothing_secret_is_printed(data_dir: Path) -> None:
    with Server(data_dir, DOWNHAUL_ADMIN_TOKEN="", DOWNHAUL_LOG_LEVEL="debug", DOWNHAUL_WORKERS="1") as server:
        kept = data_dir / "admin-token"
        token = kept.read_text("ascii").strip()
        assert kept.stat().st_mode & 0o777 == 0o600
        assert str(kept) in server.output
        assert token not in server.output
        server.token = token
        assert server.call("GET", "/api/v1/status").status_code == 200


def test_there_is_no_control_socket(lasting_server: Server) -> None:
    assert not list(Path(lasting_server.data_dir).rglob("*.ctl"))
    bound = _sockets_with_a_path()
    for pid in (master_of(lasting_server), *workers_of(lasting_server)):
        held = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
        assert not [path for name, path in bound.items() if name in held]


def _sockets_with_a_path() -> dict[str, str]:
    """Every Unix socket that is bound to a path: its name among a process's files -> the path."""
    rows = [row.split() for row in Path("/proc/net/unix").read_text("utf-8").splitlines()[1:]]
    return {f"socket:[{row[6]}]": row[7] for row in rows if len(row) > 7}


class TestWithARedisOfYourOwn:
    @pytest.fixture
    def redis(self, tmp_path: Path) -> RealRedis:
        return RealRedis(tmp_path / "redis")

    def test_no_other_is_started_and_while_it_is_away_a_server_starts_from_its_checkpoint(
        self, redis: RealRedis, data_dir: Path
    ) -> None:
        redis.start()
        with Server(data_dir, DOWNHAUL_REDIS_URL=redis.url) as first:
            assert not pids(first, "redis-server")
            assert not (data_dir / "redis").exists()
            first.made("services", {"key": "shop"})
        redis.stop()
        with Server(data_dir, DOWNHAUL_REDIS_URL=redis.url, DOWNHAUL_WORKERS="1") as second:
            assert second.call("GET", "/api/v1/services/shop").status_code == 200
            assert "degraded" in requests.get(f"{second.url}/readyz", timeout=5).text
            assert second.call("POST", "/api/v1/services", {"key": "later"}).status_code == 503
            redis.start()
            wait_until(
                lambda: second.call("POST", "/api/v1/services", {"key": "later"}).status_code in (201, 409), "it writes"
            )
        redis.stop()

    def test_without_a_checkpoint_it_starts_and_says_that_it_is_loading(self, redis: RealRedis, data_dir: Path) -> None:
        server = Server(data_dir, DOWNHAUL_REDIS_URL=redis.url, DOWNHAUL_WORKERS="1").start()
        try:
            wait_until(lambda: server.get("/livez") == 200, "it is alive")
            assert server.get("/readyz") == 503
            redis.start()
            server.ready()
        finally:
            server.stop()
            redis.stop()
