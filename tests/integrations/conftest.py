"""One service with a few flags, and clients of it, for the applications of this folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from downhaul.client import Client
from support.fakeservice import KEY, SERVICE, FakeService
from support.rulesets import flag, leaf, one, rule, split
from support.waiting import wait_until

FLAGS = {
    "banner": flag(),
    "new-checkout": flag(rules=[rule(leaf("user", "in", "anna"), one("on"), "anna")], otherwise=one("off")),
    "acme-only": flag(rules=[rule(leaf("tenant", "in", "acme"), one("on"), "acme")], otherwise=one("off")),
    "half": flag(otherwise=split(on=50000, off=50000)),
    "killed": flag(killed=True),
    "colour": flag(
        type="string", variants={"red": "#f00", "blue": "#00f"}, off_variant="red", otherwise=one("blue")
    ),
}  # fmt: skip

revisions = itertools.count(7)


@pytest.fixture(scope="module")
def service() -> Iterator[FakeService]:
    made = FakeService()
    made.publish(next(revisions), FLAGS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(service: FakeService) -> Iterator[Client]:
    made = Client(url=service.url, key=KEY, service=SERVICE, poll_interval=0.05)
    assert made.wait_ready(20)
    yield made
    made.close()


@pytest.fixture
def publish(service: FakeService, client: Client) -> Iterator[Callable[..., None]]:
    """Publishes other flags besides those of the module, or others in their place, which are back after the test."""

    def put(**flags: Any) -> None:
        service.publish(next(revisions), {**FLAGS, **flags})

    yield put
    put()
    wait_until(lambda: client.status().revision == service.snapshot["revision"], "the flags are as they were")
