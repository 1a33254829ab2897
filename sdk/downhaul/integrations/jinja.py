"""The flag functions in Jinja's templates: `{% if flag("new-checkout") %}`."""

from __future__ import annotations

from jinja2 import Environment
from jinja2.ext import Extension

from downhaul.client import Client
from downhaul.integrations.clients import client_or_default
from downhaul.integrations.templates import functions


class FlagFunctions(Extension):
    """An extension of Jinja that adds `flag` and `flag_value` to an environment."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        install(environment)


def install(environment: Environment, client: Client | None = None) -> None:
    """Add `flag` and `flag_value`, of `client` (default: that of `downhaul.flags`), to this environment."""
    environment.globals.update(functions(client_or_default(client)))
