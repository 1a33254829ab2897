"""Services on a fake Redis, with two services and three flags; and on a real one, for races."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from downhaul_server.services.container import Services
from support.redis import FakeRedis, RealRedis
from support.services import opened, with_flags


@pytest.fixture
def fake() -> FakeRedis:
    """A fresh store, in memory."""
    return FakeRedis()


@pytest.fixture
def empty(fake: FakeRedis, tmp_path: Path) -> Iterator[Services]:
    """A server process that was just installed."""
    with opened(fake, tmp_path / "data") as services:
        yield services


@pytest.fixture
def services(empty: Services) -> Services:
    """With checkout (two flags) and payments (one), all boolean and off."""
    return with_flags(empty, checkout=["new-checkout", "old-banner"], payments=["new-ledger"])


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealRedis]:
    """A running redis-server of this test's own."""
    server = RealRedis(tmp_path / "redis").start()
    yield server
    server.kill()
