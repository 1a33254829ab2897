"""A visitor of the pages, on a fake Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pages import Browserless, open_pages
from support.redis import FakeRedis, RealRedis


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Browserless]:
    """Nobody is logged in, nothing is there but the first environments."""
    with open_pages(FakeRedis(), tmp_path / "data") as visitor:
        yield visitor


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealRedis]:
    """A running redis-server of this test's own."""
    server = RealRedis(tmp_path / "redis").start()
    yield server
    server.kill()
