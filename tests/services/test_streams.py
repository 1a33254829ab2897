"""Streams: what each begins with, that every change reaches it, how it ends, and what it costs."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from downhaul_server.services import streams as streams_module
from downhaul_server.services import topics as topics_module
from downhaul_server.services.actors import SdkKey
from downhaul_server.services.changes import difference
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, NotFound, Overloaded, Unauthenticated, Unavailable
from downhaul_server.services.events import Event
from downhaul_server.services.ruleset import Content
from downhaul_server.services.snapshots import Snapshot
from downhaul_server.services.stream import MOST_WAITING, MOST_WAITING_BYTES, Reason, Stream
from downhaul_server.store import Store
from downhaul_server.store.keys import LOG, META
from support.redis import FakeRedis
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, PRO, rule
from support.streams import Listener, Replica, listen
from support.waiting import wait_until


@pytest.fixture
def services(services: Services) -> Iterator[Services]:
    """All streams are ended with the test."""
    yield services
    services.stop()


def key_for(services: Services, service: str = "*", environment: str = "production") -> SdkKey:
    """A key that is there."""
    body = {"kind": "sdk", "name": "instances", "environment": environment, "services": [service]}
    key = services.authenticate(services.keys.create(ADMIN, body)["token"])
    assert isinstance(key, SdkKey)
    return key


@pytest.fixture
def key(services: Services) -> SdkKey:
    return key_for(services)


def position(services: Services, key: SdkKey, service: str = CHECKOUT) -> tuple[str, int]:
    snapshot = services.snapshots.get(key, service)
    return snapshot.epoch, snapshot.revision


class TestBeginning:
    def test_a_cold_start_is_the_body_of_a_poll_made_once_for_all(self, services: Services, key: SdkKey) -> None:
        with listen(services, key, CHECKOUT) as one, listen(services, key, CHECKOUT) as other:
            first = one.next("snapshot")
            other.next("snapshot")
            snapshot = services.snapshots.get(key, CHECKOUT)
            assert first.data == json.loads(snapshot.body)
            assert first.id == f"{snapshot.epoch}:{snapshot.revision}"
            assert one.raw[0] is other.raw[0]

    def test_who_is_up_to_date_hears_so_at_once(self, services: Services, key: SdkKey) -> None:
        epoch, revision = position(services, key)
        with listen(services, key, CHECKOUT, last=(epoch, revision)) as listener:
            beat = listener.next("heartbeat")
            assert (beat.data["epoch"], beat.data["revision"]) == (epoch, revision)
            assert 0 <= beat.data["age_s"] < 5
            assert listener.of("snapshot") == []

    def test_who_is_ahead_of_this_server_is_given_nothing_older(self, services: Services, key: SdkKey) -> None:
        epoch, revision = position(services, key)
        with listen(services, key, CHECKOUT, last=(epoch, revision + 5)) as listener:
            assert listener.next("heartbeat").data["revision"] == revision
            assert listener.of("snapshot") == []

    def test_who_is_behind_gets_the_net_difference(self, services: Services, key: SdkKey) -> None:
        last = position(services, key)
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        services.flags.delete(ADMIN, CHECKOUT, "old-banner")
        services.kill.kill(ADMIN, PAYMENTS, "new-ledger")
        with listen(services, key, CHECKOUT, last=last) as listener:
            data = listener.next("change").data
        assert (data["base"], data["flag_count"], data["segments"]) == (last[1], 1, {})
        assert data["flags"].keys() == {FLAG, "old-banner"}
        assert data["flags"][FLAG]["killed"] is True and data["flags"]["old-banner"] is None
        assert data["revision"] == position(services, key)[1]

    def test_what_was_changed_and_changed_back_is_no_difference(self, services: Services, key: SdkKey) -> None:
        last = position(services, key)
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="a mistake")
        with listen(services, key, CHECKOUT, last=last) as listener:
            data = listener.next("change").data
        assert (data["flags"], data["segments"], data["revision"]) == ({}, {}, position(services, key)[1])

    @pytest.mark.parametrize("last", [("another", 3), ("", 0)])
    def test_another_epoch_begins_anew(self, services: Services, key: SdkKey, last: tuple[str, int]) -> None:
        with listen(services, key, CHECKOUT, last=last) as listener:
            assert listener.next("snapshot")

    def test_where_the_log_cannot_tell_it_begins_anew(self, services: Services, fake: FakeRedis, key: SdkKey) -> None:
        last = position(services, key)
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="x")
        fake.client().xtrim(LOG, maxlen=1, approximate=False)
        with listen(services, key, CHECKOUT, last=last) as listener:
            assert listener.next("snapshot").data["revision"] == position(services, key)[1]

    def test_a_herd_that_comes_back_looks_into_the_log_once(
        self, services: Services, key: SdkKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        last = position(services, key)
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        looks, entered, go = [], threading.Event(), threading.Event()
        rewind = Store.rewind

        def slowly(store: Store, view: Any, revision: int) -> Any:
            looks.append(revision)
            entered.set()
            assert go.wait(10)
            return rewind(store, view, revision)

        monkeypatch.setattr(Store, "rewind", slowly)
        listeners: list[Listener] = []
        threads = [
            threading.Thread(target=lambda: listeners.append(listen(services, key, CHECKOUT, last=last)))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        assert entered.wait(10)
        go.set()
        for thread in threads:
            thread.join()
        assert len({id(listener.raw[0]) for listener in listeners if listener.next("change")}) == 1
        assert looks == [last[1]]

    def test_what_happens_meanwhile_comes_after_the_beginning(
        self, services: Services, key: SdkKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        last = position(services, key)
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        rewind = Store.rewind

        def meanwhile(store: Store, view: Any, revision: int) -> Any:
            services.kill.kill(ADMIN, CHECKOUT, "old-banner")
            wait_until(lambda: len(next(iter(services.streams._wheel[0]))._waiting), "the change is on its way")
            return rewind(store, view, revision)

        monkeypatch.setattr(Store, "rewind", meanwhile)
        with listen(services, key, CHECKOUT, last=last) as listener:
            first, second = listener.next("change"), listener.next("change", 1)
        assert (first.data["base"], list(first.data["flags"])) == (last[1], [FLAG])
        assert (second.data["base"], list(second.data["flags"])) == (first.data["revision"], ["old-banner"])


class TestRefusals:
    def test_as_for_the_snapshot(self, services: Services, key: SdkKey) -> None:
        with pytest.raises(NotFound):
            services.streams.open(key, "nowhere", None, None)
        with pytest.raises(Forbidden):
            services.streams.open(key_for(services, PAYMENTS), CHECKOUT, None, None)

    def test_a_key_that_was_revoked_a_moment_ago(self, services: Services, key: SdkKey) -> None:
        services.keys.revoke(ADMIN, key.id)
        with pytest.raises(Unauthenticated):
            services.streams.open(key, CHECKOUT, "p", None)
        assert services.streams._live == 0

    def test_there_is_room_for_so_many_and_again_when_one_is_closed(self, services: Services, key: SdkKey) -> None:
        services.streams._most = 2
        held = [services.streams.open(key, CHECKOUT, None, None) for _ in range(2)]
        with pytest.raises(Overloaded, match="holds 2 streams"):
            services.streams.open(key, PAYMENTS, None, None)
        services.streams.close(held[0])
        services.streams.close(held[0])
        assert services.streams.open(key, PAYMENTS, None, None)

    def test_one_key_cannot_take_all_of_it(self, services: Services, key: SdkKey) -> None:
        services.streams._most_per_key = 1
        assert services.streams.open(key, CHECKOUT, None, None)
        with pytest.raises(Overloaded, match="key instances"):
            services.streams.open(key, PAYMENTS, None, None)
        assert services.streams.open(key_for(services), CHECKOUT, None, None)

    def test_a_process_that_is_about_to_end_takes_none(self, services: Services, key: SdkKey) -> None:
        services.stop()
        with pytest.raises(Unavailable, match="about to end"):
            services.streams.open(key, CHECKOUT, None, None)


class TestChanges:
    def test_every_stream_of_the_service_gets_the_same_event(self, services: Services, key: SdkKey) -> None:
        with listen(services, key, CHECKOUT) as one, listen(services, key, CHECKOUT) as other:
            one.next("snapshot"), other.next("snapshot")
            base = position(services, key)[1]
            killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
            change = one.next("change")
            other.next("change")
            assert one.raw[-1] is other.raw[-1]
        assert change.data == {
            "schema": 1,
            "epoch": services.snapshots.view.epoch,
            "base": base,
            "revision": killed.revision,
            "service": CHECKOUT,
            "environment": "production",
            "flag_count": 2,
            "checksum": change.data["checksum"],
            "flags": {FLAG: services.snapshots.get(key, CHECKOUT).content.flags[FLAG]},
            "segments": {},
        }

    def test_flags_and_segments_enter_and_leave_with_what_needs_them(self, services: Services, key: SdkKey) -> None:
        need = {"requires": [{"flag": "payments/new-ledger", "variants": ["on"]}]}
        with listen(services, key, CHECKOUT) as listener:
            listener.next("snapshot")
            services.segments.create(ADMIN, {"key": "pro", "when": PRO})
            services.flags.set_state(ADMIN, PAYMENTS, "new-ledger", "production", {"rules": [rule({"segment": "pro"})]})
            services.flags.patch(ADMIN, CHECKOUT, FLAG, need)
            came = listener.next("change").data
            services.kill.kill(ADMIN, PAYMENTS, "new-ledger")
            foreign = listener.next("change", 1).data
            services.flags.patch(ADMIN, CHECKOUT, FLAG, {"requires": []})
            went = listener.next("change", 2).data
        assert came["flags"].keys() == {FLAG, "payments/new-ledger"} and came["segments"] == {"pro": PRO}
        assert foreign["flags"].keys() == {"payments/new-ledger"} and foreign["segments"] == {}
        assert went["flags"]["payments/new-ledger"] is None and went["segments"] == {"pro": None}
        assert went["flag_count"] == 2

    def test_what_does_not_concern_them_costs_next_to_nothing(
        self, services: Services, key: SdkKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[str] = []
        change_event = topics_module.change_event

        def counted(content: Content, revision: int, after: Snapshot) -> Event:
            made.append(after.service)
            return change_event(content, revision, after)

        monkeypatch.setattr(topics_module, "change_event", counted)
        with listen(services, key, CHECKOUT) as listener:
            listener.next("snapshot")
            services.flags.patch(ADMIN, CHECKOUT, FLAG, {"description": "nothing that matters"})
            services.kill.kill(ADMIN, PAYMENTS, "new-ledger")
            services.kill.kill(ADMIN, CHECKOUT, FLAG, environment="staging")
            services.kill.kill(ADMIN, CHECKOUT, FLAG)
            change = listener.next("change")
        assert list(change.data["flags"]) == [FLAG] and made == [CHECKOUT]

    def test_the_whole_snapshot_is_not_made_for_a_change(self, services: Services, key: SdkKey) -> None:
        with listen(services, key, CHECKOUT) as listener:
            listener.next("snapshot")
            services.kill.kill(ADMIN, CHECKOUT, FLAG)
            listener.next("change")
            assert "body" not in vars(services.snapshots.get(key, CHECKOUT))

    def test_many_changes_at_once_are_told_in_order_and_without_a_gap(self, services: Services, key: SdkKey) -> None:
        replica = Replica()
        with listen(services, key, CHECKOUT) as listener:
            listener.next("snapshot")
            for _ in range(10):
                services.kill.kill(ADMIN, CHECKOUT, FLAG)
                services.kill.restore(ADMIN, CHECKOUT, FLAG, reason="x")
            newest = services.snapshots.get(key, CHECKOUT)
            wait_until(lambda: listener.heard[-1].id == newest.position, "the newest has arrived")
            for heard in listener.heard:
                replica.take(heard)
        assert (replica.revision, replica.flags) == (newest.revision, newest.content.flags)

    def test_a_new_epoch_is_a_new_beginning(self, services: Services, fake: FakeRedis, key: SdkKey) -> None:
        with listen(services, key, CHECKOUT) as listener:
            first = listener.next("snapshot")
            decided = {"epoch": "another", "succeeds": first.data["epoch"]}
            fake.client().hset(META, mapping=decided)
            again = listener.next("snapshot", 1)
        assert again.data["epoch"] == "another" and listener.of("change") == []

    def test_streams_of_which_nothing_can_be_told_any_more_are_cut(
        self, services: Services, key: SdkKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> Event:
            raise RuntimeError("a bug")

        with listen(services, key, CHECKOUT) as broken, listen(services, key, PAYMENTS) as whole:
            broken.next("snapshot"), whole.next("snapshot")
            monkeypatch.setattr(topics_module, "change_event", fail)
            services.kill.kill(ADMIN, CHECKOUT, FLAG)
            wait_until(broken.ended, "it is cut")
            assert broken.stream.reason is Reason.FAILED and broken.of("end") == []
            assert whole.stream.reason is None
            monkeypatch.undo()
            with listen(services, key, CHECKOUT) as again:
                assert again.next("snapshot").data["revision"] == position(services, key)[1]


class TestHeartbeats:
    @pytest.fixture(autouse=True)
    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streams_module, "TICK_S", 0.002)

    def test_they_come_again_and_again_with_the_revision(self, services: Services, key: SdkKey) -> None:
        with listen(services, key, CHECKOUT) as listener:
            listener.next("snapshot")
            killed = services.kill.kill(ADMIN, CHECKOUT, FLAG)
            listener.next("change")
            known = len(listener.of("heartbeat"))
            beats = [listener.next("heartbeat", known + 1), listener.next("heartbeat", known + 2)]
        assert {beat.data["revision"] for beat in beats} == {killed.revision}
        assert {beat.id for beat in beats} == {f"{services.snapshots.view.epoch}:{killed.revision}"}

    def test_they_are_spread(self, services: Services, key: SdkKey) -> None:
        held = [services.streams.open(key, CHECKOUT, None, None) for _ in range(streams_module.SPOKES * 2)]
        assert sorted(stream.slot for stream in held) == sorted([*range(streams_module.SPOKES)] * 2)

    def test_they_do_not_pile_up_for_a_client_that_does_not_read(self, services: Services, key: SdkKey) -> None:
        stream = services.streams.open(key, CHECKOUT, None, None)
        with listen(services, key, CHECKOUT) as other:
            other.next("heartbeat", 3)
        assert len(stream._waiting) == 1 and stream.reason is None


class TestEnds:
    def test_of_age(self, services: Services, key: SdkKey) -> None:
        services.streams._age_s = 0.0
        with listen(services, key, CHECKOUT) as listener:
            end = listener.next("end")
            wait_until(listener.ended, "it has ended")
        assert end.data == {"reason": "age"} and end.id is None and end.retry is not None
        assert 100 <= end.retry <= 1500

    def test_ages_are_spread(self, services: Services, key: SdkKey) -> None:
        services.streams._clock = lambda: 0.0
        ends = [services.streams.open(key, CHECKOUT, None, None).ends_at for _ in range(100)]
        assert 675 <= min(ends) < 800 and 1000 < max(ends) <= 1125

    def test_when_the_key_is_revoked_only_its_streams_end(self, services: Services, key: SdkKey) -> None:
        with listen(services, key, CHECKOUT) as listener, listen(services, key_for(services), CHECKOUT) as other:
            listener.next("snapshot"), other.next("snapshot")
            services.keys.revoke(ADMIN, key.id)
            assert listener.next("end").data == {"reason": "revoked"}
            wait_until(listener.ended, "it has ended")
            services.kill.kill(ADMIN, CHECKOUT, FLAG)
            assert other.next("change") and other.of("end") == []

    def test_when_the_service_or_the_environment_is_deleted(self, services: Services, key: SdkKey) -> None:
        services.catalog.create_service(ADMIN, {"key": "search"})
        services.catalog.create_environment(ADMIN, {"key": "canary"})
        with listen(services, key, "search") as one, listen(services, key, CHECKOUT) as other:
            one.next("snapshot"), other.next("snapshot")
            services.catalog.delete_service(ADMIN, "search")
            assert one.next("end").data == {"reason": "revoked"}
            assert other.of("end") == []

    def test_at_shutdown_all_of_them_with_different_times_to_come_back(self, services: Services, key: SdkKey) -> None:
        listeners = [listen(services, key, CHECKOUT) for _ in range(50)]
        services.stop()
        services.stop()
        retries = [listener.next("end").retry for listener in listeners]
        assert {listener.of("end")[0].data["reason"] for listener in listeners} == {"shutdown"}
        assert len(set(retries)) > 25
        wait_until(lambda: all(listener.ended() for listener in listeners), "all have ended")

    def test_a_client_that_does_not_keep_up_is_dropped_and_nobody_waits_for_it(
        self, services: Services, key: SdkKey
    ) -> None:
        slow = services.streams.open(key, CHECKOUT, None, None)
        with listen(services, key, CHECKOUT) as other:
            for number in range(MOST_WAITING):
                assert slow.reason is None
                slow.push(Event.of("change", {"number": number}))
            assert slow.reason is Reason.SLOW and slow.take() is None
            services.kill.kill(ADMIN, CHECKOUT, FLAG)
            other.next("change")


class Account:
    """Notes what the streams tell the fleet, and whoever counts."""

    def __init__(self) -> None:
        self.notes: list[tuple[Any, ...]] = []

    def stream_opened(self, key: SdkKey, service: str, process: str) -> None:
        self.notes.append(("opened", service, process))

    def stream_closed(self, key: SdkKey, service: str, process: str, by_client: bool) -> None:
        self.notes.append(("closed", service, process, by_client))

    def opened(self) -> None: ...

    def ended(self, reason: str) -> None:
        self.notes.append(("ended", reason))

    def sent(self, event: str, streams: int) -> None:
        self.notes.append((event, streams))


class TestAccount:
    @pytest.fixture
    def account(self, services: Services) -> Account:
        account = Account()
        services.streams._fleet = account
        return account

    @pytest.mark.parametrize(
        ("end", "by_client"),
        [
            (lambda services, stream: None, True),
            (lambda services, stream: stream.finish(Reason.CLIENT), True),
            (lambda services, stream: stream.finish(Reason.SLOW), False),
            (lambda services, stream: services.stop(), False),
        ],
    )
    def test_the_fleet_is_told_who_began_and_who_ended_it(
        self,
        services: Services,
        key: SdkKey,
        account: Account,
        end: Callable[[Services, Stream], None],
        by_client: bool,
    ) -> None:
        stream = services.streams.open(key, CHECKOUT, "p1", None)
        end(services, stream)
        services.streams.close(stream)
        services.streams.close(stream)
        assert account.notes == [("opened", CHECKOUT, "p1"), ("closed", CHECKOUT, "p1", by_client)]

    def test_who_does_not_say_what_process_it_is_is_in_no_fleet(
        self, services: Services, key: SdkKey, account: Account
    ) -> None:
        services.streams.close(services.streams.open(key, CHECKOUT, None, None))
        assert account.notes == []

    def test_events_and_ends_are_counted(self, services: Services, key: SdkKey) -> None:
        account = Account()
        services.streams.observe(account)
        listeners = [listen(services, key, CHECKOUT) for _ in range(3)]
        services.kill.kill(ADMIN, CHECKOUT, FLAG)
        for listener in listeners:
            listener.next("change")
        services.stop()
        for listener in listeners:
            wait_until(listener.ended, "it has ended")
            services.streams.close(listener.stream)
        wait_until(lambda: ("end", 3) in account.notes, "ends are counted")
        assert account.notes.count(("snapshot", 1)) == 3 and ("change", 3) in account.notes
        assert account.notes.count(("ended", "shutdown")) == 3


def cut() -> None:
    pytest.fail("a connection is cut that should live")


class TestSendingAtOnce:
    """A stream whose connection takes events without waiting."""

    @pytest.fixture
    def stream(self) -> Iterator[Stream]:
        stream = Stream(SdkKey("k", "k", "production", frozenset("*")), CHECKOUT, None, 0.0, 0)
        yield stream
        stream.finish(Reason.AGE)

    def waiting(self, stream: Stream) -> list[Any]:
        """What somebody has taken who takes all the time; returns once they wait for more."""
        taken: list[Any] = []

        def take() -> None:
            while (item := stream.take()) is not None:
                taken.append(item)

        threading.Thread(target=take, daemon=True).start()
        wait_until(lambda: stream.idle, "they wait")
        return taken

    def test_what_is_sent_wakes_nobody(self, stream: Stream) -> None:
        sent: list[Event] = []
        taken = self.waiting(stream)
        stream.send_through(lambda event: sent.append(event), cut)
        event = Event.of("change", {})
        stream.push(event)
        assert sent == [event] and taken == [] and stream.idle

    def test_what_is_left_of_an_event_comes_before_the_next_one(self, stream: Stream) -> None:
        stream.send_through(lambda event: memoryview(event.text)[5:], cut)
        taken = self.waiting(stream)
        first, second = Event.of("change", {"n": 1}), Event.of("change", {"n": 2})
        stream.push(first)
        wait_until(lambda: len(taken) == 1, "the rest is taken")
        assert bytes(taken[0]) == first.text[5:]
        stream._idle = False
        stream.push(second)
        wait_until(lambda: taken[1:] == [second], "the next one is taken whole")

    def test_a_broken_connection_ends_it(self, stream: Stream) -> None:
        def broken(event: Event) -> None:
            raise BrokenPipeError(errno.EPIPE, "broken pipe")

        ends: list[int] = []
        stream.send_through(broken, lambda: ends.append(1))
        self.waiting(stream)
        stream.push(Event.of("change", {}))
        assert stream.reason is Reason.CLIENT and stream.take() is None
        assert ends == [1]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, {}),
        ({"a": {"x": 1}}, {"a": {"x": 1}}, {}),
        ({"a": {"x": 1}}, {"a": {"x": 2}}, {"a": {"x": 2}}),
        ({"a": {"x": 1}}, {"a": {"x": True}}, {"a": {"x": True}}),
        ({"a": {"x": 1}}, {"a": {"x": 1.0}}, {"a": {"x": 1.0}}),
        ({"a": {"x": 1}}, {}, {"a": None}),
        ({}, {"b": {}}, {"b": {}}),
    ],
)
def test_differences_are_those_of_json(before: Any, after: Any, expected: Any) -> None:
    found = difference(before, after)
    assert json.dumps(found) == json.dumps(expected)


def test_an_event_is_framed_as_the_standard_says() -> None:
    event = Event.of("change", {"text": "ü\n"}, at="e:1", retry_ms=7)
    assert event.text == b'id: e:1\nevent: change\nretry: 7\ndata: {"text":"\\u00fc\\n"}\n\n'
    assert event.chunk == b"3a\r\n" + event.text + b"\r\n" and len(event.text) == 0x3A
    assert event.chunk is event.chunk


def test_what_waits_is_bounded_in_bytes_too_but_for_what_comes_next() -> None:
    stream = Stream(SdkKey("k", "k", "production", frozenset("*")), CHECKOUT, None, 0.0, 0)
    large = Event("snapshot", b"1" * (MOST_WAITING_BYTES // 2))
    stream.begin(Event("snapshot", b"1" * MOST_WAITING_BYTES * 2))
    for _ in range(2):
        stream.push(large)
    assert stream.reason is None
    stream.push(large)
    assert stream.reason is Reason.SLOW
