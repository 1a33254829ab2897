"""Stores on fake and on real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.settings import Settings
from downhaul_server.store import Store
from support.redis import FakeRedis, RealRedis

OpenStore = Callable[..., Store]


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealRedis]:
    """A running redis-server of this test's own."""
    server = RealRedis(tmp_path / "redis")
    server.start()
    yield server
    server.kill()  # quicker than an orderly end, of which there is nothing to keep


@pytest.fixture(params=["fakeredis", pytest.param("redis", marks=pytest.mark.redis)])
def backend(request: pytest.FixtureRequest) -> FakeRedis | RealRedis:
    """First a fake Redis, then a real one: whoever takes this runs on both."""
    return FakeRedis() if request.param == "fakeredis" else request.getfixturevalue("real")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The data folder of the node."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def open_store(data_dir: Path) -> Iterator[OpenStore]:
    """Opens stores as the server's processes do; closes them in the end."""
    stores: list[Store] = []

    def open_one(redis: FakeRedis | RealRedis, *, data_dir: Path = data_dir, **options: Any) -> Store:
        settings = Settings(data_dir=data_dir, redis_replicas=options.pop("replicas", 0))
        options.setdefault("connections", redis.connections())
        stores.append(Store.open(settings, **options))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(backend: FakeRedis | RealRedis, open_store: OpenStore) -> Store:
    """One store on a fresh Redis, fake or real."""
    return open_store(backend)
