"""A service to talk to, and clients that are closed again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from downhaul.client import Client
from support.fakeservice import KEY, SERVICE, Connect, FakeService
from support.tls import Certificate, make_certificate


@pytest.fixture
def service() -> Iterator[FakeService]:
    made = FakeService()
    yield made
    made.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def connect(service: FakeService) -> Iterator[Connect]:
    """Makes clients of `service`, impatient ones; settings win over those."""
    clients: list[Client] = []

    def make(**settings: Any) -> Client:
        patience = {"poll_interval": 0.05, "timeout": 1.0}
        key = {} if "key_file" in settings else {"key": KEY}
        client = Client(**{"url": service.url, "service": SERVICE, **key, **patience, **settings})
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()
