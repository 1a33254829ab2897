"""A lease has one holder, who knows when it has lost it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from downhaul_server.store.connections import Connections
from downhaul_server.store.lease import Lease
from redis.exceptions import RedisError
from support.redis import FakeRedis, RealRedis
from support.waiting import wait_until


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.redis)])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeRedis | RealRedis]:
    found = FakeRedis() if request.param == "fake" else RealRedis(tmp_path / "redis").start()
    yield found
    found.stop()


def lease(server: FakeRedis | RealRedis, lasts_s: float = 10.0, time: Time | None = None) -> Lease:
    return Lease(server.client(), "test", lasts_s=lasts_s, **({"monotonic": time} if time else {}))


def test_one_has_it_until_it_lets_go(server: FakeRedis | RealRedis) -> None:
    one, other = lease(server), lease(server)
    assert one.keep() and not other.keep()
    assert (one.held, other.held) == (True, False)
    assert one.keep()
    other.release()
    assert not other.keep()
    one.release()
    assert not one.held
    assert other.keep()
    assert not one.keep()


def test_it_ends_when_it_is_not_kept(server: FakeRedis | RealRedis) -> None:
    one, other = lease(server, 0.2), lease(server)
    assert one.keep()
    wait_until(other.keep, "it has ended")
    assert not one.held
    assert not one.keep()


def test_its_holder_believes_in_it_no_longer_than_redis_does(server: FakeRedis | RealRedis) -> None:
    time = Time()
    one = lease(server, 10.0, time)
    assert one.keep()
    time.now = 9.9
    assert one.held
    time.now = 10.0
    assert not one.held


def test_a_store_that_forgot_it_gives_it_to_who_asks_first(server: FakeRedis | RealRedis) -> None:
    one, other = lease(server), lease(server)
    one.keep()
    server.client().flushall()
    assert other.keep()
    assert not one.keep() and not one.held


def test_nobody_gets_it_while_redis_is_away() -> None:
    one = Lease(Connections.to("redis://127.0.0.1:1/0").writes, "test", lasts_s=10)
    with pytest.raises(RedisError):
        one.keep()
    assert not one.held
