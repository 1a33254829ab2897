"""A span for each request, where OpenTelemetry is installed and asked for; nothing of it anywhere else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from downhaul_server import spans, tracing
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from support.api import FLAG, Client, open_client, settle
from support.redis import FakeRedis

ROUTE = "/api/v1/services/<service>/flags/<flag>"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


class Traced:
    """An app whose spans are kept in memory."""

    def __init__(self, client: Client) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        client.app.wsgi_app = spans.Spans(client.app.wsgi_app, provider)  # type: ignore[method-assign]
        self.client = client

    def spans(self) -> list[ReadableSpan]:
        """Those since the last call."""
        found = list(self._exporter.get_finished_spans())
        self._exporter.clear()
        return found


@pytest.fixture(scope="module")
def _traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with open_client(FakeRedis(), tmp_path_factory.mktemp("data")) as client:
        settle(client)
        yield Traced(client)


@pytest.fixture
def traced(_traced: Traced) -> Traced:
    _traced.spans()
    return _traced


def test_a_request_is_a_span_with_its_request_id(traced: Traced) -> None:
    answer = traced.client.get(f"{FLAG}?secret=1", x_request_id="the-id")
    (span,) = traced.spans()
    assert (span.name, span.kind) == (f"GET {ROUTE}", SpanKind.SERVER)
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": ROUTE,
        "http.response.status_code": answer.status_code,
        "url.scheme": "http",
        "url.path": FLAG,
        "downhaul.request_id": "the-id",
    }
    assert span.parent is None and span.status.status_code is StatusCode.UNSET


def test_an_id_of_our_own_is_in_the_span_too(traced: Traced) -> None:
    answer = traced.client.get(FLAG)
    (span,) = traced.spans()
    assert span.attributes and span.attributes["downhaul.request_id"] == answer.headers["X-Request-Id"]


def test_it_goes_on_with_the_trace_of_the_caller(traced: Traced) -> None:
    traced.client.get(FLAG, traceparent=f"00-{TRACE}-{PARENT}-01")
    (span,) = traced.spans()
    assert span.context and f"{span.context.trace_id:032x}" == TRACE
    assert span.parent and f"{span.parent.span_id:016x}" == PARENT


def test_a_refusal_is_no_error_of_ours_and_a_failure_is_one(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    traced.client.get(f"{FLAG}-that-is-not-there")
    (refused,) = traced.spans()
    assert refused.status.status_code is StatusCode.UNSET

    def fails(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(traced.client.services.flags, "get", fails)
    assert traced.client.get(FLAG).status_code == 500
    (failed,) = traced.spans()
    assert failed.status.status_code is StatusCode.ERROR


def test_a_page_that_is_not_there_has_no_route_and_an_unknown_method_no_name(traced: Traced) -> None:
    traced.client.get("/nowhere")
    (span,) = traced.spans()
    assert span.name == "GET" and "http.route" not in (span.attributes or {})
    traced.client.call("BREW", "/nowhere")
    (span,) = traced.spans()
    assert span.name == "HTTP" and (span.attributes or {})["http.request.method"] == "_OTHER"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_what_machines_ask_all_day_is_not_traced(traced: Traced, path: str) -> None:
    assert traced.client.get(path, by=None).status_code == 200
    assert traced.spans() == []


class TestWhetherItIsWanted:
    def app(self, *_: Any) -> list[bytes]:
        return []

    def test_without_an_endpoint_the_app_stays_as_it_is(self) -> None:
        app = self.app
        assert tracing.traced(app, {"OTEL_SERVICE_NAME": "flags"}) is app
        assert tracing.traced(app, {**ENDPOINT, "OTEL_SDK_DISABLED": "true"}) is app

    def test_with_one_it_is_traced(self) -> None:
        assert isinstance(tracing.traced(self.app, ENDPOINT), spans.Spans)

    def test_without_opentelemetry_it_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.delitem(sys.modules, "downhaul_server.spans")
        monkeypatch.delattr("downhaul_server.spans")
        monkeypatch.setitem(sys.modules, "opentelemetry", None)
        for name in [name for name in sys.modules if name.startswith("opentelemetry.")]:
            monkeypatch.delitem(sys.modules, name)
        app = self.app
        assert tracing.traced(app, ENDPOINT) is app
        assert "pip install 'downhaul-server[otel]'" in caplog.text

    @pytest.mark.parametrize("installed", [True, False])
    def test_a_server_that_was_not_told_to_imports_none_of_it(self, installed: bool) -> None:
        """redis-py looks for OpenTelemetry by itself, so what counts is what only we would import."""
        program = f"""
import sys
if not {installed}:
    sys.modules["opentelemetry"] = None
import downhaul_server.app, downhaul_server.cli
ours = ("downhaul_server.spans", "opentelemetry.exporter", "opentelemetry.sdk.trace")
print([name for name in sys.modules if name.startswith(ours)])
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.strip() == "[]"
