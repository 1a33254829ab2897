"""Evaluations as events of spans, by OpenTelemetry's conventions; the names are those of its own package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from downhaul.client import Client
from downhaul.integrations import opentelemetry as ours
from downhaul.integrations.scopes import Scopes
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import feature_flag_attributes as names
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Tracer


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Tracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("shop")


@pytest.fixture
def watched(client: Client) -> Iterator[Client]:
    remove = ours.install(client)
    yield client
    remove()


def events_of(exporter: InMemorySpanExporter) -> list[dict[str, Any]]:
    (span,) = exporter.get_finished_spans()
    return [dict(event.attributes or {}) for event in span.events if event.name == "feature_flag.evaluation"]


def test_an_evaluation_is_an_event_of_the_current_span(
    watched: Client, tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    revision = str(watched.status().revision)
    with tracer.start_as_current_span("pay"):
        watched.enabled("new-checkout", user="anna")
    assert events_of(exporter) == [
        {
            names.FEATURE_FLAG_KEY: "new-checkout",
            names.FEATURE_FLAG_PROVIDER_NAME: "downhaul",
            names.FEATURE_FLAG_RESULT_REASON: names.FeatureFlagResultReasonValues.TARGETING_MATCH.value,
            names.FEATURE_FLAG_RESULT_VARIANT: "on",
            names.FEATURE_FLAG_SET_ID: "checkout/production",
            names.FEATURE_FLAG_VERSION: revision,
            names.FEATURE_FLAG_CONTEXT_ID: "anna",
        }
    ]


@pytest.mark.parametrize(
    ("flag", "default", "expected"),
    [
        ("banner", None, {"reason": "static", "variant": "on"}),
        ("killed", None, {"reason": "disabled", "variant": "off", "downhaul.reason": "killed"}),
        ("half", None, {"reason": "error", "variant": "off", "error": "targeting_key_missing"}),
        ("nope", True, {"reason": "error", "value": True, "error": "flag_not_found"}),
        ("nope", "x" * 500, {"reason": "error", "value": "x" * 64, "error": "flag_not_found"}),
        ("nope", None, {"reason": "error", "error": "flag_not_found"}),
        ("nope", {"a": 1}, {"reason": "error", "value": "(dict)", "error": "flag_not_found"}),
        ("colour", None, {"reason": "static", "variant": "blue"}),
    ],
)
def test_reasons_and_errors_are_the_conventions_own(
    watched: Client,
    tracer: Tracer,
    exporter: InMemorySpanExporter,
    flag: str,
    default: object,
    expected: dict[str, object],
) -> None:
    with tracer.start_as_current_span("pay"):
        watched.value(flag, default)
    (event,) = events_of(exporter)
    told = {
        "reason": event.get(names.FEATURE_FLAG_RESULT_REASON),
        "variant": event.get(names.FEATURE_FLAG_RESULT_VARIANT),
        "value": event.get(names.FEATURE_FLAG_RESULT_VALUE),
        "error": event.get(ERROR_TYPE),
        "downhaul.reason": event.get("downhaul.reason"),
    }
    assert {name: value for name, value in told.items() if value is not None} == expected


def test_an_override_is_static(watched: Client, tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    with tracer.start_as_current_span("pay"), watched.override(banner=False):
        watched.enabled("banner")
    (event,) = events_of(exporter)
    assert event[names.FEATURE_FLAG_RESULT_REASON] == "static"
    assert event["downhaul.reason"] == "override"


def test_whom_it_was_for_can_be_kept_back(client: Client, tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    for context_id in (None, "tenant"):
        remove = ours.install(client, context_id=context_id)
        with tracer.start_as_current_span("pay"):
            client.enabled("banner", user="anna", tenant=17)
        remove()
    spans: tuple[ReadableSpan, ...] = exporter.get_finished_spans()
    ids = [(span.events[0].attributes or {}).get(names.FEATURE_FLAG_CONTEXT_ID) for span in spans]
    assert ids == [None, "17"]


def test_a_loop_does_not_push_other_events_out(watched: Client, tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    with tracer.start_as_current_span("pay") as span:
        span.add_event("the first")
        for _ in range(1000):
            watched.enabled("banner")
    (finished,) = exporter.get_finished_spans()
    assert finished.events[0].name == "the first"
    assert len(finished.events) == 1 + ours.MOST_EVENTS


def test_integrations_do_it_by_themselves_and_once(
    client: Client, tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    scopes = [Scopes(lambda request: {"user": "anna"}, client) for _ in range(3)]
    with tracer.start_as_current_span("request"), scopes[0].around(None):
        client.enabled("new-checkout")
    assert [event[names.FEATURE_FLAG_CONTEXT_ID] for event in events_of(exporter)] == ["anna"]


def test_what_was_installed_by_name_is_not_undone_by_integrations(
    client: Client, tracer: Tracer, exporter: InMemorySpanExporter
) -> None:
    remove = ours.install(client, context_id=None)
    with tracer.start_as_current_span("request"), Scopes(lambda request: {"user": "anna"}, client).around(None):
        client.enabled("new-checkout")
    remove()
    (event,) = events_of(exporter)
    assert names.FEATURE_FLAG_CONTEXT_ID not in event


class TestLogEvents:
    """The form that the conventions prefer since span events are to go."""

    def test_are_emitted_if_wanted_and_belong_to_the_span(
        self, client: Client, tracer: Tracer, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = InMemoryLogRecordExporter()
        provider = LoggerProvider()
        provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
        monkeypatch.setattr("opentelemetry._logs.get_logger", provider.get_logger)
        remove = ours.install(client, events="log")
        with tracer.start_as_current_span("pay") as span:
            client.enabled("new-checkout", user="anna")
        remove()
        (log,) = [data.log_record for data in kept.get_finished_logs()]
        assert log.event_name == "feature_flag.evaluation"
        assert log.span_id == span.get_span_context().span_id
        assert log.attributes and log.attributes[names.FEATURE_FLAG_RESULT_VARIANT] == "on"
        assert events_of(exporter) == []

    def test_are_the_only_other_form(self, client: Client) -> None:
        with pytest.raises(ValueError, match="events must be 'span' or 'log', not 'both'"):
            ours.install(client, events="both")  # type: ignore[arg-type]


def test_without_a_span_nothing_happens(watched: Client) -> None:
    assert watched.enabled("banner") is True
