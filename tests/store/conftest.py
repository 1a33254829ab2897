"""Stores on fake and on real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.settings import Settings
from downhaul_server.store import Store
from downhaul_server.store.connections import Connections
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


@pytest.fixture
def open_one(redises: Any, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens stores on several Redis that belong together (`redises`), empty at first; each has its own data folder."""
    with redises.primary().client() as client:
        client.flushall()
    stores: list[Store] = []

    def open_another(replicas: int) -> Store:
        folder = tmp_path / f"data-{len(stores)}"
        folder.mkdir()
        connections = Connections.to(redises.url, block_s=0.05)
        stores.append(Store.open(Settings(data_dir=folder, redis_replicas=replicas), connections=connections))
        return stores[-1]

    yield open_another
    for store in stores:
        store.close()
