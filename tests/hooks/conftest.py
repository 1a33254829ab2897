"""Services that may send to this machine, and a receiver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services import hook_courier, hook_delivery
from downhaul_server.services.container import Services
from support.hooks import LOOPBACK, Receiver, receiving
from support.redis import FakeRedis, RealRedis
from support.services import ADMIN, opened, with_flags


@pytest.fixture(autouse=True)
def _at_a_gallop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_delivery, "BEAT_S", 0.05)
    monkeypatch.setattr(hook_courier, "BASE_S", 0.02)


@pytest.fixture
def fake() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealRedis]:
    server = RealRedis(tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def services(fake: FakeRedis, tmp_path: Path) -> Iterator[Services]:
    """With checkout (two flags) and payments (one)."""
    with opened(fake, tmp_path / "data", webhook_allow=LOOPBACK, public_url="https://flags.example.com") as found:
        yield with_flags(found, checkout=["new-checkout", "old-banner"], payments=["new-ledger"])


@pytest.fixture
def hook(services: Services, receiver: Receiver) -> dict[str, Any]:
    """Of everything that happens to flags."""
    return services.hooks.create(ADMIN, {"name": "all of it", "url": receiver.url})
