"""Streams, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from downhaul_server.services.stream import Reason

EVENTS = ("snapshot", "change", "message", "heartbeat", "end")


class StreamMetrics:
    """An observer of `Streams`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Of the processes that live: one that was killed holds none any more.
        self._live = Gauge("downhaul_streams", "Streams that are held.", registry=registry, multiprocess_mode="livesum")
        ended = Counter("downhaul_streams_ended_total", "Streams that ended, and why.", ("reason",), registry=registry)
        sent = Counter("downhaul_stream_events_total", "Events sent to streams.", ("event",), registry=registry)
        self._ended = {reason.value: ended.labels(reason.value) for reason in Reason}
        self._sent = {event: sent.labels(event) for event in EVENTS}

    def opened(self) -> None:
        """A stream begins."""
        self._live.inc()

    def ended(self, reason: str) -> None:
        """A stream has ended."""
        self._live.dec()
        self._ended[reason].inc()

    def sent(self, event: str, streams: int) -> None:
        """An event was handed to so many streams."""
        self._sent[event].inc(streams)
