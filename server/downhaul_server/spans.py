"""The one user of OpenTelemetry: a span for each request. Imported by `tracing`, where OpenTelemetry is there.

Spans are named and described by OpenTelemetry's conventions for HTTP servers. A span holds no query, no token and no
address of a client. Polls that bring nothing new, reports, and the plain opening of a stream are answered in front of
this, and have no spans: a fleet makes thousands of them a second. Another stream's span ends when the stream has begun.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from downhaul_server.tracing import ROUTE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NAME = "downhaul-server"
UNTRACED = frozenset({"/livez", "/readyz", "/metrics"})
"""What machines ask every few seconds, all day long."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "_OTHER"
CARRIED = {"traceparent": "HTTP_TRACEPARENT", "tracestate": "HTTP_TRACESTATE"}
SERVER_ERRORS = 500


def exporting() -> TracerProvider:
    """Sends spans as OpenTelemetry's settings say. Make it after forking: it has a thread of its own."""
    ours = Resource({"service.name": NAME, "service.version": version(NAME)})
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word.
    provider = TracerProvider(resource=Resource.create().merge(ours).merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Spans:
    """WSGI middleware."""

    def __init__(self, app: WSGIApplication, provider: TracerProvider) -> None:
        self._app = app
        self._tracer = provider.get_tracer(NAME)
        self._context = TraceContextTextMapPropagator()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] in UNTRACED:
            return self._app(environ, start_response)
        carried = {name: environ[header] for name, header in CARRIED.items() if header in environ}
        method = environ["REQUEST_METHOD"]
        with self._tracer.start_as_current_span(
            method if method in METHODS else "HTTP",
            context=self._context.extract(carried),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": method if method in METHODS else OTHER_METHOD,
                "url.scheme": environ["wsgi.url_scheme"],
                "url.path": environ["PATH_INFO"],
            },
        ) as span:
            return self._app(environ, _noting(span, environ, start_response))


def _noting(span: Span, environ: WSGIEnvironment, start_response: StartResponse) -> StartResponse:
    """`start_response`, which tells the span how the request was answered."""

    def noting(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        code = int(status[:3])
        span.set_attribute("http.response.status_code", code)
        if code >= SERVER_ERRORS:
            span.set_status(Status(StatusCode.ERROR))
        for name, value in headers:
            if name.lower() == "x-request-id":
                span.set_attribute("downhaul.request_id", value)
        if route := environ.get(ROUTE):
            span.set_attribute("http.route", route)
            span.update_name(f"{environ['REQUEST_METHOD']} {route}")
        return start_response(status, headers, *more)

    return noting
