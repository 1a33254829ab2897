"""How often each variant was served: added up by the hour and by the day, and never twice."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, NotFound
from support.fleet import Instance
from support.redis import FakeRedis
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, actor, boolean, sdk_key
from support.waiting import wait_until

DAY_MS = 24 * 3600 * 1000


def counted(services: Services, service: str = CHECKOUT, flag: str = FLAG, **options: Any) -> dict[str, int]:
    """Of the last period."""
    counts: dict[str, int] = services.evaluations.of(ADMIN, service, flag, **options)[-1]["counts"]
    return counts


def wait_for(services: Services, expected: dict[str, int], service: str = CHECKOUT, flag: str = FLAG) -> None:
    wait_until(lambda: counted(services, service, flag) == expected, f"{expected} is counted")


def test_counts_of_all_instances_are_added_up(services: Services) -> None:
    for _ in range(3):
        services.evaluations.add(sdk_key(), CHECKOUT, {FLAG: {"on": 2, "off": 1}, "old-banner": {"off": 5}})
    wait_for(services, {"on": 6, "off": 3})
    wait_for(services, {"off": 15}, flag="old-banner")
    assert counted(services, environment="staging") == {}


def test_hours_come_oldest_first_and_days_beyond_eight(services: Services) -> None:
    services.evaluations.add(sdk_key(), CHECKOUT, {FLAG: {"on": 2}})
    wait_for(services, {"on": 2})
    hours = services.evaluations.of(ADMIN, CHECKOUT, FLAG, hours=24)
    assert len(hours) == 24
    assert [hour["at"] for hour in hours] == sorted(hour["at"] for hour in hours)
    assert hours[-1]["at"].endswith(":00:00.000Z") and hours[0]["counts"] == {}
    days = services.evaluations.of(ADMIN, CHECKOUT, FLAG, hours=40 * 24)
    assert (len(days), days[-1]["counts"]) == (40, {"on": 2})
    assert days[-1]["at"].endswith("T00:00:00.000Z")


def test_they_end_by_themselves(services: Services, fake: FakeRedis) -> None:
    services.evaluations.add(sdk_key(), CHECKOUT, {FLAG: {"on": 2}})
    wait_for(services, {"on": 2})
    client = fake.client()
    lasting = sorted(client.pttl(key) for key in client.keys("{downhaul}:counts:*"))  # type: ignore[union-attr]
    assert 7 * DAY_MS < lasting[0] <= 8 * DAY_MS and 39 * DAY_MS < lasting[1] <= 40 * DAY_MS


def test_only_flags_and_variants_that_are_there_have_a_counter(services: Services, fake: FakeRedis) -> None:
    services.evaluations.add(
        sdk_key(), CHECKOUT, {FLAG: {"on": 1, "purple": 2, "": 4}, "made-up": {"on": 9}, "nowhere/flag": {"on": 9}}
    )
    wait_for(services, {"on": 1, "(other)": 6})
    keys: Any = fake.client().keys("{downhaul}:counts:*:h*")
    assert [fake.client().hlen(key) for key in keys] == [2]


def test_a_flag_of_another_service_is_counted_there(services: Services) -> None:
    services.flags.create(ADMIN, PAYMENTS, boolean("tips"))
    services.evaluations.add(sdk_key(), CHECKOUT, {"payments/tips": {"on": 3}})
    wait_for(services, {"on": 3}, PAYMENTS, "tips")


def test_a_batch_that_was_seen_is_not_counted_again(services: Services) -> None:
    instance = Instance()
    instance.report(services)
    fleet = services.fleet
    taken = [fleet.is_new_sequence(instance.key, CHECKOUT, instance.process, number) for number in (1, 1, 2, 1, 5, 4)]
    assert taken == [True, False, True, False, True, False]
    assert not fleet.is_new_sequence(instance.key, CHECKOUT, "somebody", 1)


def test_who_may_see_them(services: Services) -> None:
    with pytest.raises(Forbidden):
        services.evaluations.of(actor(services=["payments"]), CHECKOUT, FLAG)
    with pytest.raises(Forbidden):
        services.evaluations.of(actor(environments=["staging"]), CHECKOUT, FLAG, environment="production")
    with pytest.raises(NotFound):
        services.evaluations.of(ADMIN, CHECKOUT, "nothing")
    with pytest.raises(NotFound):
        services.evaluations.of(ADMIN, CHECKOUT, FLAG, environment="moon")
