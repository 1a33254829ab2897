"""Boolean flags in Sentry's error reports, by its API for feature flags: what a request has evaluated until it failed.

The frameworks' integrations call it by themselves, where the program has loaded Sentry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sentry_sdk.feature_flags import add_feature_flag
from sentry_sdk.integrations import Integration

from downhaul.client import Client
from downhaul.details import Details
from downhaul.integrations.clients import client_or_default
from downhaul.integrations.recording import LONGEST_NAME, Listener, attach


class DownhaulIntegration(Integration):
    """For `sentry_sdk.init(integrations=[DownhaulIntegration()])`."""

    identifier = "downhaul"

    def __init__(self, client: Client | None = None) -> None:
        install(client)

    @staticmethod
    def setup_once() -> None:
        """Nothing is left to do."""


def install(client: Client | None = None) -> Callable[[], None]:
    """Tell Sentry of each evaluation of a boolean flag by `client` (default: that of `downhaul.flags`).

    Gives its removal.
    """
    client = client_or_default(client)
    return attach(client, __name__, listener(client), anew=True)


def listener(client: Client) -> Listener:
    """What hears of evaluations of `client`."""
    return _tell


def _tell(details: Details[Any], context: Mapping[str, Any]) -> None:
    if isinstance(details.value, bool):
        add_feature_flag(details.flag[:LONGEST_NAME], details.value)
