"""Traces and error reports, told of evaluations where the program has them: nothing is imported that it has not.

Whether a library is installed tells little, and finding out by importing it costs much. A program that traces or
reports has imported it; so that is what is looked at, in each evaluation, which costs one look-up.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final
from weakref import ref

from downhaul.client import Client
from downhaul.details import Details
from downhaul.health import log
from downhaul.integrations.recording import Listener, attach

#: What the program imports, and which of our modules then tells it.
PARTNERS: Final = {
    "opentelemetry.trace": "downhaul.integrations.opentelemetry",
    "sentry_sdk": "downhaul.integrations.sentry",
}


class Partner:
    """A listener of evaluations that does nothing before the program has loaded `library`; then `module` makes it."""

    def __init__(self, client: Client, library: str, module: str) -> None:
        self._client = ref(client)  # which holds this
        self._library = library
        self._module = module
        self._tell: Listener | None = None

    def __call__(self, details: Details[Any], context: Mapping[str, Any]) -> None:
        if self._tell is None:
            if self._library not in sys.modules:
                return
            self._tell = self._load()
        self._tell(details, context)

    def _load(self) -> Listener:
        client = self._client()
        try:
            made: Listener = import_module(self._module).listener(client) if client else _nobody
        except ImportError as error:  # it is older than what it is asked for
            log.warning("%s is not told of evaluations: %s", self._library, error)
            return _nobody
        return made


def _nobody(details: Details[Any], context: Mapping[str, Any]) -> None:
    pass


def attach_partners(client: Client) -> None:
    """Tell them of the evaluations of `client` from now on. May be repeated; what is installed by name stays."""
    for library, module in PARTNERS.items():
        attach(client, module, Partner(client, library, module))
