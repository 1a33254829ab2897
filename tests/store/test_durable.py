"""Whether Redis keeps what it acknowledges, as one answer for alarms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from downhaul_server.store.durability import PROMISES, UNKNOWN, is_durable
from support.api import open_client
from support.redis import FakeRedis, RealRedis
from support.waiting import wait_until

KEPT = {
    "survives_crash": PROMISES["yes", "always"],
    "maxmemory_policy": "noeviction",
    "replicas": 0,
    "replicas_wanted": 0,
}


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({}, True),
        ({"survives_crash": PROMISES["yes", "everysec"]}, False),
        ({"survives_crash": PROMISES["no", "always"]}, False),
        ({"maxmemory_policy": "allkeys-lru"}, False),
        ({"replicas": 1, "replicas_wanted": 2}, False),
        ({"replicas": 2, "replicas_wanted": 2}, True),
        ({"replicas": None, "replicas_wanted": 2}, True),
        ({"survives_crash": UNKNOWN}, None),
        ({"maxmemory_policy": UNKNOWN}, None),
    ],
)
def test_it_takes_everything_to_be_durable(what: dict[str, Any], expected: bool | None) -> None:
    assert is_durable(KEPT | what) is expected


def durable(text: str) -> str | None:
    """The metric; None when there is no value."""
    return next((line.split()[1] for line in text.splitlines() if line.startswith("downhaul_store_durable ")), None)


@pytest.mark.redis
@pytest.mark.parametrize(("arguments", "told"), [((), "1.0"), (("--appendfsync", "everysec"), "0.0")])
def test_the_metric_says_so(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    redis = RealRedis(tmp_path / "redis", *arguments).start()
    try:
        with open_client(redis, tmp_path / "data") as client:
            wait_until(lambda: durable(client.get("/metrics", by=None).text) == told, "the metric is right")
    finally:
        redis.kill()


def test_where_redis_does_not_tell_there_is_no_value(tmp_path: Path) -> None:
    with open_client(FakeRedis(), tmp_path) as client:
        text = client.get("/metrics", by=None).text
        assert "# TYPE downhaul_store_durable gauge" in text and durable(text) is None
