"""Getters by type, the variant of a flag, all flags at once: what is asked for is what comes back, or the default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from downhaul.client import Client
from support.fakeservice import Connect, FakeService
from support.rulesets import flag
from support.waiting import wait_until

PRO = {"name": "pro", "when": {"attribute": "plan", "op": "in", "values": ["pro"]}, "serve": {"variant": "on"}}
BLUE, HIGH, A = {"variant": "blue"}, {"variant": "high"}, {"variant": "a"}
FLAGS = {
    "plain": flag(),
    "pro": flag(rules=[PRO], otherwise={"variant": "off"}),
    "colour": flag(type="string", variants={"red": "#f00", "blue": "#00f"}, off_variant="red", otherwise=BLUE),
    "limit": flag(type="number", variants={"low": 1, "high": 2.5}, off_variant="low", otherwise=HIGH),
    "layout": flag(type="json", variants={"a": {"columns": [1]}, "b": None}, off_variant="b", otherwise=A),
    "text": flag(type="json", variants={"a": "a text", "b": None}, off_variant="b", otherwise=A),
}
VALUES = {"boolean": True, "string": "#00f", "number": 2.5, "json": {"columns": [1]}}
NAMES = {"boolean": "plain", "string": "colour", "number": "limit", "json": "layout"}
DEFAULTS = {"boolean": False, "string": "", "number": 0, "json": None}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    service = FakeService()
    service.publish(1, FLAGS)
    made = Client(url=service.url, key="dh_sdk_test_key", service="checkout", poll_interval=60)
    assert made.wait_ready()
    yield made
    made.close()
    service.close()


@pytest.mark.parametrize("kind", VALUES)
class TestGetters:
    def test_give_the_value_and_its_reason(self, client: Client, kind: str) -> None:
        assert getattr(client, kind)(NAMES[kind]) == VALUES[kind]
        found = getattr(client, f"{kind}_details")(NAMES[kind])
        assert (found.value, found.reason, found.error_code) == (VALUES[kind], "STATIC", None)

    def test_give_the_default_and_the_reason_for_every_other_type(self, client: Client, kind: str) -> None:
        mine = object()
        for name in (each for other, each in NAMES.items() if other != kind):
            assert getattr(client, kind)(name, mine) is mine
            found = getattr(client, f"{kind}_details")(name, default=mine)
            assert (found.value, found.variant, found.reason, found.error_code) == (
                mine,
                None,
                "ERROR",
                "TYPE_MISMATCH",
            )
            assert found.error_message == "the flag is of another type"

    def test_have_a_default_of_their_own(self, client: Client, kind: str) -> None:
        found = getattr(client, f"{kind}_details")("nope")
        assert found.value == getattr(client, kind)("nope") == DEFAULTS[kind]
        assert type(found.value) is type(DEFAULTS[kind])
        assert found.error_code == "FLAG_NOT_FOUND"

    def test_never_raise(self, client: Client, kind: str) -> None:
        assert getattr(client, kind)(["unhashable"], "mine", user=object()) == "mine"


class TestTypes:
    def test_a_json_flag_may_hold_a_text_and_is_still_no_string_flag(self, client: Client) -> None:
        assert client.json("text") == "a text"
        assert client.string("text", "mine") == "mine"

    def test_that_of_an_overriding_value_counts(self, client: Client) -> None:
        with client.override({"limit": "many", "made-up": "a text", "colour": "green"}):
            assert client.number("limit", 7) == 7
            assert client.string("colour") == "green"
            assert client.json("made-up") == client.string("made-up") == "a text", (
                "nothing says what it was meant to be"
            )
            assert client.json("colour", "mine") == "mine"

    def test_another_one_is_counted_and_logged_once(
        self, service: FakeService, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        service.publish(1, FLAGS)
        client = connect()
        assert client.wait_ready()
        for _ in range(3):
            client.string("limit", "x")
            client.string_details("limit", "x")
        client.number("limit")
        assert client.counts() == {"limit": {"TYPE_MISMATCH": 6, "high": 1}}
        assert caplog.text.count("'limit' is no string flag") == 1


class TestVariant:
    def test_is_a_name_for_flags_of_any_type(self, client: Client) -> None:
        assert [client.variant(name) for name in ("plain", "colour", "limit", "layout")] == ["on", "blue", "high", "a"]
        assert client.variant("pro", plan="pro") == "on"

    def test_has_a_default(self, client: Client) -> None:
        assert client.variant("nope") is None
        assert client.variant("nope", "control") == client.variant("nope", default="control") == "control"
        with client.override(colour="pink"):
            assert client.variant("colour", "control") == "control", "no variant has that value"

    def test_counts_as_an_evaluation_and_is_told(self, service: FakeService, connect: Connect) -> None:
        service.publish(1, FLAGS)
        client = connect()
        assert client.wait_ready()
        told: list[tuple[str, Any, str | None]] = []
        client.on_evaluation(lambda details, context: told.append((details.flag, details.value, details.variant)))
        client.variant("colour")
        assert client.counts() == {"colour": {"blue": 1}}
        assert told == [("colour", "#00f", "blue")]


class TestAll:
    def test_gives_every_flag_its_value_for_one_context(self, client: Client) -> None:
        values = {"plain": True, "colour": "#00f", "limit": 2.5, "layout": {"columns": [1]}, "text": "a text"}
        assert client.all() == {**values, "pro": False}
        assert client.all(plan="pro") == {**values, "pro": True}
        with client.context(plan="pro"):
            assert client.all()["pro"] is True
        with client.override(plain=False, extra=1):
            assert client.all() == {**values, "plain": False, "pro": False, "extra": 1}

    def test_gives_copies(self, client: Client) -> None:
        client.all()["layout"]["columns"].clear()
        assert client.all()["layout"] == {"columns": [1]}

    def test_counts_nothing_and_tells_nobody(self, service: FakeService, connect: Connect) -> None:
        service.publish(1, FLAGS)
        client = connect()
        assert client.wait_ready()
        told: list[object] = []
        client.on_evaluation(lambda details, context: told.append(details))
        client.all(user="u")
        assert client.counts() == {}
        assert told == []

    def test_leaves_out_a_flag_that_fails(self, client: Client) -> None:
        class Hostile:
            def __hash__(self) -> int:
                raise RuntimeError("hash")

        values = client.all(plan=Hostile())
        assert "pro" not in values
        assert values["plain"] is True

    def test_is_empty_without_a_snapshot(self) -> None:
        assert Client().all(user="u") == {}


def test_a_listener_may_be_for_one_flag(service: FakeService, connect: Connect) -> None:
    service.publish(1, FLAGS)
    client = connect()
    assert client.wait_ready()
    of_one: list[frozenset[str]] = []
    of_all: list[frozenset[str]] = []
    remove = client.on_change(of_one.append, flag="plain")
    client.on_change(of_all.append)

    service.publish(2, {**FLAGS, "pro": flag(killed=True)})
    wait_until(lambda: len(of_all) == 1, "the first change is told")
    service.publish(3, {**FLAGS, "pro": flag(killed=True), "plain": flag(killed=True)})
    wait_until(lambda: len(of_all) == 2, "the second change is told")
    remove()
    service.publish(4, FLAGS)
    wait_until(lambda: len(of_all) == 3, "the third change is told")

    assert of_all == [{"pro"}, {"plain"}, {"pro", "plain"}]
    assert of_one == [{"plain"}]
