"""What Prometheus reads of the fleet: how fast it obeys is measured, the rest is looked at when it is asked for."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterator

from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from downhaul_server.api.metrics import Metrics
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Unavailable
from downhaul_server.services.instances import State

PLACE = ["service", "environment"]
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def register(metrics: Metrics, services: Services) -> None:
    """Measure from now on."""
    apply = Histogram(
        "downhaul_apply_seconds",
        "From the commit of a change until an instance has applied it.",
        ("service",),
        buckets=BUCKETS,
        registry=metrics.registry,
    )
    services.latency.on_measured(lambda service, seconds: apply.labels(service).observe(seconds))
    metrics.look_at(FleetCollector(services))


class FleetCollector(Collector):
    """The fleet as the process that answers the scrape knows it; all processes know the same."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All of it."""
        try:
            yield from self._fleet()
            yield from self._kills()
        except Unavailable:
            return  # nothing is loaded yet
        yield from self._drills()

    def _fleet(self) -> Iterator[GaugeMetricFamily]:
        states: Counted[tuple[str, str, State]] = Counted()
        deaf: Counted[tuple[str, str]] = Counted()
        for seen in self._services.survey.everybody():
            states[(*seen.group, seen.state)] += 1
            deaf[seen.group] += seen.deaf
        instances = GaugeMetricFamily(
            "downhaul_instances", "Processes that run the SDK, by their state.", labels=[*PLACE, "state"]
        )
        unheard = GaugeMetricFamily(
            "downhaul_deaf_instances", "Those that do not hear of changes, and may be wrong.", labels=PLACE
        )
        for service, environment in deaf:
            for state in State:
                instances.add_metric([service, environment, state.value], states[service, environment, state])
            unheard.add_metric([service, environment], deaf[service, environment])
        yield instances
        yield unheard

    def _kills(self) -> Iterator[GaugeMetricFamily]:
        unconfirmed = GaugeMetricFamily(
            "downhaul_unconfirmed_kills", "Standing kills that an instance has not applied.", labels=PLACE
        )
        for group, kills in self._services.unconfirmed_kills.counts().items():
            unconfirmed.add_metric(group, kills)
        yield unconfirmed

    def _drills(self) -> Iterator[GaugeMetricFamily]:
        confirmed = GaugeMetricFamily(
            "downhaul_drill_confirmed", "1 when all instances obeyed the last drill.", labels=PLACE
        )
        seconds = GaugeMetricFamily(
            "downhaul_drill_seconds", "Commit to applied, in the last drill.", labels=[*PLACE, "quantile"]
        )
        age = GaugeMetricFamily("downhaul_drill_age_seconds", "Since the last drill.", labels=PLACE)
        for result, since in self._services.drill_results.with_ages():
            place = [result["service"], result["environment"]]
            confirmed.add_metric(place, float(result["confirmed"]))
            age.add_metric(place, since)
            for name, label in (("p50", "0.5"), ("p99", "0.99"), ("max", "max")):
                if result["latency_ms"]:
                    seconds.add_metric([*place, label], result["latency_ms"][name] / 1000)
        yield confirmed
        yield seconds
        yield age
