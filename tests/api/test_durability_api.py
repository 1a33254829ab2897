"""Each answer to a change says what the change survives; probes and metrics say what holds now."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.api import FLAGS, open_client, settle
from support.redis import RealRedis

HEADER = "Downhaul-Durability"
FLAG = f"{FLAGS}/new-checkout"


@pytest.mark.redis
def test_a_change_that_survives_a_crash_says_so_and_what_changes_nothing_says_nothing(
    real: RealRedis, tmp_path: Path
) -> None:
    with open_client(real, tmp_path) as client:
        settle(client)
        made = client.post(f"{FLAG}/kill")
        assert made.headers[HEADER] == "crash"
        assert made.json["durability"] == {"survives": "crash", "replicas": None, "replicas_wanted": 0}
        again = client.post(f"{FLAG}/kill")
        assert HEADER not in again.headers
        assert again.json["durability"] is None
        assert HEADER not in client.get(FLAG).headers
        assert HEADER not in client.post(f"{FLAG}/kill", by="stranger").headers
        assert client.post("/api/v1/services", {"key": "search"}).headers[HEADER] == "crash"
        assert client.delete("/api/v1/services/search", if_match="*").headers[HEADER] == "crash"
        promise = client.get("/readyz").json["durability"]
        assert promise["survives_crash"] == "every acknowledged write"
        assert promise["survives_failover"] == "nothing: no replica is connected"
        assert (promise["replicas"], promise["replicas_wanted"], promise["replicas_confirmed"]) == (0, 0, None)
        metrics = client.get("/metrics").text
        assert "downhaul_store_durable 1.0" in metrics


@pytest.mark.redis
def test_a_change_that_too_few_replicas_hold_is_made_and_says_so(real: RealRedis, tmp_path: Path) -> None:
    with open_client(real, tmp_path, redis_replicas=2) as client:
        settle(client)
        made = client.post(f"{FLAG}/kill", idempotency_key="once")
        assert made.status_code == 200
        assert made.headers[HEADER] == "crash;replicas=0;wanted=2"
        assert made.json["durability"] == {"survives": "crash", "replicas": 0, "replicas_wanted": 2}
        repeated = client.post(f"{FLAG}/kill", idempotency_key="once")
        assert repeated.json["revision"] == made.json["revision"]
        assert repeated.headers[HEADER] == made.headers[HEADER], "of the change that it repeats"
        assert repeated.json["durability"] == made.json["durability"]
        assert "downhaul_store_survives_failover 0.0" in client.get("/metrics").text
        assert "0 of 2 replicas are connected to Redis" in client.get("/api/v1/status").json["warnings"]


@pytest.mark.redis
def test_where_redis_syncs_late_nothing_is_certain(real: RealRedis, tmp_path: Path) -> None:
    with real.client() as redis:
        redis.config_set("appendfsync", "everysec")
    with open_client(real, tmp_path) as client:
        settle(client)
        assert client.post(f"{FLAG}/kill").headers[HEADER] == "uncertain"
        assert client.get("/readyz").json["durability"]["survives_crash"] == "all but about the last second"
