"""Over TLS the client makes the same promises: of trust, and of time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.fakeservice import Connect, FakeService, dripping, never, serve_well
from support.rulesets import flag
from support.tls import Certificate, server_context
from support.waiting import wait_until


@pytest.fixture
def service(certificate: Certificate) -> Iterator[FakeService]:
    made = FakeService(server_context(certificate))
    yield made
    made.close()


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))


@pytest.mark.usefixtures("trusted")
def test_a_trusted_service_is_followed(service: FakeService, connect: Connect) -> None:
    client = connect(timeout=10)
    assert client.wait_ready(10) and client.enabled("new-checkout")
    service.publish(2, {"new-checkout": flag(on=False)})
    wait_until(lambda: not client.enabled("new-checkout"), "the change is in force")
    assert client.status().last_error is None and client.status().link == "stream"
    polling = connect(timeout=10, stream=False)
    wait_until(lambda: len(service.of("snapshot")) >= 4, "another one polls")
    assert polling.status().last_error is None


def test_an_untrusted_service_is_not_asked(service: FakeService, connect: Connect) -> None:
    client = connect(timeout=10)
    wait_until(lambda: client.status().last_error, "the trouble is told")
    assert "certificate is not trusted" in str(client.status().last_error)
    assert service.requests == []


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("behaviour", [never, dripping])
def test_time_is_bounded(behaviour: object, service: FakeService, connect: Connect) -> None:
    client = connect(timeout=2, stream=False)
    assert client.wait_ready(10)
    service.behaviour = behaviour  # type: ignore[assignment]
    wait_until(lambda: "in time" in str(client.status().last_error), "the trouble is told")
    service.behaviour = serve_well
    wait_until(lambda: client.status().state == "ready", "it follows again")


def test_a_handshake_that_never_ends_is_bounded(connect: Connect) -> None:
    plain = FakeService()
    plain.behaviour = never
    try:
        client = connect(url=plain.url.replace("http:", "https:"), timeout=1)
        wait_until(lambda: client.status().last_error, "the trouble is told")
    finally:
        plain.close()


def test_a_service_that_speaks_plain_http_is_told(connect: Connect) -> None:
    plain = FakeService()
    try:
        client = connect(url=plain.url.replace("http:", "https:"), timeout=1)
        plain.behaviour = serve_well
        wait_until(lambda: client.status().last_error, "the trouble is told")
        wait_until(lambda: client.status().state == "offline", "there is nothing to give")
    finally:
        plain.close()
