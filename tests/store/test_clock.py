"""Times come from Redis; the local wall clock may step as it likes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from downhaul_server.store.clock import Clock


class Redis:
    """Answers TIME, after a while."""

    def __init__(self) -> None:
        self.local = 500.0
        self.offset = 1_700_000_000.0
        self.takes = 0.001

    def monotonic(self) -> float:
        return self.local

    def time(self) -> tuple[int, int]:
        self.local += self.takes / 2
        at = self.local + self.offset
        self.local += self.takes / 2
        return int(at), int(at % 1 * 1e6)


@pytest.fixture
def redis() -> Redis:
    return Redis()


@pytest.fixture
def clock(redis: Redis) -> Clock:
    made: Any = Clock(redis, redis.monotonic)  # type: ignore[arg-type]
    made.refresh()
    found: Clock = made
    return found


def test_it_is_that_of_redis(redis: Redis, clock: Clock) -> None:
    assert clock.to_redis(redis.local) == pytest.approx((redis.local + redis.offset) * 1000, abs=1)
    assert clock.to_local(clock.to_redis(600.0)) == pytest.approx(600.0, abs=0.001)


def test_steps_of_the_local_wall_clock_do_not_matter(
    redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = clock.to_redis(600.0)
    monkeypatch.setattr(time, "time", lambda: 86_400.0)
    redis.local += 10
    clock.refresh()
    assert clock.to_redis(600.0) == pytest.approx(before, abs=1)


def test_a_slow_answer_moves_nothing(redis: Redis, clock: Clock) -> None:
    before = clock.to_redis(600.0)
    redis.takes, redis.offset = 0.8, redis.offset + 0.3
    clock.refresh()
    assert clock.to_redis(600.0) == before


def test_a_slow_drift_is_followed(redis: Redis, clock: Clock) -> None:
    for _ in range(100):
        redis.local += 10
        redis.offset += 0.0005
        clock.refresh()
    assert clock.to_redis(redis.local) == pytest.approx((redis.local + redis.offset) * 1000, abs=2)


def test_a_step_of_redis_is_followed_even_when_it_answers_slowly(redis: Redis, clock: Clock) -> None:
    redis.takes, redis.offset = 0.8, redis.offset + 3600
    clock.refresh()
    assert clock.to_redis(redis.local) == pytest.approx((redis.local + redis.offset) * 1000, abs=500)


def test_until_redis_was_asked_the_wall_clock_stands_in() -> None:
    clock = Clock(Redis())  # type: ignore[arg-type]
    assert clock.to_redis(time.monotonic()) == pytest.approx(time.time() * 1000, abs=1000)
