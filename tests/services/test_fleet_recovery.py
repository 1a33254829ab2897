"""What Redis has lost of the fleet, or what was overwritten there, is told again by the processes that remember it."""

from __future__ import annotations

import json
from pathlib import Path

from downhaul_server.services.container import Services
from downhaul_server.store.keys import FLEETS, META, NEWS, fleet_key
from support.fleet import Instance, pass_time, states
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


def test_a_last_word_that_another_process_has_overwritten_is_written_again(
    services: Services, fake: FakeRedis, tmp_path: Path
) -> None:
    one = Instance("one")
    one.report(services)
    redis = fake.client()
    wait_until(lambda: redis.hlen(fleet_key(GROUP)) == 1, "Redis knows of it")
    before = redis.hget(fleet_key(GROUP), one.process)
    one.report(services, leaving=True)
    wait_until(lambda: redis.hget(fleet_key(GROUP), one.process) != before, "Redis knows that it has left")
    record = json.loads(before)
    redis.hset(fleet_key(GROUP), one.process, before)
    redis.publish(NEWS, json.dumps({"from": "another", "marks": [], "notes": [], "records": {GROUP: [record]}}))
    wait_until(lambda: redis.hget(fleet_key(GROUP), one.process) != before, "it is written again")
    with opened(fake, tmp_path / "later") as later:
        assert states(later) == {"one": "gone"}


def test_what_was_said_before_the_last_word_and_is_heard_after_it_revives_nobody(services: Services) -> None:
    one = Instance("one")
    one.report(services)
    one.report(services, leaving=True)
    one.report(services)
    one.open_stream(services)
    assert states(services) == {"one": "gone"}
    pass_time(services, 6)
    one.report(services)
    assert states(services) == {"one": "live"}, "whoever goes on is there"
