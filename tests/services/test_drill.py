"""A drill kills and restores one harmless flag of each service, and tells how long the fleet took to obey."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.drill_flags import FLAG as DRILL
from downhaul_server.services.drill_schedule import DrillSchedule
from downhaul_server.services.errors import Forbidden, InProgress, Invalid, NotFound, Unavailable
from support.fleet import Instance, pass_time
from support.redis import FakeRedis
from support.services import ADMIN, CHECKOUT, PAYMENTS, actor, boolean, opened
from support.waiting import wait_until


@contextmanager
def obeying(services: Services, *instances: Instance) -> Iterator[None]:
    """Instances that report whatever is new, as the SDK does."""
    for instance in instances:
        instance.report(services)

    def obey(view: Any, entry: Any) -> None:
        for instance in instances:
            instance.report(services)

    unsubscribe = services._store.subscribe(obey)
    try:
        yield
    finally:
        unsubscribe()


def drill_flag(services: Services, service: str = CHECKOUT) -> dict[str, Any]:
    return services.flags.get(ADMIN, service, DRILL)


def actions(services: Services, number: int) -> list[tuple[str, str]]:
    """(what, who) of the last entries of the log, oldest first."""
    items = services.history.log(ADMIN, limit=number).items
    return [(item["action"], item["actor"]) for item in reversed(items)]


def test_all_services_are_drilled_in_one_commit(services: Services) -> None:
    with obeying(services, Instance("c-1"), Instance("c-2"), Instance("p", PAYMENTS)):
        result = services.drills.run(actor("operator", name="grace"), wait=10)
    assert (result["environment"], result["confirmed"]) == ("production", True)
    found = [(item["service"], item["instances"], item["applied"], item["confirmed"]) for item in result["services"]]
    assert found == [(CHECKOUT, 2, 2, True), (PAYMENTS, 1, 1, True)]
    assert all(item["latency_ms"]["max"] < 5000 for item in result["services"])
    assert actions(services, 3) == [("drill.prepare", "grace"), ("drill.kill", "grace"), ("drill.restore", "grace")]
    entry = services.history.log(ADMIN, limit=2).items[1]
    assert (entry["revision"], entry["at"]) == (result["revision"], result["committed_at"])
    assert entry["reason"] == f"drill {result['id']}"


def test_it_makes_its_flag_once_and_leaves_it_as_it_was(services: Services) -> None:
    services.drills.run(ADMIN, services=[CHECKOUT], wait=0)
    flag = drill_flag(services)
    assert (flag["type"], flag["purpose"], flag["tags"]) == ("boolean", "ops", ["drill"])
    assert [state["killed"] for state in flag["environments"].values()] == [None, None]
    services.drills.run(ADMIN, services=[CHECKOUT], wait=0)
    assert [what for what, _ in actions(services, 5)][2:] == ["drill.restore", "drill.kill", "drill.restore"]
    with pytest.raises(NotFound):
        drill_flag(services, PAYMENTS)


def test_no_other_flag_is_touched(services: Services) -> None:
    before = {flag["key"]: flag["version"] for flag in services.flags.list(ADMIN, CHECKOUT).items}
    services.drills.run(ADMIN, wait=0)
    after = {flag["key"]: flag["version"] for flag in services.flags.list(ADMIN, CHECKOUT).items}
    assert {key: version for key, version in after.items() if key != DRILL} == before


def test_who_does_not_obey_is_named_and_the_flag_restored_all_the_same(services: Services) -> None:
    mute = Instance("mute")
    mute.report(services)
    with obeying(services, Instance("good"), Instance("p", PAYMENTS)):
        result = services.drills.run(ADMIN, wait=0.3)
    checkout, payments = result["services"]
    assert (result["confirmed"], checkout["confirmed"], payments["confirmed"]) == (False, False, True)
    assert [straggler["instance"] for straggler in checkout["stragglers"]] == ["mute"]
    assert drill_flag(services)["environments"]["production"]["killed"] is None


def test_an_interrupted_drill_is_put_right_by_the_next(services: Services) -> None:
    services.drills.run(ADMIN, services=[CHECKOUT], wait=0)
    services.kill.kill(ADMIN, CHECKOUT, DRILL, reason="drill that died")
    with obeying(services, Instance()):
        assert services.drills.run(ADMIN, services=[CHECKOUT], wait=10)["confirmed"]
    assert drill_flag(services)["environments"]["production"]["killed"] is None


def test_a_flag_of_that_name_that_is_something_else_is_not_touched(services: Services) -> None:
    services.flags.create(ADMIN, CHECKOUT, boolean(DRILL))
    version = drill_flag(services)["version"]
    with pytest.raises(Invalid, match="checkout/downhaul-drill is not a drill's"):
        services.drills.run(ADMIN, services=[PAYMENTS, CHECKOUT], wait=0)
    result = services.drills.run(ADMIN, wait=0)
    checkout, payments = result["services"]
    assert "purpose ops" in checkout["error"] and "error" not in payments
    assert (result["confirmed"], checkout["confirmed"], payments["confirmed"]) == (False, False, True)
    assert drill_flag(services)["version"] == version


def test_one_at_a_time_in_an_environment(services: Services) -> None:
    Instance("mute").report(services)
    first = threading.Thread(target=services.drills.run, args=(ADMIN,), kwargs={"wait": 20}, daemon=True)
    first.start()
    wait_until(lambda: services.fleet._watches, "the first one waits")
    with pytest.raises(InProgress, match="production"):
        services.drills.run(ADMIN, wait=0)
    assert services.drills.run(ADMIN, environment="staging", wait=0)["confirmed"]
    services.stop()
    first.join(10)
    assert not first.is_alive()
    assert drill_flag(services)["environments"]["production"]["killed"] is None
    services.drills.run(ADMIN, wait=0)


def test_who_may_run_one_and_where(services: Services) -> None:
    for nobody in (
        actor("viewer"),
        actor("operator", environments=["staging"]),
    ):
        with pytest.raises(Forbidden):
            services.drills.run(nobody, environment="production", wait=0)
    payer = actor("operator", services=["payments"])
    with pytest.raises(Forbidden):
        services.drills.run(payer, services=[CHECKOUT], wait=0)
    assert [item["service"] for item in services.drills.run(payer, wait=0)["services"]] == [PAYMENTS]
    for wrong in ({"environment": "moon"}, {"services": ["nowhere"]}):
        with pytest.raises(NotFound):
            services.drills.run(ADMIN, wait=0, **wrong)  # type: ignore[arg-type]


def test_a_service_less_store_has_nothing_to_drill(empty: Services) -> None:
    with pytest.raises(NotFound):
        empty.drills.run(ADMIN, wait=0)


def test_a_repeated_request_gets_the_first_ones_drill(services: Services) -> None:
    first = services.drills.run(ADMIN, services=[CHECKOUT], wait=0, operation="once")
    again = services.drills.run(ADMIN, services=[CHECKOUT], wait=0, operation="once")
    assert (again["id"], again["revision"]) == (first["id"], first["revision"])
    assert [what for what, _ in actions(services, 3)] == ["drill.prepare", "drill.kill", "drill.restore"]


def test_the_last_results_are_kept_for_all_processes(services: Services, fake: FakeRedis, tmp_path: Path) -> None:
    with opened(fake, tmp_path / "other") as other:
        services.drills.run(actor(name="grace"), wait=0)
        result = services.drills.run(actor(name="grace"), services=[CHECKOUT], wait=0)
        wait_until(lambda: len(other.drill_results.with_ages()) == 2, "the other process knows them")
        items = other.drill_results.page(ADMIN).items
        assert [(item["service"], item["environment"], item["by"]) for item in items] == [
            (CHECKOUT, "production", "grace"),
            (PAYMENTS, "production", "grace"),
        ]
        assert items[0]["id"] == result["id"] != items[1]["id"] and 0 <= items[0]["age_s"] < 60
        assert [item["service"] for item in other.drill_results.page(actor(services=["payments"])).items] == [PAYMENTS]
        assert other.drill_results.page(actor(environments=["staging"])).items == []


class TestSchedule:
    def schedule(self, services: Services, every_s: int = 3600) -> DrillSchedule:
        return DrillSchedule(
            services._store,
            services.drills,
            services.drill_results,
            every_s=every_s,
            environments=("production", "staging"),
        )

    def drilled(self, services: Services) -> set[str]:
        return {result["environment"] for result, _ in services.drill_results.with_ages()}

    def test_the_first_comes_within_a_minute_and_the_next_when_it_is_due(self, services: Services) -> None:
        schedule = self.schedule(services)
        schedule.run_due()
        pass_time(services, 61)
        for place in ({"production"}, {"production", "staging"}):
            schedule.run_due()
            wait_until(lambda place=place: self.drilled(services) == place, "it was drilled")  # type: ignore[misc]
            wait_until(lambda: not (schedule._running and schedule._running.is_alive()), "it has ended")
        drills = len(services.history.log(ADMIN, limit=100).items)
        pass_time(services, 0.85 * 3600)
        schedule.run_due()
        assert schedule._running is not None and not schedule._running.is_alive()
        assert len(services.history.log(ADMIN, limit=100).items) == drills
        pass_time(services, 0.3 * 3600)
        schedule.run_due()
        wait_until(lambda: len(services.history.log(ADMIN, limit=100).items) == drills + 2, "it was drilled again")
        assert actions(services, 1) == [("drill.restore", "downhaul-server")]
        schedule._running.join(10)

    def test_a_new_process_goes_on_from_the_last_drill(self, services: Services) -> None:
        services.drills.run(ADMIN, wait=0)
        services.drills.run(ADMIN, environment="staging", wait=0)
        schedule = self.schedule(services)
        schedule.run_due()
        pass_time(services, 120)
        schedule.run_due()
        assert schedule._running is None

    def test_never_is_never(self, services: Services) -> None:
        schedule = self.schedule(services, every_s=0)
        pass_time(services, 10**6)
        schedule.run_due()
        assert schedule._running is None

    def test_what_goes_wrong_is_told_and_tried_again(
        self, services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        monkeypatch.setattr("downhaul_server.services.drill.WAIT_S", 0.1)
        schedule = self.schedule(services)

        def refuse(*_: Any, **__: Any) -> None:
            raise Unavailable("Redis does not answer")

        with monkeypatch.context() as patch:
            patch.setattr(services.drills, "run", refuse)
            schedule.run("production")
        assert "the drill in production failed: Redis does not answer" in caplog.text
        Instance("mute").report(services)
        run = services.drills.run
        monkeypatch.setattr(services.drills, "run", lambda *given, **named: run(*given, **named, wait=0))
        schedule.run("production")
        assert "the drill in production was not confirmed by: checkout" in caplog.text
