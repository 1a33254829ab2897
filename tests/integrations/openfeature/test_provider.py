"""What the scenarios of OpenFeature leave open: events, whose client it is, and what Downhaul has besides."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from downhaul import flags as shared
from downhaul.client import Client
from downhaul.integrations.openfeature import DownhaulProvider
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, OpenFeatureError
from openfeature.track import TrackingEventDetails
from support.fakeservice import KEY, SERVICE, FakeService, answer, serve_well
from support.rulesets import flag
from support.waiting import wait_until

DOMAIN = "ours"
HALF = {"split": [{"variant": "on", "weight": 50_000}, {"variant": "off", "weight": 50_000}], "by": "user"}
LATE = [{"when": {"attribute": "at", "op": "after", "values": ["2026-11-01T00:00:00Z"]}, "serve": {"variant": "on"}}]


def typed(kind: str, **variants: Any) -> dict[str, Any]:
    first = next(iter(variants))
    return flag(type=kind, variants=variants, off_variant=first, otherwise={"variant": first})


FLAGS = {
    "on": flag(),
    "killed": flag(killed=True, metadata={"team": "cart"}),
    "half": flag(otherwise=HALF),
    "late": flag(rules=LATE, otherwise={"variant": "off"}),
    "named": flag(
        rules=[{"when": {"attribute": "default", "op": "in", "values": ["x"]}, "serve": {"variant": "on"}}],
        otherwise={"variant": "off"},
    ),
    "whole": typed("number", ten=10),
    "whole float": typed("number", ten=10.0),
    "part": typed("number", half=0.5),
    "huge": typed("number", huge=10**400),
    "list": typed("json", some=[1, 2]),
    "scalar": typed("json", text="no object"),
}


@pytest.fixture
def service() -> Iterator[FakeService]:
    made = FakeService()
    made.publish(2, FLAGS)
    yield made
    made.close()


@pytest.fixture
def client(service: FakeService) -> Client:
    return Client(url=service.url, key=KEY, service=SERVICE, timeout=1, poll_interval=0.05)


class Heard:
    """The events of one domain."""

    def __init__(self, ours: OpenFeatureClient) -> None:
        self.events: list[tuple[ProviderEvent, EventDetails]] = []
        for event in ProviderEvent:
            ours.add_handler(event, lambda details, event=event: self.events.append((event, details)))

    def of(self, event: ProviderEvent) -> list[EventDetails]:
        return [details for each, details in list(self.events) if each is event]


@pytest.fixture
def ours(client: Client) -> Iterator[OpenFeatureClient]:
    api.set_provider_and_wait(DownhaulProvider(client), DOMAIN)
    yield api.get_client(DOMAIN)
    api.clear_providers()


@pytest.fixture
def unset() -> Iterator[None]:
    yield
    api.clear_providers()


def status(ours: OpenFeatureClient) -> str:
    return ours.get_provider_status().value


def test_a_change_an_outage_and_its_end_are_told(ours: OpenFeatureClient, service: FakeService) -> None:
    heard = Heard(ours)
    service.publish(3, {**FLAGS, "on": flag(killed=True)})
    wait_until(lambda: heard.of(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED), "the change is told")
    assert heard.of(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)[0].flags_changed == ["on"]
    assert ours.get_boolean_value("on", True) is False

    service.behaviour = answer("500 Internal Server Error")
    wait_until(lambda: heard.of(ProviderEvent.PROVIDER_STALE), "the outage is told")
    assert status(ours) == "STALE"
    assert heard.of(ProviderEvent.PROVIDER_STALE)[0].message
    assert ours.get_boolean_value("late", False, EvaluationContext(attributes={"at": "2027-01-01T00:00:00Z"})) is True

    service.behaviour = serve_well
    wait_until(lambda: status(ours) == "READY", "its end is told")


def test_news_at_the_end_of_a_program_is_nobodys_and_no_fault(
    ours: OpenFeatureClient, service: FakeService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenFeature's threads end with the main one, ours later."""
    Heard(ours)
    ended = ThreadPoolExecutor()
    ended.shutdown()
    monkeypatch.setattr("openfeature._event_support._event_executor", ended)
    service.publish(3, {**FLAGS, "on": flag(killed=True)})
    wait_until(lambda: not ours.get_boolean_value("on", True), "the kill has landed")
    service.publish(4, FLAGS)
    wait_until(lambda: ours.get_boolean_value("on", False), "the restore has landed, so all of the kill was told")
    assert "raised" not in caplog.text


def test_a_service_that_comes_late_makes_the_provider_ready(service: FakeService, unset: None) -> None:
    service.behaviour = answer("500 Internal Server Error")
    client = Client(url=service.url, key=KEY, service=SERVICE, timeout=1, poll_interval=0.05)
    with pytest.raises(OpenFeatureError) as refused:
        api.set_provider_and_wait(DownhaulProvider(client, ready_within=0.1), DOMAIN)
    assert refused.value.error_code is ErrorCode.GENERAL
    ours = api.get_client(DOMAIN)
    assert status(ours) == "ERROR"
    service.behaviour = serve_well
    wait_until(lambda: status(ours) == "READY", "it is ready after all")
    assert ours.get_boolean_value("on", False) is True


def test_flags_from_the_disk_alone_are_stale(service: FakeService, unset: None, tmp_path: Path) -> None:
    before = Client(url=service.url, key=KEY, service=SERVICE, cache_dir=tmp_path)
    wait_until(lambda: list(tmp_path.iterdir()), "the snapshot is on the disk")
    before.close(20)
    service.behaviour = answer("500 Internal Server Error")
    again = Client(url=service.url, key=KEY, service=SERVICE, cache_dir=tmp_path, timeout=1)
    api.set_provider_and_wait(DownhaulProvider(again), DOMAIN)
    ours = api.get_client(DOMAIN)
    wait_until(lambda: status(ours) == "STALE", "it is called stale")
    assert ours.get_boolean_value("on", False) is True


def test_a_client_that_was_given_is_closed_and_may_come_back(client: Client, unset: None) -> None:
    provider = DownhaulProvider(client)
    api.set_provider_and_wait(provider, DOMAIN)
    provider.shutdown()
    provider.shutdown()
    assert client.status().state == "closed"
    provider.initialize(EvaluationContext())
    wait_until(lambda: client.status().state == "ready", "it follows again")


def test_the_client_of_the_program_goes_on(unset: None) -> None:
    provider = DownhaulProvider()
    with shared.override(here=True):
        api.set_provider_and_wait(provider, DOMAIN)
        details = api.get_client(DOMAIN).get_boolean_details("here", False)
        assert (details.value, details.reason, details.flag_metadata["overridden"]) == (True, "STATIC", True)
        provider.shutdown()
        assert shared.status().state != "closed"


def test_without_settings_nothing_will_ever_come(unset: None) -> None:
    with pytest.raises(OpenFeatureError) as refused:
        api.set_provider_and_wait(DownhaulProvider(Client()), DOMAIN)
    assert refused.value.error_code is ErrorCode.PROVIDER_FATAL
    assert status(api.get_client(DOMAIN)) == "FATAL"


def test_a_kill_wins_over_every_default_and_is_told(ours: OpenFeatureClient) -> None:
    details = ours.get_boolean_details("killed", True)
    assert (details.value, details.variant, details.reason, details.error_code) == (False, "off", "DISABLED", None)
    assert details.flag_metadata == {"team": "cart", "killed": True}


def test_the_targeting_key_is_the_user(ours: OpenFeatureClient, client: Client) -> None:
    users = [f"u-{number}" for number in range(20)]
    there = [ours.get_boolean_value("half", False, EvaluationContext(user)) for user in users]
    assert there == [client.enabled("half", user=user) for user in users]
    assert set(there) == {True, False}
    named = [ours.get_boolean_value("half", False, EvaluationContext("u-0", {"user": user})) for user in users]
    assert named == there


def test_without_one_a_split_gives_the_default(ours: OpenFeatureClient) -> None:
    details = ours.get_boolean_details("half", True)
    assert (details.value, details.reason, details.error_code) == (True, "ERROR", ErrorCode.TARGETING_KEY_MISSING)
    assert details.error_message


def test_attributes_are_what_they_are(ours: OpenFeatureClient) -> None:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    assert ours.get_boolean_value("late", False, EvaluationContext(attributes={"at": at})) is True
    assert ours.get_boolean_value("late", False, EvaluationContext(attributes={"at": at.replace(tzinfo=None)})) is False
    assert ours.get_boolean_value("named", False, EvaluationContext(attributes={"default": "x", "flag": "y"})) is True


@pytest.mark.parametrize(
    ("kind", "key", "default", "value"),
    [
        ("integer", "whole", 1, 10),
        ("integer", "whole float", 1, 10),
        ("float", "whole", 0.1, 10.0),
        ("float", "part", 0.1, 0.5),
        ("object", "list", [], [1, 2]),
    ],
)
def test_values_have_the_type_that_was_asked_for(
    kind: str, key: str, default: Any, value: Any, ours: OpenFeatureClient
) -> None:
    found = getattr(ours, f"get_{kind}_value")(key, default)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "key", "default"),
    [("integer", "part", 1), ("float", "huge", 0.1), ("object", "scalar", {"a": 1}), ("boolean", "scalar", False)],
)
def test_what_is_none_of_that_type_is_a_mismatch(kind: str, key: str, default: Any, ours: OpenFeatureClient) -> None:
    details = getattr(ours, f"get_{kind}_details")(key, default)
    assert (details.value, details.error_code) == (default, ErrorCode.TYPE_MISMATCH)


def test_the_asynchronous_calls_say_the_same(ours: OpenFeatureClient) -> None:
    async def ask() -> list[Any]:
        return await asyncio.gather(
            ours.get_boolean_value_async("on", False),
            ours.get_integer_value_async("whole", 1),
            ours.get_object_value_async("list", []),
        )

    assert asyncio.run(ask()) == [True, 10, [1, 2]]


def test_what_is_tracked_is_handed_on(client: Client, unset: None) -> None:
    told: list[Any] = []
    api.set_provider_and_wait(DownhaulProvider(client, on_track=lambda *each: told.append(each)), DOMAIN)
    api.get_client(DOMAIN).track("bought", EvaluationContext("u-1"), TrackingEventDetails(9.5))
    ((name, context, details),) = told
    assert (name, context.targeting_key, details.value) == ("bought", "u-1", 9.5)


def test_without_a_place_to_go_tracking_is_dropped(ours: OpenFeatureClient) -> None:
    ours.track("bought")
