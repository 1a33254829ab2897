"""A client of an app on a fake Redis, with its cast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.api import Client, open_client, settle
from support.redis import FakeRedis, RealRedis


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Two services, a flag, everybody of the cast."""
    with open_client(FakeRedis(), tmp_path) as client:
        settle(client)
        yield client


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealRedis]:
    """A running redis-server of this test's own."""
    server = RealRedis(tmp_path / "redis")
    server.start()
    yield server
    server.kill()
