"""A Redis that was lost and recovered knows no fleet: the processes that remember it tell it again."""

from __future__ import annotations

from pathlib import Path

from downhaul_server.services.container import Services
from downhaul_server.store.keys import FLEETS, META, fleet_key
from support.fleet import Instance
from support.redis import FakeRedis
from support.services import CHECKOUT, opened
from support.waiting import wait_until

GROUP = f"{CHECKOUT}@production"


def test_who_starts_after_a_recovery_knows_of_an_instance_that_has_not_been_heard_since(
    services: Services, fake: FakeRedis, tmp_path: Path
) -> None:
    silent, gone = Instance("silent"), Instance("gone")
    silent.report(services)
    gone.report(services, leaving=True)
    redis = fake.client()
    wait_until(lambda: redis.hlen(fleet_key(GROUP)) == 2, "Redis knows of them")
    redis.delete(FLEETS, fleet_key(GROUP))
    redis.hset(META, mapping={"epoch": "another", "succeeds": services.snapshots.view.epoch})
    wait_until(lambda: redis.hlen(fleet_key(GROUP)) == 1, "what is remembered is told again")
    with opened(fake, tmp_path / "later") as later:
        assert [entry.name for entry in later.fleet.entries((CHECKOUT, "production"))] == ["silent"]
