"""A kill is acknowledged by those who have obeyed, and by nobody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services import acknowledgement
from downhaul_server.services.acknowledgement import Acknowledgement, percentiles
from downhaul_server.services.container import Services
from downhaul_server.services.kill import Killed
from downhaul_server.store import Mark
from support.fleet import Instance, everybody_reports, pass_time, states
from support.redis import FakeRedis, RealRedis
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, boolean, opened, with_flags
from support.waiting import wait_until

ENOUGH_S = 20.0


@pytest.fixture
def fleet(services: Services) -> list[Instance]:
    """Three instances that have everything."""
    found = [Instance(f"checkout-{number}") for number in (1, 2, 3)]
    everybody_reports(services, found)
    return found


def acknowledged(services: Services, killed: Killed, wait: float | None = None) -> Acknowledgement:
    return services.acknowledgements.of(killed.revision, killed.committed_at, killed.touches, wait=wait)


class Asked(threading.Thread):
    """Somebody waits for an acknowledgement."""

    def __init__(self, services: Services, killed: Killed, wait: float = ENOUGH_S) -> None:
        super().__init__(daemon=True)
        self._ask: Callable[[], Acknowledgement] = lambda: acknowledged(services, killed, wait)
        self._services = services
        self.found: Acknowledgement | None = None
        self.start()
        wait_until(lambda: services.fleet._watches or self.found, "it waits")

    def run(self) -> None:
        self.found = self._ask()

    @property
    def answered(self) -> bool:
        return self.found is not None

    def answer(self) -> Acknowledgement:
        self.join(ENOUGH_S)
        assert self.found is not None
        return self.found


def test_it_says_at_once_who_has_applied_it_and_who_has_not(services: Services, fleet: list[Instance]) -> None:
    killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    fleet[1].report(services, applied_ms=1)
    found = acknowledged(services, killed)
    assert (found.instances, found.applied, found.confirmed) == (3, 1, False)
    assert [straggler.instance for straggler in found.stragglers] == ["checkout-3", "checkout-1"]
    assert found.latency_ms is not None and found.latency_ms.keys() == {"p50", "p99", "max"}
    assert found.to_json()["stragglers"][0].keys() == {
        "service",
        "environment",
        "instance",
        "host",
        "build",
        "revision",
        "link",
        "last_seen_s",
    }


def test_who_waits_is_woken_by_the_last_report(services: Services, fleet: list[Instance]) -> None:
    asked = Asked(services, services.kill.kill(ADMIN, CHECKOUT, FLAG))
    everybody_reports(services, fleet[:2])
    assert not asked.answered
    began = time.monotonic()
    fleet[2].report(services)
    found = asked.answer()
    assert time.monotonic() - began < acknowledgement.TICK_S
    assert (found.instances, found.applied, found.confirmed, found.stragglers) == (3, 3, True, ())


def test_when_the_time_is_up_the_stragglers_are_named(services: Services, fleet: list[Instance]) -> None:
    killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    everybody_reports(services, fleet[:2])
    found = acknowledged(services, killed, wait=0.1)
    assert (found.confirmed, [straggler.instance for straggler in found.stragglers]) == (False, ["checkout-3"])
    assert found.stragglers[0].revision is not None and found.stragglers[0].revision < killed.revision


def test_a_silent_instance_is_a_straggler_and_one_that_left_is_not(services: Services, fleet: list[Instance]) -> None:
    pass_time(services, 60)
    everybody_reports(services, fleet[:2])
    assert states(services)["checkout-3"] == "silent"
    killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    everybody_reports(services, fleet[:1])
    fleet[1].report(services, leaving=True, epoch=None)
    found = acknowledged(services, killed)
    assert (found.instances, found.applied) == (2, 1)
    assert [(straggler.instance, straggler.link) for straggler in found.stragglers] == [("checkout-3", "silent")]


def test_a_silent_instance_that_has_it_already_has_it(services: Services, fleet: list[Instance]) -> None:
    killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    everybody_reports(services, fleet)
    pass_time(services, 60)
    found = acknowledged(services, killed)
    assert (found.instances, found.confirmed) == (3, True)


def test_who_waits_learns_that_somebody_is_gone(services: Services, fleet: list[Instance]) -> None:
    asked = Asked(services, services.kill.kill(ADMIN, CHECKOUT, FLAG))
    everybody_reports(services, fleet[:2])
    fleet[2].report(services, leaving=True, epoch=None)
    found = asked.answer()
    assert (found.instances, found.confirmed) == (2, True)


def test_and_that_somebodys_time_is_up(services: Services, fleet: list[Instance]) -> None:
    asked = Asked(services, services.kill.kill(ADMIN, CHECKOUT, FLAG))
    everybody_reports(services, fleet[:2])
    pass_time(services, 700)
    everybody_reports(services, fleet[:2])
    assert asked.answer().instances == 2


def test_an_instance_that_comes_meanwhile_has_to_apply_it_too(services: Services, fleet: list[Instance]) -> None:
    asked = Asked(services, services.kill.kill(ADMIN, CHECKOUT, FLAG))
    late = Instance("late")
    late.open_stream(services)
    everybody_reports(services, fleet)
    assert not asked.answered
    late.report(services)
    assert asked.answer().instances == 4


def test_a_first_instance_that_comes_meanwhile_does_as_well(services: Services) -> None:
    services.flags.create(
        ADMIN, CHECKOUT, boolean("needs", requires=[{"flag": "payments/new-ledger", "variants": ["on"]}])
    )
    dependent, owner = Instance("dependent", CHECKOUT), Instance("owner", PAYMENTS)
    dependent.report(services)
    asked = Asked(services, services.kill.kill(ADMIN, PAYMENTS, "new-ledger"))
    owner.report(services, 1)
    dependent.report(services)
    assert not asked.answered
    owner.report(services)
    assert asked.answer().instances == 2


def test_no_report_of_another_world_confirms_anything(services: Services, fleet: list[Instance]) -> None:
    killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    everybody_reports(services, fleet[:2])
    liar = fleet[2]
    liar.report(services, epoch="another")
    liar.report(services, 10**6)
    Instance(liar.name, environment="staging", process=liar.process).report(services, epoch=None, revision=1)
    Instance(liar.name, PAYMENTS, process=liar.process).report(services)
    services.fleet.report(liar.key, liar.body(services.snapshots.view.epoch, None))
    found = acknowledged(services, killed, wait=0.1)
    assert (found.instances, found.applied, found.confirmed) == (3, 2, False)


def test_other_environments_and_services_are_not_asked(services: Services) -> None:
    for instance in (Instance("a", environment="staging"), Instance("b", PAYMENTS)):
        instance.report(services)
    found = acknowledged(services, services.kill.kill(ADMIN, CHECKOUT, FLAG), wait=5)
    assert (found.instances, found.confirmed) == (0, True)


def test_services_whose_flags_require_it_are_asked(services: Services) -> None:
    requires = [{"flag": "payments/new-ledger", "variants": ["on"]}]
    services.flags.create(ADMIN, CHECKOUT, boolean("needs", requires=requires))
    dependent = Instance("dependent", CHECKOUT)
    dependent.report(services)
    killed = services.kill.kill(ADMIN, PAYMENTS, "new-ledger")
    assert [straggler.service for straggler in acknowledged(services, killed).stragglers] == [CHECKOUT]
    dependent.report(services)
    assert acknowledged(services, killed).confirmed


def test_an_instance_need_not_reach_a_revision_that_does_not_change_its_snapshot(
    services: Services, fleet: list[Instance]
) -> None:
    everybody_reports(services, fleet)
    document = services.flags.patch(ADMIN, CHECKOUT, FLAG, {"owner": "ada"})
    found = services.acknowledgements.of_document(document["version"], document["updated_at"], ((CHECKOUT, "*"),))
    assert (found.instances, found.confirmed) == (3, True)


def test_a_later_revision_is_as_good(services: Services, fleet: list[Instance]) -> None:
    killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    services.kill.kill(ADMIN, CHECKOUT, "old-banner")
    everybody_reports(services, fleet)
    assert acknowledged(services, killed).confirmed


def test_a_kill_that_stands_is_acknowledged_without_a_latency_of_long_ago(
    services: Services, fleet: list[Instance]
) -> None:
    killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    everybody_reports(services, fleet)
    pass_time(services, 300)
    everybody_reports(services, fleet)
    again = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    found = acknowledged(services, again, wait=1)
    assert (found.revision, found.confirmed, found.latency_ms) == (killed.revision, True, None)


def test_latency_is_told_of_those_who_were_there(services: Services, fleet: list[Instance]) -> None:
    killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    pass_time(services, 30)
    for instance in (*fleet, Instance("new")):
        instance.report(services, applied_ms=20_000)
    found = acknowledged(services, killed)
    assert found.latency_ms is not None
    assert 9_000 < found.latency_ms["p50"] <= found.latency_ms["max"] < 30_000
    assert found.applied == 4


def test_percentiles_are_of_those_who_are_there() -> None:
    assert percentiles([]) is None
    assert percentiles([5.0]) == {"p50": 5.0, "p99": 5.0, "max": 5.0}
    assert percentiles([float(n) for n in range(1, 101)]) == {"p50": 50.0, "p99": 99.0, "max": 100.0}


def test_stop_answers_everybody_who_waits_at_once(services: Services, fleet: list[Instance]) -> None:
    killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    waiting = [Asked(services, killed) for _ in range(3)]
    began = time.monotonic()
    services.stop()
    assert [asked.answer().confirmed for asked in waiting] == [False] * 3
    assert time.monotonic() - began < 5
    assert acknowledged(services, killed, wait=ENOUGH_S).instances == 3
    services.stop()
    assert time.monotonic() - began < 10


def test_not_everybody_may_wait(services: Services, fleet: list[Instance], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.acknowledgements, "_places", threading.BoundedSemaphore(1))
    killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    asked = Asked(services, killed)
    assert not acknowledged(services, killed, wait=ENOUGH_S).confirmed
    assert not asked.answered
    everybody_reports(services, fleet)
    assert asked.answer().confirmed


def test_nothing_is_confirmed_before_the_news_of_others_are_known(
    services: Services, fleet: list[Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
    everybody_reports(services, fleet)
    monkeypatch.setattr(services._store.news, "mark", Mark)
    for wait in (None, 0.1):
        found = acknowledged(services, killed, wait)
        assert (found.applied, found.confirmed) == (3, False)


def test_nothing_is_confirmed_that_this_process_does_not_serve_yet(services: Services, fleet: list[Instance]) -> None:
    view = services.snapshots.view
    found = services.acknowledgements.of(
        view.revision + 1, "2026-11-24T00:00:00.000Z", ((CHECKOUT, "production"),), wait=0.1
    )
    assert (found.instances, found.applied, found.confirmed) == (3, 0, False)


def test_a_crowd_is_as_easily_watched_as_a_few(services: Services) -> None:
    def reports(number: int) -> float:
        crowd = [Instance(f"i-{index}") for index in range(number)]
        everybody_reports(services, crowd)
        services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="again")
        asked = Asked(services, services.kill.kill(ADMIN, CHECKOUT, FLAG))
        sample = crowd[:200]
        began = time.thread_time()  # not what others on this machine take meanwhile
        everybody_reports(services, sample)
        each = (time.thread_time() - began) / len(sample)
        for instance in crowd:
            instance.report(services, leaving=True, epoch=None)
        assert asked.answer().confirmed
        return each

    services.kill.kill(ADMIN, CHECKOUT, FLAG)
    few, many = reports(200), reports(4000)
    assert many < 10 * few


class TestProcesses:
    @pytest.fixture
    def other(self, services: Services, fake: FakeRedis, tmp_path: Path) -> Iterator[Services]:
        with opened(fake, tmp_path / "other") as found:
            yield found

    def test_reports_may_go_to_whichever_process(
        self, services: Services, other: Services, fleet: list[Instance]
    ) -> None:
        wait_until(lambda: len(states(other)) == 3, "the other process knows them")
        asked = Asked(services, services.kill.kill(ADMIN, CHECKOUT, FLAG))
        wait_until(lambda: other._store.view.revision == services._store.view.revision, "both serve it")
        fleet[0].report(services)
        fleet[1].report(other)
        assert not asked.answered
        fleet[2].report(other)
        found = asked.answer()
        assert (found.instances, found.applied, found.confirmed) == (3, 3, True)

    @pytest.mark.redis
    def test_a_restart_of_redis_in_between(self, real: RealRedis, tmp_path: Path) -> None:
        with opened(real, tmp_path / "one") as one, opened(real, tmp_path / "two") as two:
            with_flags(one, checkout=[FLAG])
            wait_until(lambda: two._store.view.revision == one._store.view.revision, "both serve it")
            fleet = [Instance(f"i-{number}") for number in range(4)]
            everybody_reports(two, fleet)
            wait_until(lambda: len(states(one)) == 4, "both know them")
            asked = Asked(one, one.kill.kill(ADMIN, CHECKOUT, FLAG))
            wait_until(lambda: two._store.view.revision == one._store.view.revision, "both serve it")
            everybody_reports(two, fleet[:2])
            real.kill()
            everybody_reports(two, fleet[2:])
            assert not asked.answered
            real.start()
            found = asked.answer()
            assert (found.instances, found.applied, found.confirmed) == (4, 4, True)

    @pytest.mark.redis
    def test_redis_away_holds_up_no_report(self, real: RealRedis, tmp_path: Path) -> None:
        with opened(real, tmp_path / "one") as one:
            with_flags(one, checkout=[FLAG])
            instance = Instance()
            instance.report(one)
            real.pause()
            began = time.monotonic()
            for number in range(100):
                Instance(f"i-{number}").report(one)
                counts: Any = {FLAG: {"on": 1}}
                one.evaluations.add(instance.key, CHECKOUT, counts)
            assert time.monotonic() - began < 20
            real.resume()
            wait_until(
                lambda: real.client().hlen("{downhaul}:fleet:checkout@production") == 101, "all of them are in Redis"
            )
