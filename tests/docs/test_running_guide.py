"""A server as docs/running.md has it checked, run and ended, with the settings for traces of docs/watching.md: typed as
they stand there. Its spans arrive at a collector, and streams pass through the proxy of the page."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from downhaul.client import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.guides import blocks
from support.nginx import nginx_binary
from support.redis import free_port
from support.server import Server
from support.typed import Terminal, environment
from support.waiting import wait_until

MARK = "tried by tests/docs/test_running_guide.py"
(START,) = (block for block in blocks("docs/running.md", "console") if block.mark == MARK)
(TRACES,) = (block for block in blocks("docs/watching.md", "sh") if block.mark == MARK)
TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
"""The settings sample one trace in ten, but for those whose caller has decided."""

pytestmark = [pytest.mark.redis, pytest.mark.timeout(180)]


class Collector(BaseHTTPRequestHandler):
    """Takes spans as OpenTelemetry's collector does."""

    taken: list[ExportTraceServiceRequest]

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        self.taken.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def collecting() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A collector's address, and what it has taken."""
    taken: list[ExportTraceServiceRequest] = []
    with HTTPServer(("127.0.0.1", 0), type("Handler", (Collector,), {"taken": taken})) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{collector.server_port}", taken
        collector.shutdown()


@dataclass(frozen=True)
class Running:
    """A server that a terminal has started, and the spans that it has sent."""

    server: Server
    spans: list[ExportTraceServiceRequest]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """It has to be checked, to start, and in the end to end in order."""
    folder = tmp_path_factory.mktemp("running")
    check, run = (line.removeprefix("$ ").partition("#")[0].strip() for line in START.text.splitlines())
    *on, off = TRACES.text.splitlines()
    assert off.startswith("OTEL_SDK_DISABLED=true")
    there = Server(folder / "data", DOWNHAUL_WORKERS="1")
    environ = {**there.environ, "PATH": environment()["PATH"], "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with collecting() as (address, spans), Terminal(folder, environ) as terminal:
        terminal.type("set -a\n" + "\n".join(on).replace("http://collector:4318", address))
        assert "problem" not in terminal.type(check)
        terminal.type(f"{run} >server.log 2>&1 & server=$!")
        try:
            yield Running(there.ready(), spans)
            terminal.type("kill -TERM $server; wait $server")
        finally:
            there.__exit__(None, None, None)


def test_its_spans_arrive_where_the_settings_say(running: Running) -> None:
    asked = {"Authorization": f"Bearer {running.server.token}", **SAMPLED}
    answer = requests.get(f"{running.server.url}/api/v1/status", headers=asked, timeout=20)
    wait_until(lambda: running.spans, "spans arrive")
    (sent,) = running.spans[0].resource_spans
    resource = {each.key: each.value.string_value for each in sent.resource.attributes}
    assert resource["service.name"] == "downhaul-server"
    (span,) = sent.scope_spans[0].spans
    attributes = {each.key: each.value.string_value for each in span.attributes}
    assert attributes["downhaul.request_id"] == answer.headers["X-Request-Id"]
    assert span.trace_id.hex() == TRACE


@pytest.mark.nginx
def test_the_sdk_streams_through_the_fragment_for_nginx(running: Running, tmp_path: Path) -> None:
    (fragment,) = blocks("docs/running.md", "nginx")
    server, port = running.server, free_port()
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; daemon off; events {{}}\n"
        f"http {{ access_log off; upstream downhaul {{ server 127.0.0.1:{server.port}; }}\n"
        f"server {{ listen 127.0.0.1:{port};\n{fragment.text}}} }}\n"
    )
    server.made("services", {"key": "shop"})
    server.made(
        "services/shop/flags", {"key": "basket", "type": "boolean", "environments": {"production": {"on": True}}}
    )
    key = server.made("keys", {"kind": "sdk", "name": "sdk", "environment": "production", "services": ["shop"]})
    command = [nginx_binary(), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    nginx = subprocess.Popen(command)
    client = Client(url=f"http://127.0.0.1:{port}", key=key["token"], service="shop", poll_interval=0.1)
    try:
        wait_until(lambda: client.status().link == "stream" and client.enabled("basket"), "it streams")
        assert server.call("POST", "/api/v1/services/shop/flags/basket/kill").ok
        wait_until(lambda: not client.enabled("basket"), "the kill arrives")
        assert client.status().link == "stream"
    finally:
        client.close()
        nginx.terminate()
        nginx.wait(timeout=20)
