"""Housekeeping: in every process, and some of it in one of all."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services import keeper
from downhaul_server.services.container import Services
from downhaul_server.services.drill_schedule import DrillSchedule
from downhaul_server.services.keeper import Keeper
from downhaul_server.services.usage import Usage
from downhaul_server.store.clock import Clock
from support.fleet import Instance, pass_time, states
from support.redis import FakeRedis, RealRedis
from support.services import ADMIN, CHECKOUT, opened
from support.waiting import wait_until

LEASE = "{downhaul}:lease:fleet"


@pytest.fixture(autouse=True)
def _at_a_gallop(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BEAT_S", "DEAF_S", "FORGET_S", "SWEEP_S", "RELOAD_S"):
        monkeypatch.setattr(keeper, name, 0.05)


def owner(fake: FakeRedis) -> Any:
    return fake.client().get(LEASE)


def test_one_process_holds_the_lease_and_another_follows_it(
    services: Services, fake: FakeRedis, tmp_path: Path
) -> None:
    wait_until(lambda: owner(fake), "somebody holds it")
    with opened(fake, tmp_path / "one"), opened(fake, tmp_path / "two"):
        first = owner(fake)
        assert first
    assert owner(fake) == first
    services._store.close()
    assert owner(fake) is None
    with opened(fake, tmp_path / "three"):
        wait_until(lambda: owner(fake) not in (None, first), "another one holds it")


def test_who_is_deaf_is_told_of_by_itself(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "downhaul_server.services.deafness")
    Instance("one").report(services)
    pass_time(services, 60)
    wait_until(lambda: "one on node-7 is deaf" in caplog.text, "it is told")


def test_who_is_forgotten_goes_from_memory_and_from_redis(
    services: Services, fake: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "_learn", lambda *_: None)  # time goes on here, but not in Redis
    Instance("one").report(services)
    wait_until(lambda: fake.client().exists("{downhaul}:fleet:checkout@production", LEASE) == 2, "it is in Redis")
    pass_time(services, 4000)
    wait_until(lambda: not states(services), "it is forgotten")
    wait_until(lambda: not fake.client().keys("{downhaul}:fleet*"), "it is swept out")


def test_what_fails_does_not_end_the_rest(
    services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(services.survey, "look", broken)
    store = services._store
    schedule = DrillSchedule(store, services.drills, services.drill_results, every_s=0, environments=())
    others = (services.fleet, services.survey, services.drill_results, schedule, Usage(store), services.staleness)
    mine = Keeper(store, *others, services.evaluation)
    mine.beat()
    assert "housekeeping failed" in caplog.text
    mine.stop()


def test_scheduled_drills_come_by_themselves(fake: FakeRedis, tmp_path: Path) -> None:
    with opened(fake, tmp_path / "data", drill_every=1) as services:
        services.catalog.create_service(ADMIN, {"key": CHECKOUT})
        wait_until(lambda: services.drill_results.with_ages(), "there was a drill")
        ((result, _),) = services.drill_results.with_ages()
        assert (result["service"], result["environment"], result["by"]) == (CHECKOUT, "production", "downhaul-server")


def test_steps_of_the_wall_clock_change_nothing(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = Instance("one")
    instance.report(services)
    real = time.time
    for step in (-86_400.0, 86_400.0):
        monkeypatch.setattr(time, "time", lambda step=step: real() + step)
        assert states(services) == {"one": "live"}
        killed = services.kill.kill(ADMIN, CHECKOUT, "new-checkout" if step > 0 else "old-banner")
        instance.report(services)
        found = services.acknowledgements.of(killed.revision, killed.committed_at, killed.touches, wait=5)
        assert found.confirmed


@pytest.mark.redis
def test_while_redis_is_away_nothing_is_said_and_afterwards_all_goes_on(
    real: RealRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "downhaul_server.services")
    with opened(real, tmp_path / "data") as services:
        services.catalog.create_service(ADMIN, {"key": CHECKOUT})
        Instance("one").report(services)
        real.kill()
        time.sleep(0.3)
        assert not [record for record in caplog.records if record.name.startswith("downhaul_server.services")]
        pass_time(services, 60)
        real.start()
        wait_until(lambda: "one on node-7 is deaf" in caplog.text, "it is told")


@pytest.mark.redis
def test_a_subscription_that_is_lost_loses_no_news(real: RealRedis, tmp_path: Path) -> None:
    with opened(real, tmp_path / "one") as one, opened(real, tmp_path / "two") as two:
        one.catalog.create_service(ADMIN, {"key": CHECKOUT})
        wait_until(lambda: two._store.view.get("service/checkout"), "both have it")
        for number in range(5):
            real.client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            Instance(f"i-{number}").report(one)
            Instance(f"j-{number}").report(two)
            wait_until(lambda number=number: len(states(one)) == len(states(two)) == 2 * (number + 1), "both know all")  # type: ignore[misc]
