"""The guide's code runs as it stands, against a service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from downhaul import client as client_module
from downhaul import flags
from openfeature import api
from support.fakeservice import KEY, SERVICE, FakeService
from support.guides import blocks
from support.waiting import wait_until

BLOCKS = blocks("docs/openfeature.md", "python")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    made = FakeService()
    before = flags.client._settings
    flags.configure(url=made.url, key=KEY, service=SERVICE)
    original = client_module.Client.__init__

    def near(self: client_module.Client, **settings: object) -> None:
        original(self, **{**settings, "url": made.url, "key": KEY, "service": SERVICE})  # type: ignore[arg-type]

    monkeypatch.setattr(client_module.Client, "__init__", near)
    yield made
    api.clear_providers()
    flags.client.use(before, start=False)
    made.close()


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_example_runs(number: int, service: FakeService) -> None:
    exec(compile(BLOCKS[number].text, str(BLOCKS[number]), "exec"), {})  # noqa: S102 -- our own documentation
    wait_until(lambda: service.of("snapshot") or service.of("stream"), "the service was asked")
