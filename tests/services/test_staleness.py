"""Stale flags: unused, one-sided or expired, with a clock that the test moves on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, Invalid, NotFound
from downhaul_server.services.staleness import STALE_DAYS, judge
from support.redis import FakeRedis
from support.services import ADMIN, CHECKOUT, FLAG, actor, boolean, opened, sdk_key
from support.waiting import wait_until

DAY_S = 24 * 3600
TODAY = 20_000
YOUNG = datetime.fromtimestamp((TODAY - 3) * DAY_S, UTC).isoformat()
OLD = datetime.fromtimestamp((TODAY - 100) * DAY_S, UTC).isoformat()
STATE = {"on": True, "killed": None, "rules": [], "otherwise": {"variant": "on"}}


def flag(**more: Any) -> dict[str, Any]:
    """As it is stored."""
    return {
        "expires": None,
        "purpose": "release",
        "created_at": OLD,
        "environments": {"production": STATE},
        **more,
    }


def verdict(served: dict[str, int], **more: Any) -> str | None:
    """`served`: variant -> days ago."""
    found = judge(flag(**more), "production", {name: TODAY - ago for name, ago in served.items()}, TODAY)
    return found and found.reason


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ({}, "unused"),
        ({"on": STALE_DAYS + 1, "off": 90}, "unused"),
        ({"on": 0}, "one-sided"),
        ({"on": 0, "off": STALE_DAYS + 1}, "one-sided"),
        ({"on": 0, "off": STALE_DAYS - 1}, None),
        ({"(other)": 1}, None),
        ({"on": 1, "(other)": 1}, None),
    ],
)
def test_what_was_served_decides(served: dict[str, int], expected: str | None) -> None:
    assert verdict(served) == expected


def test_young_flags_and_those_that_are_meant_to_stay_are_left_out() -> None:
    assert verdict({}, created_at=YOUNG) is None
    assert verdict({"on": 0}, purpose="ops") is None and verdict({}, purpose="permission") is None
    assert verdict({}, purpose="experiment") == "unused"


def test_an_expiry_date_that_has_passed_counts_at_once_and_for_all() -> None:
    yesterday = (date(1970, 1, 1) + timedelta(days=TODAY - 1)).isoformat()
    today = (date(1970, 1, 1) + timedelta(days=TODAY)).isoformat()
    for more in ({}, {"purpose": "ops"}, {"created_at": YOUNG}):
        assert verdict({"on": 0, "off": 0}, expires=yesterday, **more) == "expired"
        assert verdict({"on": 0, "off": 0}, expires=today, **more) is None


def test_a_standing_kill_is_no_reason_to_tidy_up() -> None:
    killed = {"production": {**STATE, "killed": {"at": OLD, "by": "ada", "reason": None}}}
    assert verdict({"off": 0}, environments=killed) is None


def stale(services: Services, **options: Any) -> dict[str, str]:
    return {each["flag"]: each["reason"] for each in services.staleness.list(ADMIN, **options).items}


def days_later(services: Services, days: int) -> None:
    """By the clock of Redis, as this process reads it."""
    clock = services._store.clock
    before = clock.to_redis
    clock.to_redis = lambda local: before(local) + days * DAY_S * 1000  # type: ignore[method-assign]


def count(services: Services, **counts: int) -> None:
    services.evaluations.add(sdk_key(), CHECKOUT, {FLAG: counts})
    wait_until(
        lambda: services.evaluations.of(ADMIN, CHECKOUT, FLAG)[-1]["counts"].items() >= counts.items(), "counted", 5
    )
    services.staleness.load()


def test_flags_become_stale_as_time_goes_by(services: Services) -> None:
    count(services, on=2, off=1)
    assert stale(services) == {}
    days_later(services, STALE_DAYS - 1)
    services.staleness.load()
    assert stale(services) == {}
    count(services, on=2)
    days_later(services, 2)
    services.staleness.load()
    assert stale(services, service=CHECKOUT) == {FLAG: "one-sided", "old-banner": "unused"}
    (found,) = [each for each in services.staleness.list(ADMIN).items if each["flag"] == FLAG]
    assert found["variant"] == "on" and found["sentence"] == "Everybody got on in the last 30 days."
    assert services.staleness.names(ADMIN, "production") >= {(CHECKOUT, FLAG)}
    count(services, off=1)
    assert FLAG not in stale(services)
    assert stale(services, environment="staging")[FLAG] == "unused"


def test_another_process_learns_it_from_redis(services: Services, fake: FakeRedis, tmp_path: Any) -> None:
    count(services, on=2)
    with opened(fake, tmp_path / "other") as other:
        other.staleness.load()
        assert other.staleness._memory[CHECKOUT, "production"].served[FLAG].keys() == {"on"}


def expired(services: Services) -> None:
    services.flags.create(ADMIN, CHECKOUT, boolean("gone", expires="2020-01-01", owner="team-a"))


def test_a_snooze_leaves_a_flag_alone_until_its_day(services: Services) -> None:
    expired(services)
    until = (datetime.now(UTC).date() + timedelta(days=5)).isoformat()
    made = services.staleness.snooze(actor(), CHECKOUT, "gone", {"until": until, "reason": "the sale"})
    assert (made["by"], made["until"], made["reason"]) == ("ada", until, "the sale")
    assert stale(services, snoozed=False) == {} and stale(services, snoozed=True) == {"gone": "expired"}
    assert services.staleness.names(ADMIN, "production") == frozenset()
    entry = services.history.log(actor("viewer"), action="flag.snooze").items[0]
    assert (entry["reason"], entry["documents"][0]["kind"]) == ("the sale", "snooze")
    days_later(services, 6)
    assert stale(services, snoozed=False, service=CHECKOUT) == {"gone": "expired"}


def test_a_snooze_can_be_ended_and_does_not_outlive_its_flag(services: Services) -> None:
    expired(services)
    until = (datetime.now(UTC).date() + timedelta(days=5)).isoformat()
    services.staleness.snooze(ADMIN, CHECKOUT, "gone", {"until": until, "reason": "the sale"})
    services.staleness.wake(ADMIN, CHECKOUT, "gone")
    assert stale(services, snoozed=False) == {"gone": "expired"}
    with pytest.raises(NotFound):
        services.staleness.wake(ADMIN, CHECKOUT, "gone")
    services.staleness.snooze(ADMIN, CHECKOUT, "gone", {"until": until, "reason": "the sale"})
    services.flags.delete(ADMIN, CHECKOUT, "gone")
    wait_until(lambda: datetime.now(UTC).microsecond > 2000, "the clock goes on")
    expired(services)
    assert stale(services, snoozed=False) == {"gone": "expired"}


@pytest.mark.parametrize(
    "document",
    [{}, {"until": "soon"}, {"until": "2020-01-01"}, {"until": "2999-01-01"}, {"until": None}, {"who": 1}],
)
def test_a_snooze_needs_a_day_to_come(services: Services, document: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        services.staleness.snooze(ADMIN, CHECKOUT, FLAG, {"reason": "x", **document})


def test_a_snooze_needs_a_reason_a_flag_and_the_right(services: Services) -> None:
    until = (datetime.now(UTC).date() + timedelta(days=5)).isoformat()
    with pytest.raises(Invalid, match="why"):
        services.staleness.snooze(ADMIN, CHECKOUT, FLAG, {"until": until, "reason": " "})
    with pytest.raises(NotFound):
        services.staleness.snooze(ADMIN, CHECKOUT, "nowhere", {"until": until, "reason": "x"})
    for nobody in (actor("operator"), actor("editor", services=["payments"])):
        with pytest.raises(Forbidden):
            services.staleness.snooze(nobody, CHECKOUT, FLAG, {"until": until, "reason": "x"})


def test_only_what_the_actor_may_see_is_listed(services: Services) -> None:
    expired(services)
    assert services.staleness.list(actor("viewer", services=["payments"])).items == []
    with pytest.raises(Forbidden):
        services.staleness.list(actor("viewer", services=["payments"]), service=CHECKOUT)
    with pytest.raises(NotFound):
        services.staleness.list(ADMIN, environment="nowhere")
