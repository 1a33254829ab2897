"""Whether requests are traced: OpenTelemetry where it is installed and told where to send spans, nothing otherwise.

No module of OpenTelemetry is imported here, nor anywhere before a setting of its own asks for it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

ROUTE = "downhaul.route"
"""Where in the WSGI environment the template of a request's address is found once it was answered."""
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""OpenTelemetry's own settings; any of them turns tracing on."""


def traced(app: WSGIApplication, environ: Mapping[str, str] = os.environ) -> WSGIApplication:
    """The app, with a span for each of its requests; the app itself where nobody asked for that."""
    wish = next((name for name in ENDPOINTS if environ.get(name, "").strip()), None)
    if wish is None or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return app
    try:
        from downhaul_server import spans
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        log.warning("%s is set, but OpenTelemetry is not installed: pip install 'downhaul-server[otel]'", wish)
        return app
    return spans.Spans(app, spans.exporting())
