"""A server as docs/running.md has it checked, run and ended, with the settings for traces of docs/watching.md: typed as
they stand there. Its spans arrive at a collector."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.guides import blocks
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


def test_it_is_checked_runs_sends_its_spans_and_ends_in_order(tmp_path: Path) -> None:
    check, run = (line.removeprefix("$ ").partition("#")[0].strip() for line in START.text.splitlines())
    *on, off = TRACES.text.splitlines()
    assert off.startswith("OTEL_SDK_DISABLED=true")
    there = Server(tmp_path / "data", DOWNHAUL_WORKERS="1")
    more = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=tests"}
    environ = there.environ | {"PATH": environment()["PATH"]} | more
    try:
        with collecting() as (address, taken), Terminal(tmp_path, environ) as terminal:
            terminal.type("set -a\n" + "\n".join(on).replace("http://collector:4318", address))
            assert "OpenTelemetry" not in terminal.type(check)
            terminal.type(f"{run} >server.log 2>&1 & server=$!")
            there.ready()
            asked = {"Authorization": f"Bearer {there.token}", **SAMPLED}
            answer = requests.get(f"{there.url}/api/v1/status", headers=asked, timeout=20)
            wait_until(lambda: taken, "spans arrive")
            terminal.type("kill -TERM $server; wait $server")
    finally:
        there.__exit__(None, None, None)
    resource = {each.key: each.value.string_value for each in taken[0].resource_spans[0].resource.attributes}
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("downhaul-server", "tests")
    (span,) = taken[0].resource_spans[0].scope_spans[0].spans
    attributes = {each.key: each.value.string_value for each in span.attributes}
    assert attributes["downhaul.request_id"] == answer.headers["X-Request-Id"]
    assert span.trace_id.hex() == TRACE
