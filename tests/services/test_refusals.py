"""Whoever is refused is remembered: counted, bounded, and without what they must not have shown."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services import refusals
from downhaul_server.services.actors import SdkKey
from downhaul_server.services.container import Services
from downhaul_server.services.refusals import MOST_EACH, MOST_UNKNOWN, WINDOW_S, Refusals
from downhaul_server.store import Store
from downhaul_server.store.keys import REFUSALS
from downhaul_server.store.refusals import A_MINUTE
from support.redis import FakeRedis, RealRedis
from support.services import ADMIN, actor, opened
from support.waiting import wait_until

SECRET = "dh_api_" + "a1B2" * 10
WHERE = "/api/v1/services/checkout/flags/new-checkout/kill"


@pytest.fixture
def store(services: Services) -> Store:
    found: Store = services._store
    return found


class Hand:
    """Refusals whose time is told, and which are written down when it is said."""

    def __init__(self, store: Store) -> None:
        self.now = 0.0
        self.store = store
        self.refusals = Refusals(store, monotonic=lambda: self.now)
        self.refusals._begin = lambda: None  # type: ignore[method-assign]

    def note(self, holder: Any = None, target: str = WHERE, address: str | None = "203.0.113.9", **more: str) -> None:
        self.refusals.note(holder, more.get("attempt", "POST"), target, address, more.get("detail", "no"))

    def written(self) -> list[Any]:
        """Oldest first."""
        self.refusals.flush()
        return [each.body for each in self.store.refusals.newest_first()][::-1]


@pytest.fixture
def hand(store: Store) -> Hand:
    return Hand(store)


def test_who_wanted_what_from_where(hand: Hand) -> None:
    hand.note(actor("viewer", name="ada"), detail="the role viewer does not allow to kill flags")
    (body,) = hand.written()
    assert (
        body["actor"]["name"] == "ada"
        and body["actor"]["token"] == "token-of-ada"
        and body["actor"]["role"] == "viewer"
    )
    assert (body["attempt"], body["target"], body["address"]) == ("POST", WHERE, "203.0.113.9")
    assert body["detail"] == "the role viewer does not allow to kill flags" and body["count"] == 1
    assert body["first"] == body["last"] and body["revision"] == hand.store.view.revision


def test_an_instance_and_nobody(hand: Hand) -> None:
    hand.note(SdkKey("k2", "tills", "production", frozenset({"checkout"})))
    hand.note(None)
    tills, nobody = hand.written()
    assert tills["actor"] == {"name": "tills", "kind": "sdk", "role": None, "token": "k2", "address": None}
    assert nobody["actor"] is None


def test_the_same_within_a_minute_is_counted_together(hand: Hand) -> None:
    for _ in range(3):
        hand.note()
    assert [body["count"] for body in hand.written()] == [3]
    for _ in range(5):
        hand.note()
    assert len(hand.written()) == 1
    hand.now += WINDOW_S
    assert [body["count"] for body in hand.written()] == [3, 5]
    hand.now += WINDOW_S
    assert len(hand.written()) == 2
    hand.note()
    assert [body["count"] for body in hand.written()] == [3, 5, 1]


@pytest.mark.parametrize("other", [{"target": "/x"}, {"address": "203.0.113.10"}, {"attempt": "DELETE"}])
def test_something_else_is_told_apart(hand: Hand, other: dict[str, str]) -> None:
    hand.note()
    hand.note(**other)
    hand.note(actor("viewer"))
    assert len(hand.written()) == 3


def test_one_customer_has_many_ipv6_addresses_and_is_one(hand: Hand) -> None:
    for number in range(10):
        hand.note(address=f"2001:db8:1:1::{number}")
    hand.note(address="2001:db8:1:2::1")
    assert [body["count"] for body in hand.written()] == [10, 1]


def test_a_flood_is_counted_and_fills_nothing(hand: Hand) -> None:
    for number in range(5000):
        hand.note(address=f"198.51.{number // 250}.{number % 250}")
    hand.note(actor("viewer", name="ada"))
    hand.written()
    written = hand.written()
    assert len(written) <= 2 * A_MINUTE["unknown"] + 3 and len(hand.refusals._windows) <= MOST_UNKNOWN + 1
    assert any(body["actor"] for body in written), "whom we know is told apart in the middle of a flood"
    hand.now += WINDOW_S
    assert sum(body["count"] for body in hand.written()) == 5001
    hand.now += WINDOW_S
    hand.written()
    assert not hand.refusals._windows


def test_a_token_that_tries_everything_hides_nobody(hand: Hand) -> None:
    for number in range(500):
        hand.note(actor("viewer", name="mallory"), target=f"/api/v1/services/s{number}")
    hand.note(actor("viewer", name="ada"))
    hand.written()
    names = [body["actor"] and body["actor"]["name"] for body in hand.written()]
    assert names.count("mallory") == MOST_EACH and names.count("ada") == 1 and names.count(None) == 1
    hand.now += WINDOW_S
    assert sum(body["count"] for body in hand.written()) == 501
    hand.now += WINDOW_S
    hand.written()
    assert not hand.refusals._windows and not hand.refusals._callers


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (f"{SECRET} is not known", "dh_api_[hidden] is not known"),
        ("/k/very-secret-path", "/k/[hidden]"),
        ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_[hidden]"),
        ("a\nb\x1b[31m", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[31m"),
        ("x" * 5000, "x" * 200),
    ],
)
def test_no_secret_and_nothing_long_is_kept(hand: Hand, given: str, kept: str) -> None:
    hand.note(target=given, detail=given, attempt=given)
    (body,) = hand.written()
    assert body["target"] == body["detail"] == body["attempt"] == kept


def test_the_service_writes_by_itself_and_is_not_waited_for(services: Services, store: Store) -> None:
    services.audit.refused(actor("viewer"), "POST", WHERE, "203.0.113.9", "no")
    wait_until(lambda: len([*store.refusals.newest_first()]) == 1, "it is written down")
    revision = store.view.revision
    assert services.audit.verify(ADMIN).faults == () and store.view.revision == revision


def test_what_is_not_yet_written_is_written_at_the_end(fake: FakeRedis, tmp_path: Path) -> None:
    with opened(fake, tmp_path / "data") as services:
        for _ in range(7):
            services.audit.refused(None, "POST", WHERE, "203.0.113.9")
    with opened(fake, tmp_path / "data") as services:
        written = [each.body for each in services._store.refusals.newest_first()]
        assert sum(body["count"] for body in written) == 7


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "BEAT_S", 0.02)


@pytest.mark.redis
def test_while_redis_is_away_nobody_waits_and_nothing_is_lost(real: RealRedis, tmp_path: Path, impatient: None) -> None:
    with opened(real, tmp_path / "data") as services:
        real.kill()
        began = time.monotonic()
        for _ in range(100):
            services.audit.refused(None, "POST", WHERE, "203.0.113.9")
        assert time.monotonic() - began < 20
        real.start()
        client = real.client()
        wait_until(lambda: client.xlen(REFUSALS) == 1, "it is written down")
        (refused,) = services._store.refusals.newest_first()
        assert refused.body["count"] == 100
