"""Probes, metrics, request ids and logs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.api import ADMIN, FLAG, STATE, Client, open_client, problem, settle
from support.redis import RealRedis
from support.waiting import wait_until

DOCS = Path(__file__).parents[2] / "docs" / "api.md"
SNAPSHOT = "/sdk/v1/snapshot?service=checkout"


def test_it_is_alive_and_ready(client: Client) -> None:
    assert client.get("/livez", by=None).json == {"status": "ok"}
    ready = client.get("/readyz", by=None)
    assert (ready.status_code, ready.json["status"], ready.json["state"]) == (200, "ok", "following")


@pytest.mark.redis
class TestReadiness:
    def test_away_and_serving_is_degraded_with_its_age(self, real: RealRedis, tmp_path: Path) -> None:
        with open_client(real, tmp_path) as client:
            settle(client)
            real.kill()
            wait_until(lambda: client.get("/readyz", by=None).json["status"] == "degraded", "it says degraded")
            ready = client.get("/readyz", by=None)
            assert ready.status_code == 200
            assert ready.json["reason"] and ready.json["age_s"] >= 0 and ready.json["source"] == "redis"
            assert client.get(SNAPSHOT, by="sdk").status_code == 200
            answer = client.patch(STATE, {"on": True})
            assert problem(answer) == (503, "unavailable")
            assert answer.headers["Retry-After"]

    def test_a_start_without_redis_serves_the_checkpoint_and_says_so(self, real: RealRedis, tmp_path: Path) -> None:
        with open_client(real, tmp_path) as client:
            settle(client)
            tokens = client.tokens
        real.kill()
        with open_client(real, tmp_path) as client:
            client.tokens = tokens
            ready = client.get("/readyz", by=None)
            assert (ready.status_code, ready.json["status"], ready.json["source"]) == (200, "degraded", "checkpoint")
            assert client.get(SNAPSHOT, by="sdk").json["flag_count"] == 1
            assert client.get(FLAG, by="viewer").status_code == 200

    def test_nothing_loaded_is_503_and_so_is_every_read(self, real: RealRedis, tmp_path: Path) -> None:
        real.kill()
        with open_client(real, tmp_path) as client:
            ready = client.get("/readyz", by=None)
            assert problem(ready) == (503, "unavailable")
            assert (ready.json["state"], ready.json["revision"]) == ("loading", None)
            assert problem(client.get(FLAG)) == (503, "unavailable")
            assert client.get("/livez", by=None).status_code == 200
            assert "downhaul_store_revision" not in client.get("/metrics", by=None).text

    def test_another_history_is_503_while_reads_go_on(self, real: RealRedis, tmp_path: Path) -> None:
        with open_client(real, tmp_path) as client:
            settle(client)
            real.client().flushall()
            wait_until(lambda: client.get("/readyz", by=None).status_code == 503, "it is not ready")
            ready = client.get("/readyz", by=None)
            assert ready.json["state"] == "diverged" and "empty" in ready.json["detail"]
            assert client.get(SNAPSHOT, by="sdk").status_code == 200
            assert problem(client.post(f"{FLAG}/kill")) == (503, "unavailable")


class TestMetrics:
    def test_requests_are_counted_by_route_and_never_by_address(self, client: Client) -> None:
        client.get(FLAG)
        client.get("/api/v1/services/checkout/flags/nothing")
        client.get("/nowhere")
        text = client.get("/metrics", by=None).text
        route = "/api/v1/services/<service>/flags/<flag>"
        assert f'downhaul_http_requests_total{{method="GET",route="{route}",status="200"}} 1.0' in text
        assert f'downhaul_http_requests_total{{method="GET",route="{route}",status="404"}} 1.0' in text
        assert 'route="(none)",status="404"' in text and "nowhere" not in text
        assert f'downhaul_http_request_seconds_count{{route="{route}"}} 2.0' in text
        assert 'downhaul_store_state{state="following"} 1.0' in text
        assert f"downhaul_store_revision {float(client.store.view.revision)}" in text

    def test_the_guide_lists_every_metric(self, client: Client) -> None:
        found = re.findall(r"^# TYPE (downhaul_\w+)", client.get("/metrics", by=None).text, re.MULTILINE)
        assert {name for name in found if not name.endswith("_created")} == set(
            re.findall(r"^\| `(downhaul_\w+)` \|", DOCS.read_text(), re.MULTILINE)
        )

    def test_several_processes_add_up(self, tmp_path: Path) -> None:
        program = """
import os
from downhaul_server.api.metrics import Metrics
health = lambda: {"state": "following", "revision": 7, "age_s": 0.1, "warnings": []}
for _ in range(2):
    if (child := os.fork()) == 0:
        Metrics(health).polled(304)
        os._exit(0)
    os.waitpid(child, 0)
print(Metrics(health).render().decode())
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert 'downhaul_snapshot_requests_total{status="304"} 2.0' in done.stdout
        assert done.stdout.count("downhaul_store_revision 7.0") == 1


class TestRequestIds:
    def test_a_sane_one_is_kept(self, client: Client) -> None:
        assert client.get(FLAG, x_request_id="trace-1.2:3").headers["X-Request-Id"] == "trace-1.2:3"

    @pytest.mark.parametrize("given", ["", "two words", "x" * 129, "<script>", "é"])
    def test_another_is_replaced(self, client: Client, given: str) -> None:
        assert re.fullmatch(r"[0-9a-f]{16}", client.get(FLAG, x_request_id=given).headers["X-Request-Id"])


class TestLogs:
    def test_one_line_for_a_request_and_no_token_in_it(self, client: Client, capfd: pytest.CaptureFixture[str]) -> None:
        capfd.readouterr()
        client.get(f"{FLAG}?token={client.tokens['viewer']}", by="viewer")
        client.get(f"/{ADMIN}/{client.tokens['sdk']}", x_request_id="the-id")
        written = capfd.readouterr().err
        first, second = (json.loads(line) for line in written.splitlines())
        assert (first["by"], first["method"], first["path"], first["level"]) == ("viewer", "GET", FLAG, "info")
        assert (second["request_id"], second["status"]) == ("the-id", 404)
        assert not any(token in written for token in client.tokens.values())

    def test_lines_for_people_hide_tokens_too(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        from downhaul_server import logs
        from downhaul_server.settings import Settings

        logs.configure(Settings(data_dir=tmp_path, admin_token="my-own", log_format="console"))
        import logging

        logging.getLogger("somebody").warning("the token is %s, or my-own", "dh_api_abcDEF-_123_ff")
        line = capfd.readouterr().err
        assert "somebody" in line and "dh_api_[hidden]" in line
        assert "abcDEF" not in line and "my-own" not in line
