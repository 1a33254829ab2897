"""Wires the rooms of the server into one WSGI application, and nothing else."""

from __future__ import annotations

import downhaul_admin
from flask import Flask

from downhaul_server import logs
from downhaul_server.api.errors import from_http
from downhaul_server.api.register import register
from downhaul_server.forwarded import Forwarded
from downhaul_server.rates import Rates
from downhaul_server.services.container import Services
from downhaul_server.settings import Settings
from downhaul_server.tracing import traced


def create_app(services: Services, settings: Settings) -> Flask:
    """The application of one process. Call it after forking, with the process's own services."""
    logs.configure(settings)
    app = Flask("downhaul_server", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_bytes
    # `//x` is no other name of `/x`: a redirect would lose the body of a write, and hide a client's mistake.
    app.url_map.merge_slashes = False
    app.wsgi_app = traced(app.wsgi_app)  # type: ignore[method-assign, assignment]
    register(app, services, settings)
    Rates(app)
    app.register_blueprint(downhaul_admin.create_blueprint(services, settings))
    downhaul_admin.for_people(app, otherwise=from_http)
    if settings.trusted_proxies:
        app.wsgi_app = Forwarded(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    return app
