"""Error reports of Sentry hold the boolean flags that were evaluated before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from downhaul.client import Client
from downhaul.integrations.scopes import Scopes
from downhaul.integrations.sentry import DownhaulIntegration, install
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport


class Kept(Transport):
    """Sends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.events.append(envelope.get_event())


@pytest.fixture
def sentry() -> Iterator[Kept]:
    kept = Kept()
    with sentry_sdk.isolation_scope() as scope:
        scope.clear()
        sentry_sdk.init(dsn="https://key@sentry.invalid/1", transport=kept, default_integrations=False)
        yield kept
        sentry_sdk.get_global_scope().set_client(None)


def reported(sentry: Kept) -> list[tuple[str, bool]]:
    try:
        raise RuntimeError("the till is stuck")
    except RuntimeError as error:
        sentry_sdk.capture_exception(error)
    return [(each["flag"], each["result"]) for each in sentry.events[-1]["contexts"]["flags"]["values"]]


def test_a_report_has_the_boolean_flags(client: Client, sentry: Kept) -> None:
    remove = install(client)
    client.enabled("banner")
    client.value("killed")
    client.value("colour")
    client.enabled("nope", True)
    remove()
    client.enabled("half")
    assert reported(sentry) == [("banner", True), ("killed", False), ("nope", True)]


def test_integrations_do_it_by_themselves(client: Client, sentry: Kept) -> None:
    with Scopes(lambda request: {"user": "anna"}, client).around(None):
        client.enabled("new-checkout")
    assert reported(sentry) == [("new-checkout", True)]


def test_sentry_takes_it_as_an_integration_of_its_own(client: Client, sentry: Kept) -> None:
    sentry_sdk.init(
        dsn="https://key@sentry.invalid/1",
        transport=sentry,
        default_integrations=False,
        integrations=[DownhaulIntegration(client)],
    )
    client.enabled("banner")
    assert reported(sentry) == [("banner", True)]
