"""Evaluations in OpenTelemetry, as `feature_flag.evaluation` events by the semantic conventions, release 1.40.

The frameworks' integrations call it by themselves. Attributes of the context stay in the process, but for one: the id
of whom the flag was evaluated for, which the conventions recommend; `context_id=None` keeps it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary, ref

from opentelemetry import trace

from downhaul.client import Client
from downhaul.details import STANDARD_REASONS, Details
from downhaul.integrations.clients import client_or_default
from downhaul.integrations.recording import LONGEST_NAME, Listener, answer_of, attach

Attributes = dict[str, str | bool | int | float]
Emit = Callable[[Callable[[], Attributes]], None]

EVENT: Final = "feature_flag.evaluation"
MOST_EVENTS: Final = 64
"""On one span. A span has room for 128 events by default, and an exception among them is worth more than a loop's."""


def install(
    client: Client | None = None, *, context_id: str | None = "user", events: Literal["span", "log"] = "span"
) -> Callable[[], None]:
    """Emit an event for each evaluation of `client` (default: that of `downhaul.flags`). Gives its removal.

    `context_id`: the attribute that tells whom a flag was evaluated for; None: that is not told. `events`: on the
    current span, or as log events, which OpenTelemetry correlates with it and needs a logger provider for. Raises
    ValueError for anything else.
    """
    if events not in ("span", "log"):
        raise ValueError(f"events must be 'span' or 'log', not {events!r}")
    client = client_or_default(client)
    emit = _SpanEvents() if events == "span" else _log_events()
    return attach(client, __name__, _Evaluations(client, context_id, emit), anew=True)


def listener(client: Client) -> Listener:
    """What hears of evaluations of `client` where nobody has installed anything."""
    return _Evaluations(client, "user", _SpanEvents())


class _SpanEvents:
    """Adds an event to the current span, while there is room."""

    def __init__(self) -> None:
        self._counts: WeakKeyDictionary[trace.Span, int] = WeakKeyDictionary()
        self._lock = Lock()

    def __call__(self, attributes: Callable[[], Attributes]) -> None:
        span = trace.get_current_span()
        if span.is_recording() and self._has_room(span):
            span.add_event(EVENT, attributes())

    def _has_room(self, span: trace.Span) -> bool:
        with self._lock:
            count = self._counts.get(span, 0)
            if count < MOST_EVENTS:
                self._counts[span] = count + 1
        return count < MOST_EVENTS


def _log_events() -> Emit:
    from opentelemetry import _logs  # not stable yet, so asked for by those alone who want it

    logger = _logs.get_logger("downhaul")
    return lambda attributes: logger.emit(
        severity_number=_logs.SeverityNumber.INFO, attributes=attributes(), event_name=EVENT
    )


class _Evaluations:
    def __init__(self, client: Client, context_id: str | None, emit: Emit) -> None:
        self._client = ref(client)  # which holds this
        self._context_id = context_id
        self._emit = emit
        self._set: tuple[int | None, str | None] = (None, None)

    def __call__(self, details: Details[Any], context: Mapping[str, Any]) -> None:
        self._emit(lambda: self._attributes(details, context))

    def _attributes(self, details: Details[Any], context: Mapping[str, Any]) -> Attributes:
        found: dict[str, Any] = {
            "feature_flag.key": details.flag[:LONGEST_NAME],
            "feature_flag.provider.name": "downhaul",
            "feature_flag.result.reason": STANDARD_REASONS.get(details.reason, details.reason).lower(),
            "feature_flag.result.variant": details.variant,
            "feature_flag.set.id": self._flag_set(details.revision),
            "feature_flag.version": None if details.revision is None else str(details.revision),
            "error.type": details.error_code and details.error_code.lower(),
        }
        if details.variant is None:  # only then: a value may be large, or nobody else's business
            found["feature_flag.result.value"] = answer_of(details)
        if details.reason in STANDARD_REASONS:  # the conventions' own words must be used where one applies
            found["downhaul.reason"] = details.reason.lower()
        unit = context.get(self._context_id) if self._context_id else None
        if isinstance(unit, str | int) and not isinstance(unit, bool):
            found["feature_flag.context.id"] = str(unit)
        return {name: value for name, value in found.items() if value is not None}

    def _flag_set(self, revision: int | None) -> str | None:
        """Service and environment. They change with the snapshot, if ever."""
        known, name = self._set
        if revision is not None and known != revision and (client := self._client()):
            status = client.status()
            name = f"{status.service}/{status.environment}" if status.service and status.environment else None
            self._set = revision, name
        return name if revision is not None else None
