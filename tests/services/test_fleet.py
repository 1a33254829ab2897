"""The fleet: who is there, what each has, and what must never be believed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from downhaul_server.services import members
from downhaul_server.services.container import Services
from downhaul_server.services.deafness import Deafness
from downhaul_server.services.errors import Forbidden, NotFound, Overloaded
from downhaul_server.services.instances import OVERTAKEN_S, Entry, Identity, decode, encode, merged
from downhaul_server.services.members import pace
from downhaul_server.services.survey import Fleets
from support.fleet import Instance, pass_time, states
from support.redis import FakeRedis, RealRedis
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, actor, opened, sdk_key
from support.waiting import wait_until

ONE = Instance("one")
PRODUCTION = (CHECKOUT, "production")


@pytest.fixture
def other(services: Services, fake: FakeRedis, tmp_path: Path) -> Iterator[Services]:
    """Another server process on the same Redis."""
    with opened(fake, tmp_path / "other") as found:
        yield found


def only(services: Services, instance: Instance = ONE) -> Entry:
    (entry,) = services.fleet.entries((instance.service, instance.environment))
    return entry


class TestReports:
    def test_a_report_makes_an_instance_known_as_what_it_says_it_is(self, services: Services) -> None:
        ONE.report(services, applied_ms=250)
        fleet = services.survey.list(ADMIN, CHECKOUT)
        snapshot = services.snapshots.get(ONE.key, CHECKOUT)
        (item,) = fleet.page.items
        assert item == {
            "instance": "one",
            "process": ONE.process,
            "host": "node-7",
            "pid": 123,
            "build": "2.1.0",
            "region": None,
            "color": None,
            "sdk": "python/0.1.0",
            "link": "stream",
            "state": "live",
            "deaf": False,
            "epoch": snapshot.epoch,
            "revision": snapshot.revision,
            "last_seen_s": pytest.approx(0, abs=60),
            "applied": True,
        }
        assert (fleet.epoch, fleet.revision) == (snapshot.epoch, snapshot.revision)
        assert fleet.counts == {"live": 1, "silent": 0, "gone": 0}

    def test_a_key_is_for_its_services_and_its_environment(self, services: Services) -> None:
        epoch = services.snapshots.view.epoch
        with pytest.raises(Forbidden):
            services.fleet.report(sdk_key(services=["payments"]), ONE.body(epoch, 1))
        services.fleet.report(sdk_key("staging"), ONE.body(epoch, 1))
        assert services.fleet.entries(PRODUCTION) == []
        assert len(services.fleet.entries((CHECKOUT, "staging"))) == 1

    def test_what_is_not_there_has_no_fleet(self, services: Services) -> None:
        with pytest.raises(NotFound):
            services.fleet.report(sdk_key(), Instance(service="nowhere").body("e", 1))
        with pytest.raises(NotFound):
            services.fleet.report(sdk_key("moon"), ONE.body("e", 1))
        with pytest.raises(NotFound):
            services.survey.list(ADMIN, "nowhere")
        with pytest.raises(Forbidden):
            services.survey.list(actor(services=["payments"]), CHECKOUT)

    def test_a_revision_that_is_still_to_come_is_not_believed_and_asked_for_again_soon(
        self, services: Services
    ) -> None:
        revision = services.snapshots.view.revision
        told = ONE.report(services, revision + 1)
        assert told.next_report_s < 15
        assert only(services).sure is False
        killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
        assert killed.revision == revision + 1
        assert not next(services.survey.instances(PRODUCTION)).applied
        ONE.report(services, revision + 1)
        assert next(services.survey.instances(PRODUCTION)).applied

    def test_another_epoch_confirms_nothing(self, services: Services) -> None:
        ONE.report(services, 10**6, epoch="of-another-life")
        (seen,) = services.survey.instances(PRODUCTION)
        assert (seen.applied, seen.entry.sure) == (False, False)

    def test_a_process_without_a_snapshot_has_applied_nothing(self, services: Services) -> None:
        services.fleet.report(ONE.key, ONE.body(None, None))
        assert not next(services.survey.instances(PRODUCTION)).applied

    def test_a_report_that_was_overtaken_takes_nothing_back(self, services: Services) -> None:
        newest = services.snapshots.get(ONE.key, CHECKOUT).revision
        ONE.report(services)
        ONE.report(services, newest - 1)
        assert only(services).revision == newest

    def test_a_large_fleet_is_asked_to_report_less_often_and_to_spread(self) -> None:
        assert (pace(1).next_report_s, pace(1).spread_ms) == (15, 0)
        assert (pace(250).next_report_s, pace(250).spread_ms) == (15, 0)
        assert (pace(10_000).next_report_s, pace(10_000).spread_ms) == (60, 4000)
        assert pace(3000).next_report_s == 30

    def test_made_up_processes_are_refused_before_they_fill_redis(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(members, "MOST_INSTANCES", 3)
        crowd = [Instance(f"i-{number}") for number in range(3)]
        for instance in crowd:
            instance.report(services)
        with pytest.raises(Overloaded, match="3 instances"):
            ONE.report(services)
        ONE.open_stream(services)
        crowd[0].report(services)
        assert len(services.fleet.entries(PRODUCTION)) == 3
        pass_time(services, 20)
        crowd[0].report(services, leaving=True)
        ONE.report(services)
        assert "i-0" not in states(services) and "one" in states(services)
        assert services.fleet.forget() == {PRODUCTION: [crowd[0].process]}


class TestStates:
    def test_who_is_not_heard_of_falls_silent_then_is_gone_then_is_forgotten(self, services: Services) -> None:
        ONE.report(services)
        pass_time(services, 37)
        assert states(services) == {"one": "live"}
        pass_time(services, 1)
        assert states(services) == {"one": "silent"}
        assert services.survey.list(ADMIN, CHECKOUT).page.items[0]["link"] == "silent"
        pass_time(services, 600)
        assert states(services) == {"one": "gone"}
        pass_time(services, 3600)
        services.fleet.forget()
        assert states(services) == {}

    def test_who_leaves_is_gone_at_once_and_may_come_back(self, services: Services) -> None:
        ONE.report(services, leaving=True)
        assert states(services) == {"one": "gone"}
        pass_time(services, 1)
        pass_time(services, OVERTAKEN_S + 1)
        ONE.report(services)
        assert states(services) == {"one": "live"}

    def test_a_stream_that_its_own_side_has_closed_is_gone_when_the_next_report_does_not_come(
        self, services: Services
    ) -> None:
        ONE.report(services)
        ONE.open_stream(services)
        pass_time(services, 1)
        ONE.close_stream(services)
        pass_time(services, 15)
        assert states(services) == {"one": "live"}
        pass_time(services, 3)
        assert states(services) == {"one": "gone"}
        ONE.report(services)
        assert states(services) == {"one": "live"}

    def test_a_stream_that_this_side_has_ended_says_nothing(self, services: Services) -> None:
        ONE.report(services)
        ONE.open_stream(services)
        pass_time(services, 1)
        ONE.close_stream(services, by_client=False)
        pass_time(services, 36)
        assert states(services) == {"one": "live"}

    def test_the_end_of_an_older_stream_says_nothing(self, services: Services) -> None:
        for _ in range(2):
            ONE.open_stream(services)
            pass_time(services, 0.1)
        ONE.close_stream(services)
        assert only(services).closed is None
        ONE.close_stream(services)
        assert only(services).closed is not None

    def test_nor_does_it_when_the_later_stream_is_at_another_process(self, services: Services, other: Services) -> None:
        ONE.open_stream(services)
        began = only(services).opened
        wait_until(lambda: states(other), "the other process knows it")
        ONE.open_stream(other)
        wait_until(lambda: only(services).opened != began, "the news are there")
        ONE.close_stream(services)
        assert only(services).closed is None

    def test_a_stream_alone_makes_an_instance_known(self, services: Services) -> None:
        ONE.open_stream(services)
        (seen,) = services.survey.instances(PRODUCTION)
        assert (seen.entry.name, seen.state.value, seen.applied) == (ONE.process, "live", False)

    def test_a_large_fleets_instances_may_be_quiet_for_longer(self) -> None:
        entry = Entry("p", Identity("i"), "stream", heard=0, first=0, interval=60)
        assert entry.state(149).value == "live"
        assert entry.state(151).value == "silent"


class TestDeaf:
    def test_who_is_behind_for_ten_seconds_is_deaf(self, services: Services) -> None:
        ONE.report(services)
        services.survey.look()
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        services.survey.look()
        assert [seen.deaf for seen in services.survey.instances(PRODUCTION)] == [False]
        pass_time(services, 11)
        assert [(seen.deaf, seen.state.value) for seen in services.survey.instances(PRODUCTION)] == [(True, "live")]
        ONE.report(services)
        assert [seen.deaf for seen in services.survey.instances(PRODUCTION)] == [False]

    def test_who_is_silent_is_deaf_and_who_is_gone_is_not(self, services: Services) -> None:
        ONE.report(services)
        pass_time(services, 100)
        assert [seen.deaf for seen in services.survey.instances(PRODUCTION)] == [True]
        pass_time(services, 600)
        assert [seen.deaf for seen in services.survey.instances(PRODUCTION)] == [False]

    def test_the_log_has_it_once_whoever_looks_and_once_when_it_is_over(
        self, services: Services, other: Services, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "downhaul_server.services.deafness")
        ONE.report(services)
        wait_until(lambda: states(other), "the other process knows it")
        for process in (services, other):
            pass_time(process, 100)
        here, there = Deafness(services._store, services.survey), Deafness(other._store, other.survey)
        for look in (here.look, here.look, there.look, here.look):
            look()
        said = [record.message for record in caplog.records if record.levelno == logging.WARNING]
        assert len(said) == 1 and "one on node-7 is deaf" in said[0]
        ONE.report(services)
        for look in (here.look, here.look):
            look()
        assert [record.message for record in caplog.records][1:] == [
            f"fleet: checkout@production/{ONE.process} is not deaf any more, or gone"
        ]


class TestLists:
    def test_live_ones_first_in_pages(self, services: Services) -> None:
        for name in ("b", "a", "c"):
            Instance(name).report(services)
        Instance("0").report(services, leaving=True)

        def names(fleet: Fleets) -> list[str]:
            return [item["instance"] for item in fleet.page.items]

        first = services.survey.list(ADMIN, CHECKOUT, limit=2)
        assert names(first) == ["a", "b"]
        rest = services.survey.list(ADMIN, CHECKOUT, limit=2, cursor=first.page.next)
        assert names(rest) == ["c", "0"] and rest.page.next is None
        assert names(services.survey.list(ADMIN, CHECKOUT, state="gone")) == ["0"]
        assert rest.counts == {"live": 3, "silent": 0, "gone": 1}

    def test_only_those_of_the_environment(self, services: Services) -> None:
        Instance("here").report(services)
        Instance("there", environment="staging").report(services)
        items = services.survey.list(actor(environments=["staging"]), CHECKOUT).page.items
        assert [item["instance"] for item in items] == ["there"]


class TestProcesses:
    def test_another_process_learns_of_a_report_at_once(self, services: Services, other: Services) -> None:
        ONE.report(services, applied_ms=50_000)
        wait_until(lambda: states(other) == {"one": "live"}, "the news are there")
        assert only(other).revision == only(services).revision
        assert abs((only(other).applied_at or 0) - (only(services).applied_at or 0)) < 5

    def test_a_process_that_starts_knows_the_fleet(self, services: Services, fake: FakeRedis, tmp_path: Path) -> None:
        ONE.report(services)
        wait_until(lambda: fake.client().exists("{downhaul}:fleet:checkout@production"), "it is in Redis")
        with opened(fake, tmp_path / "late") as late:
            assert states(late) == {"one": "live"}
            (seen,) = late.survey.instances(PRODUCTION)
            assert seen.applied

    def test_what_is_forgotten_is_swept_out_of_redis(self, services: Services, fake: FakeRedis) -> None:
        ONE.report(services)
        wait_until(lambda: fake.client().exists("{downhaul}:fleet:checkout@production"), "it is in Redis")
        fake.client().hset("{downhaul}:fleet:checkout@production", "old", '["old"]')
        services._store.news.sweep(services.fleet.is_forgotten)
        assert fake.client().hkeys("{downhaul}:fleet:checkout@production") == [ONE.process.encode()]
        pass_time(services, 4000)
        services._store.news.sweep(services.fleet.is_forgotten)
        assert not fake.client().exists("{downhaul}:fleet:checkout@production", "{downhaul}:fleets")

    def test_what_another_release_has_written_is_left_alone(self, services: Services, fake: FakeRedis) -> None:
        services.fleet.heard("checkout@production", [["x"], [1, 2], ["p", [], *range(12)]])
        assert services.fleet.entries(PRODUCTION) == []

    @pytest.mark.redis
    def test_what_was_missed_while_redis_was_away_is_learned_afterwards(self, real: RealRedis, tmp_path: Path) -> None:
        with opened(real, tmp_path / "one") as one, opened(real, tmp_path / "two") as two:
            one.catalog.create_service(ADMIN, {"key": CHECKOUT})
            wait_until(lambda: two._store.view.get("service/checkout"), "both have it")
            ONE.report(one)
            wait_until(lambda: states(two) == {"one": "live"}, "the other knows it")
            real.kill()
            for number in range(20):
                Instance(f"away-{number}").report(one)
            Instance("mine").report(two)
            assert len(states(one)) == 21
            real.start()
            wait_until(lambda: len(states(two)) == 22 == len(states(one)), "both know all")
            real.kill()
            real.start()
        with opened(real, tmp_path / "three") as three:
            assert len(states(three)) == 22


class TestMerging:
    def test_the_order_does_not_matter(self) -> None:
        told = [
            Entry("p", Identity("i"), "poll", 10.0, 10.0, epoch="e", revision=5, sure=True, applied_at=9.0),
            Entry("p", Identity(), "stream", 12.0, 12.0, opened=12.0, epoch="e", revision=4, sure=True, applied_at=3.0),
            Entry(
                "p", Identity("i"), "stream", 11.0, 11.0, epoch="e", revision=5, sure=True, applied_at=9.5, left=11.0
            ),
        ]
        one = merged(merged(told[0], told[1]), told[2])
        assert one == merged(told[2], merged(told[1], told[0])) == merged(merged(told[2], told[0]), told[1])
        assert (one.identity.instance, one.revision, one.applied_at, one.first, one.heard) == ("i", 5, 9.0, 10.0, 12.0)
        assert merged(one, one) == one

    def test_a_later_epoch_replaces_whatever_there_was(self) -> None:
        before = Entry("p", Identity("i"), "poll", 10.0, 1.0, epoch="e", revision=50, sure=True)
        after = Entry("p", Identity("i"), "poll", 11.0, 11.0, epoch="f", revision=7, sure=True)
        assert merged(after, before).has_applied("f", 7)
        assert not merged(before, after).has_applied("e", 1)

    def test_what_could_not_be_believed_replaces_what_was(self) -> None:
        before = Entry("p", Identity("i"), "poll", 10.0, 1.0, epoch="e", revision=50, sure=True)
        after = Entry("p", Identity("i"), "poll", 11.0, 11.0, epoch="e", revision=999, sure=False)
        assert not merged(before, after).has_applied("e", 50)

    def test_records_travel_between_clocks(self) -> None:
        entry = Entry("p", Identity("i", pid=3), "poll", 10.0, 1.0, epoch="e", revision=5, sure=True, applied_at=9.5)
        record = json.loads(encode(entry, lambda local: round((local + 1000) * 1000)))
        assert decode(record, lambda ms: ms / 1000 - 1000, 20.0) == entry
        assert decode(record, lambda ms: ms / 1000, 20.0).heard == 20.0


def test_payments_have_a_fleet_of_their_own(services: Services) -> None:
    ONE.report(services)
    Instance("p", PAYMENTS).report(services)
    assert states(services, PAYMENTS) == {"p": "live"}
