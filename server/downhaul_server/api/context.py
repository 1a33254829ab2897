"""What a view may reach for: the process's services and settings, and what is known of this request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app, g

from downhaul_server.api.metrics import Metrics
from downhaul_server.api.request_ids import RequestIds
from downhaul_server.services.container import Services
from downhaul_server.settings import Settings

EXTENSION = "downhaul"


@dataclass(frozen=True, slots=True)
class Wiring:
    """What `create_app` was given, and what it made for the room."""

    services: Services
    settings: Settings
    metrics: Metrics
    request_ids: RequestIds


def attach(app: Flask, wiring: Wiring) -> None:
    """Make the wiring known to the app's views."""
    app.extensions[EXTENSION] = wiring


def wiring() -> Wiring:
    """Everything, of the app that answers this request."""
    return cast(Wiring, current_app.extensions[EXTENSION])


def services() -> Services:
    """What the service can do."""
    return wiring().services


def request_id() -> str:
    """The id of this request, as every answer carries it."""
    return cast(str, g.get("request_id", ""))
