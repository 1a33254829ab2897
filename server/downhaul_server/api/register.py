"""Everything of this room, put into an app."""

from __future__ import annotations

from flask import Flask

from downhaul_server.api import (
    context,
    docs,
    edge,
    errors,
    fleet_metrics,
    kill_links,
    probes,
    report,
    requests,
    sdk,
    stream,
)
from downhaul_server.api.context import Wiring
from downhaul_server.api.metrics import Metrics
from downhaul_server.api.ofrep import routes as ofrep
from downhaul_server.api.openapi import Api
from downhaul_server.api.openings import Openings
from downhaul_server.api.polls import Polls
from downhaul_server.api.reports import Reports
from downhaul_server.api.request_ids import RequestIds
from downhaul_server.api.routes import Routes
from downhaul_server.api.stream_metrics import StreamMetrics
from downhaul_server.api.v1 import (
    acknowledgements,
    audit,
    catalog,
    drills,
    flags,
    fleet,
    keys,
    kill,
    links,
    people,
    reviews,
    segments,
    stale,
    status,
    webhooks,
)
from downhaul_server.services.container import Services
from downhaul_server.settings import Settings

BLUEPRINTS = (
    kill.blueprint,
    acknowledgements.blueprint,
    flags.blueprint,
    fleet.blueprint,
    drills.blueprint,
    stale.blueprint,
    reviews.blueprint,
    segments.blueprint,
    catalog.blueprint,
    keys.blueprint,
    links.blueprint,
    audit.blueprint,
    webhooks.blueprint,
    people.blueprint,
    status.blueprint,
    sdk.blueprint,
    stream.blueprint,
    report.blueprint,
    edge.blueprint,
    probes.blueprint,
)


def register(app: Flask, services: Services, settings: Settings) -> None:
    """Routes, errors, hooks and the document."""
    wiring = Wiring(services, settings, Metrics(services.health), RequestIds())
    services.streams.observe(StreamMetrics(wiring.metrics.registry))
    fleet_metrics.register(wiring.metrics, services)
    context.attach(app, wiring)
    requests.register(app, wiring)
    errors.register(app)
    edge.register(app)
    api = Api(app)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)
    app.register_blueprint(docs.create_blueprint(api))
    app.register_blueprint(kill_links.blueprint)
    app.register_blueprint(ofrep.blueprint)
    if settings.log_level != "debug":  # where each of them has its line in the log, each goes the whole way
        app.wsgi_app = Polls(Routes(Reports(Openings(app.wsgi_app, wiring), wiring), wiring), wiring)  # type: ignore[method-assign]
