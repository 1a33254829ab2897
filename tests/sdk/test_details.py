"""`details` tells what an evaluation gave and why; `on_evaluation` tells whoever listens of each of them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from downhaul.client import Client
from downhaul.details import Details
from support.fakeservice import Connect, FakeService
from support.rulesets import flag

SPLIT = {"split": [{"variant": "on", "weight": 25000}, {"variant": "off", "weight": 75000}], "by": "user"}
PRO = {"name": "pro", "when": {"attribute": "plan", "op": "in", "values": ["pro"]}, "serve": {"variant": "on"}}
BLUE, A = {"variant": "blue"}, {"variant": "a"}
FLAGS = {
    "plain": flag(),
    "killed": flag(killed=True),
    "split": flag(otherwise=SPLIT),
    "pro": flag(rules=[PRO], otherwise={"variant": "off"}),
    "colour": flag(type="string", variants={"red": "#f00", "blue": "#00f"}, off_variant="red", otherwise=BLUE),
    "layout": flag(type="json", variants={"a": {"columns": [1]}, "b": None}, off_variant="b", otherwise=A),
}  # fmt: skip

Heard = list[tuple[Details[Any], Mapping[str, Any]]]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    service = FakeService()
    service.publish(7, FLAGS)
    made = Client(url=service.url, key="dh_sdk_test_key", service="checkout", poll_interval=60)
    assert made.wait_ready()
    yield made
    made.close()
    service.close()


@pytest.fixture
def heard(client: Client) -> Iterator[Heard]:
    """What a listener of `client` is told."""
    told: Heard = []
    remove = client.on_evaluation(lambda details, context: told.append((details, context)))
    yield told
    remove()


class TestDetails:
    @pytest.mark.parametrize(
        ("name", "context", "expected"),
        [
            ("plain", {}, (True, "on", "STATIC", None, None)),
            ("killed", {}, (False, "off", "KILLED", None, None)),
            ("pro", {"plan": "pro"}, (True, "on", "TARGETING_MATCH", "pro", None)),
            ("pro", {}, (False, "off", "DEFAULT", None, None)),
            ("split", {"user": "u"}, (False, "off", "SPLIT", None, None)),
            ("split", {}, (False, "off", "ERROR", None, "TARGETING_KEY_MISSING")),
            ("colour", {}, ("#00f", "blue", "STATIC", None, None)),
            ("nope", {}, ("mine", None, "ERROR", None, "FLAG_NOT_FOUND")),
        ],
    )
    def test_are_those_of_explain(
        self, client: Client, name: str, context: dict[str, Any], expected: tuple[object, ...]
    ) -> None:
        found = client.details(name, "mine", **context)
        assert (found.value, found.variant, found.reason, found.rule, found.error_code) == expected
        assert (found.flag, found.revision) == (name, 7)
        why = client.explain(name, "mine", **context)
        assert found == Details(*(getattr(why, field) for field in Details._fields if field != "metadata"))

    def test_hold_what_the_owner_wants_told(self, service: FakeService, connect: Connect) -> None:
        told = {"team": "cart", "weight": 0.5, "paged": True}
        service.publish(1, {"plain": flag(metadata=told)})
        client = connect()
        assert client.wait_ready()
        assert client.details("plain").metadata == told
        assert client.details("nope").metadata == {}

    def test_count_as_an_evaluation(self, service: FakeService, connect: Connect) -> None:
        service.publish(1, FLAGS)
        client = connect()
        assert client.wait_ready()
        client.details("plain")
        client.details("nope")
        client.explain("plain")
        assert client.counts() == {"plain": {"on": 1}, "nope": {"FLAG_NOT_FOUND": 1}}

    def test_hold_a_copy_that_the_caller_may_change(self, client: Client) -> None:
        client.details("layout").value["columns"].append(2)
        assert client.details("layout").value == {"columns": [1]}

    def test_know_the_context_around_them(self, client: Client) -> None:
        with client.context(plan="pro"):
            assert client.details("pro").value is True
            assert client.details("pro", plan="free").value is False

    def test_take_the_default_as_a_keyword(self, client: Client) -> None:
        assert client.details("nope", default="mine", user="u").value == "mine"

    def test_without_a_snapshot_say_so(self) -> None:
        client = Client()
        found = client.details("plain", "mine")
        assert (found.value, found.error_code, found.revision) == ("mine", "PROVIDER_NOT_READY", None)
        assert found.error_message == client.explain("plain").error_message == "there is no snapshot yet"
        assert client.counts() == {"plain": {"FLAG_NOT_FOUND": 1}}
        with client.override(plain=True):
            assert client.details("plain").reason == "OVERRIDE"
            assert client.details("nope").error_code == client.explain("nope").error_code == "PROVIDER_NOT_READY"
        with client.isolated():
            assert client.details("nope").error_code == "FLAG_NOT_FOUND", "in a test there is nothing to wait for"

    def test_never_raise(self, client: Client) -> None:
        class Hostile:
            def __hash__(self) -> int:
                raise RuntimeError("hash")

        assert client.details(Hostile(), "mine").value == "mine"  # type: ignore[arg-type]
        assert client.details(None, "mine").value == "mine"  # type: ignore[arg-type]
        assert client.details("pro", "mine", plan=Hostile())[1:6] == ("mine", None, "ERROR", None, "GENERAL")


class TestListeners:
    def test_hear_of_every_evaluation_with_the_whole_context(self, client: Client, heard: Heard) -> None:
        with client.context(tenant="acme"):
            client.enabled("pro", default=True, plan="pro")
            client.value("colour", user="u")
            client.details("split", user="u")
        assert [(each.flag, each.value, each.reason, context) for each, context in heard] == [
            ("pro", True, "TARGETING_MATCH", {"tenant": "acme", "plan": "pro"}),
            ("colour", "#00f", "STATIC", {"tenant": "acme", "user": "u"}),
            ("split", False, "SPLIT", {"tenant": "acme", "user": "u"}),
        ]

    def test_hear_of_defaults_and_why(self, client: Client, heard: Heard) -> None:
        with client.context(tenant="acme"):
            assert client.enabled("nope", True, user="u") is True
            assert client.value("nope", default="mine") == "mine"
            assert client.enabled("colour", default=True) is True
        assert [(each.flag, each.value, each.error_code, context) for each, context in heard] == [
            ("nope", True, "FLAG_NOT_FOUND", {"tenant": "acme", "user": "u"}),
            ("nope", "mine", "FLAG_NOT_FOUND", {"tenant": "acme"}),
            ("colour", True, "TYPE_MISMATCH", {"tenant": "acme"}),
        ]

    def test_hear_on_the_thread_of_the_caller_until_they_are_removed(self, client: Client) -> None:
        threads: list[int] = []
        remove = client.on_evaluation(lambda details, context: threads.append(threading.get_ident()))
        client.enabled("plain")
        remove()
        remove()
        client.enabled("plain")
        assert threads == [threading.get_ident()]

    def test_change_no_answer_and_no_count(self, service: FakeService, connect: Connect) -> None:
        service.publish(1, FLAGS)
        client = connect()
        assert client.wait_ready()
        client.on_evaluation(lambda details, context: None)
        assert client.enabled("pro", plan="pro") is True
        assert client.value("colour") == "#00f"
        assert client.enabled("colour", True) is True
        assert client.value("nope", "mine") == "mine"
        assert client.counts() == {
            "pro": {"on": 1},
            "colour": {"blue": 1, "TYPE_MISMATCH": 1},
            "nope": {"FLAG_NOT_FOUND": 1},
        }

    def test_harm_nobody_by_what_they_raise(
        self, client: Client, heard: Heard, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(details: Details[Any], context: Mapping[str, Any]) -> None:
            raise RuntimeError("broken listener")

        remove = client.on_evaluation(broken)
        with caplog.at_level(logging.WARNING, "downhaul"):
            assert [client.enabled("plain") for _ in range(3)] == [True] * 3
        remove()
        assert caplog.text.count("a listener of evaluations raised") == 1
        assert len(heard) == 3

    def test_cannot_spoil_a_value(self, client: Client) -> None:
        remove = client.on_evaluation(lambda details, context: details.value.clear())
        assert client.value("layout") == {"columns": [1]}
        remove()

    def test_may_evaluate_flags_themselves(self, client: Client) -> None:
        told: list[str] = []

        def listener(details: Details[Any], context: Mapping[str, Any]) -> None:
            told.append(details.flag)
            client.enabled("plain")
            client.value("nope")

        remove = client.on_evaluation(listener)
        assert client.enabled("pro", plan="pro") is True
        remove()
        assert told == ["pro"]

    def test_hear_of_what_the_tasks_that_they_start_evaluate(self, client: Client) -> None:
        told: list[str] = []
        tasks: list[asyncio.Task[bool]] = []

        async def ask(name: str) -> bool:
            return client.enabled(name)

        def listener(details: Details[Any], context: Mapping[str, Any]) -> None:
            told.append(details.flag)
            if details.flag == "plain":
                tasks.append(asyncio.get_running_loop().create_task(ask("killed")))

        async def main() -> None:
            await ask("plain")
            await tasks[0]

        remove = client.on_evaluation(listener)
        asyncio.run(main())
        remove()
        assert told == ["plain", "killed"]

    def test_hear_the_code_though_a_log_handler_raises(self, client: Client, heard: Heard) -> None:
        class Broken(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                raise RuntimeError("broken handler")

        handler = Broken()
        logging.getLogger("downhaul").addHandler(handler)
        try:
            client.enabled("unknown-with-a-broken-handler")
            assert client.details("unknown-to-details").error_code == "FLAG_NOT_FOUND"
        finally:
            logging.getLogger("downhaul").removeHandler(handler)
        assert [each.error_code for each, _ in heard] == ["FLAG_NOT_FOUND"] * 2

    def test_go_on_hearing_after_a_change(self, service: FakeService, connect: Connect) -> None:
        service.publish(1, FLAGS)
        client = connect()
        assert client.wait_ready()
        told: list[tuple[str, int | None]] = []
        client.on_evaluation(lambda details, context: told.append((details.flag, details.revision)))
        client.enabled("plain")
        with client.override(plain=False):
            assert client.enabled("plain") is False
        assert told == [("plain", 1), ("plain", 1)]
