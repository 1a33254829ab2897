"""What Prometheus reads. One `Metrics` for each app; in a server of several processes they add up in shared files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STATES = ("following", "away", "diverged", "loading")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "(none)"
"""The route of a request that matched none: an address is no label, there would be endlessly many."""


class Metrics:
    """Counts requests, kills and polls; looks at the store when it is asked."""

    def __init__(self, health: Callable[[], dict[str, Any]]) -> None:
        self._looked_at: list[Collector] = [_StoreCollector(health)]
        self._own = registry = CollectorRegistry()
        self._requests = Counter(
            "downhaul_http_requests_total", "Requests answered.", ("route", "method", "status"), registry=registry
        )
        self._latency = Histogram(
            "downhaul_http_request_seconds",
            "Time to answer a request.",
            ("route",),
            buckets=BUCKETS,
            registry=registry,
        )
        self._snapshots = Counter(
            "downhaul_snapshot_requests_total", "Polls of instances, by their answer.", ("status",), registry=registry
        )
        self._kills = Counter(
            "downhaul_kills_total", "Flags killed through the HTTP API.", ("environment",), registry=registry
        )
        self._reports = Counter("downhaul_reports_total", "Reports of instances that were taken.", registry=registry)
        self._routes = Counter(
            "downhaul_routes_total",
            "Answers to /route, by what was decided.",
            ("service", "flag", "variant", "reason"),
            registry=registry,
        )
        self._routed: dict[tuple[str, str, str, str], Callable[[], None]] = {}
        self._seen: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}
        self._polls = {
            200: self._snapshots.labels("200").inc,
            304: self._snapshots.labels("304").inc,
        }

    @property
    def registry(self) -> CollectorRegistry:
        """For whoever counts something else in this process."""
        return self._own

    def answered(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Count one answer."""
        key = (route or UNMATCHED, method if method in METHODS else "other", status)
        try:
            count, observe = self._seen[key]
        except KeyError:
            count, observe = self._seen[key] = (
                self._requests.labels(key[0], key[1], str(status)).inc,
                self._latency.labels(key[0]).observe,
            )
        count()
        observe(seconds)

    def polled(self, status: int) -> None:
        """Count one poll: 200 or 304."""
        self._polls[status]()

    def look_at(self, collector: Collector) -> None:
        """Ask this whenever the metrics are read, in the process that answers."""
        self._looked_at.append(collector)

    def reported(self) -> None:
        """Count one report of an instance."""
        self._reports.inc()

    def routed(self, service: str | None, flag: str | None, variant: str | None, reason: str) -> None:
        """Count one answer to a route; None: there is no such flag, and addresses are no labels."""
        key = (service or UNMATCHED, flag or UNMATCHED, variant or UNMATCHED, reason)
        try:
            count = self._routed[key]
        except KeyError:
            count = self._routed[key] = self._routes.labels(*key).inc
        count()

    def killed(self, environment: str, flags: int) -> None:
        """Count flags that a kill has changed."""
        self._kills.labels(environment).inc(flags)

    def render(self) -> bytes:
        """All of it, in Prometheus's text format: of every process where there are several."""
        registry = CollectorRegistry()
        for collector in self._looked_at:
            registry.register(collector)
        if os.environ.get(MULTIPROCESS):
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._own) + generate_latest(registry)


EVERY_WRITE = "every acknowledged write"


class _StoreCollector(Collector):
    """The store as the process that answers the scrape sees it."""

    def __init__(self, health: Callable[[], dict[str, Any]]) -> None:
        self._health = health

    def collect(self) -> Iterator[GaugeMetricFamily]:
        health = self._health()
        state = GaugeMetricFamily("downhaul_store_state", "1 for the state that the store is in.", labels=["state"])
        for name in STATES:
            state.add_metric([name], float(health["state"] == name))
        yield state
        if health["revision"] is not None:
            yield GaugeMetricFamily("downhaul_store_revision", "Newest revision that is served.", health["revision"])
            yield GaugeMetricFamily(
                "downhaul_store_age_seconds", "Since Redis last confirmed what is served.", health["age_s"]
            )
        durable = GaugeMetricFamily(
            "downhaul_store_durable", "1 when a crash of Redis loses nothing that was acknowledged."
        )
        if (promised := health.get("durable")) is not None:
            durable.add_metric((), float(promised))
        yield durable
        promise = health.get("durability", {})
        replicated = GaugeMetricFamily(
            "downhaul_store_survives_failover", "1 when every acknowledged change survives the loss of the primary."
        )
        if promise.get("replicas_wanted"):
            replicated.add_metric((), float(str(promise["survives_failover"]).startswith(EVERY_WRITE)))
        yield replicated
        yield GaugeMetricFamily(
            "downhaul_store_warnings", "Warnings about the store; /api/v1/status has them.", len(health["warnings"])
        )
