"""The context processor: `{% if flags.new_checkout %}`."""

from __future__ import annotations

from django.http import HttpRequest

from downhaul.integrations.clients import client_or_default
from downhaul.integrations.templates import ByAttribute


def flags(request: HttpRequest) -> dict[str, ByAttribute]:
    """`flags`, whose attributes are the values of flags, each evaluated when a template looks at it."""
    return {"flags": ByAttribute(client_or_default(None))}
