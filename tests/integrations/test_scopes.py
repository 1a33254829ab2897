"""What all integrations share: the block around one request or task."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from downhaul.client import Client
from downhaul.context import ambient
from downhaul.integrations.recording import MOST_FLAGS, evaluated
from downhaul.integrations.scopes import Scopes
from downhaul.later import Later, context_later
from support.rulesets import flag
from support.waiting import wait_until


class TestContext:
    def test_is_asked_at_the_first_evaluation_and_once(self, client: Client) -> None:
        asked: list[str] = []

        def user_of(request: str) -> dict[str, Any]:
            asked.append(request)
            return {"user": request}

        with Scopes(user_of, client).around("anna"):
            assert asked == []
            assert client.enabled("new-checkout") is True
            assert client.enabled("new-checkout", user="bert") is False
            assert client.details("new-checkout").rule == "anna"
            assert type(ambient()) is dict, "what is known is as quick to read as any other context"
        assert asked == ["anna"]
        assert client.enabled("new-checkout") is False

    def test_is_asked_no_more_when_the_scope_is_entered_again(self, client: Client) -> None:
        asked: list[str] = []

        def user_of(request: str) -> dict[str, Any]:
            asked.append(request)
            return {"user": request}

        with Scopes(user_of, client).around("anna") as scope:
            pass
        for _ in range(3):
            with scope.after(), client.context(tenant="acme"):
                assert client.enabled("new-checkout") is True
        assert asked == ["anna"]

    def test_is_not_asked_where_nothing_is_evaluated(self, client: Client) -> None:
        with Scopes(lambda request: pytest.fail("asked"), client).around("anna"):
            pass

    def test_lies_over_the_context_around_and_under_that_inside(self, client: Client) -> None:
        scopes = Scopes(lambda request: {"user": "anna"}, client)
        with client.context(user="bert", tenant="acme"), scopes.around(None):
            assert client.enabled("new-checkout") is True
            assert client.enabled("acme-only") is True
            with client.context(user="carl"):
                assert client.enabled("new-checkout") is False

    def test_may_evaluate_flags_itself(self, client: Client) -> None:
        def user_of(request: object) -> dict[str, Any]:
            return {"user": "anna" if client.enabled("banner") else "bert"}

        with Scopes(user_of, client).around(None):
            assert client.enabled("new-checkout") is True

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            (lambda request: 1 / 0, "ZeroDivisionError"),
            (lambda request: "anna", "not a str"),
            (lambda request: {1: "anna"}, "attributes by name"),
        ],
    )
    def test_that_fails_breaks_nothing_and_is_told_once(
        self, client: Client, caplog: pytest.LogCaptureFixture, wrong: Callable[[object], Any], told: str
    ) -> None:
        scopes = Scopes(wrong, client)
        for _ in range(3):
            with scopes.around(None), client.context(tenant="acme"):
                assert client.enabled("new-checkout") is False
                assert client.enabled("acme-only") is True
        assert caplog.text.count("the context function failed") == 1
        assert told in caplog.text

    def test_may_have_nothing_to_say(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        with Scopes(lambda request: None, client).around(None):
            assert client.enabled("banner") is True
        assert caplog.text == ""

    def test_must_be_a_function_that_can_be_waited_for(self, client: Client) -> None:
        async def user_of(request: object) -> dict[str, Any]:
            return {}

        with pytest.raises(TypeError, match="context must be a function, not 'anna'"):
            Scopes("anna", client)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="must not be a coroutine function"):
            Scopes(user_of, client, wait=False)

    def test_reaches_threads_and_tasks_that_begin_inside(self, client: Client) -> None:
        scopes = Scopes(lambda request: {"user": request}, client)

        async def ask() -> bool:
            return client.enabled("new-checkout")

        async def handle(user: str) -> tuple[bool, bool, list[str]]:
            with await scopes.around_async(user):
                await asyncio.sleep(0)  # the others run now
                return (
                    await asyncio.create_task(ask()),
                    await asyncio.to_thread(client.enabled, "new-checkout"),
                    [*evaluated()],
                )

        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*(handle(user) for user in ("anna", "bert", "anna")))

        seen = asyncio.run(all_at_once())
        assert seen == [(on, on, ["new-checkout"]) for on in (True, False, True)]

    def test_is_the_same_for_threads_that_ask_at_once(self, client: Client) -> None:
        from contextvars import copy_context

        barrier = threading.Barrier(4)

        def user_of(request: object) -> dict[str, Any]:
            barrier.wait(20)
            return {"user": "anna"}

        answers: list[bool] = []
        with Scopes(user_of, client).around(None):
            threads = [
                threading.Thread(
                    target=copy_context().run, args=(lambda: answers.append(client.enabled("new-checkout")),)
                )
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert answers == [True] * 4


def test_a_block_of_later_attributes_is_a_decorator_too(client: Client) -> None:
    asked: list[str] = []

    def make() -> dict[str, Any]:
        asked.append("asked")
        return {"user": "anna"}

    @context_later(make)
    def twice() -> list[bool]:
        return [client.enabled("new-checkout") for _ in range(2)]

    assert [twice(), twice()] == [[True, True]] * 2
    assert asked == ["asked"] * 2, "once for each call"
    assert dict(Later({"tenant": "acme"}, make)) == {"tenant": "acme", "user": "anna"}


class TestRecording:
    def test_holds_variants_or_values_with_the_last_answer(self, client: Client) -> None:
        with Scopes(None, client).around(None) as scope:
            client.enabled("banner")
            client.value("colour")
            client.value("nope", "x" * 1000)
            client.value("other", {"secret": 1})
            client.enabled("new-checkout")
            client.enabled("new-checkout", user="anna")
            assert evaluated() == {
                "banner": "on",
                "colour": "blue",
                "nope": "x" * 64,
                "other": "(dict)",
                "new-checkout": "on",
            }
            assert str(scope.recording).startswith("banner=on colour=blue nope=xxx")
        assert evaluated() == {}

    def test_is_bounded(self, client: Client) -> None:
        with Scopes(None, client).around(None):
            for number in range(MOST_FLAGS * 2):
                client.enabled(f"made-up-{number}" + "x" * 1000)
            client.enabled("banner")
            assert len(evaluated()) == MOST_FLAGS
            assert max(map(len, evaluated())) < 200

    def test_is_one_for_each_scope(self, client: Client) -> None:
        scopes = Scopes(None, client)
        with scopes.around(None):
            client.enabled("banner")
            with scopes.around(None):
                client.enabled("killed")
                assert evaluated() == {"killed": "off"}
            assert evaluated() == {"banner": "on"}

    def test_survives_being_left_elsewhere(self, client: Client) -> None:
        """As the closing of an abandoned generator does it: in another context than it was entered in."""
        from contextvars import copy_context

        scope = Scopes(lambda request: {"user": "anna"}, client).around(None)
        copy_context().run(scope.__enter__)
        scope.__exit__(None, None, None)
        assert evaluated() == {}
        assert client.enabled("new-checkout") is False


class TestFrozen:
    def test_gives_one_view_until_the_end_if_wanted(self, client: Client, publish: Callable[..., None]) -> None:
        live, frozen = Scopes(None, client), Scopes(None, client, frozen=True)
        with frozen.around(None):
            publish(banner=flag(killed=True))
            elsewhere: list[bool] = []

            def ask() -> bool:
                thread = threading.Thread(target=lambda: elsewhere.append(client.enabled("banner")))
                thread.start()
                thread.join()
                return elsewhere[-1] is False

            wait_until(ask, "the kill is in force")
            assert client.enabled("banner") is True
        assert client.enabled("banner") is False
        with live.around(None):
            assert client.enabled("banner") is False


def test_listeners_are_attached_once_however_many_scopes_there_are(client: Client) -> None:
    told: list[str] = []
    remove = client.on_evaluation(lambda details, context: told.append(details.flag))
    for _ in range(3):
        Scopes(None, client)
    with Scopes(None, client).around(None) as scope:
        client.enabled("banner")
    remove()
    assert told == ["banner"]
    assert scope.recording == {"banner": "on"}


def test_who_wants_no_recording_has_none() -> None:
    made = Client()
    with made.override(banner=True):
        with Scopes(lambda request: {"user": "anna"}, made, record=False).around(None):
            assert made.enabled("banner") is True
            assert evaluated() == {}
        with Scopes(None, made).around(None):
            assert made.enabled("banner") is True
            assert evaluated() == {"banner": True}
    made.close()


def test_a_client_that_nobody_holds_is_let_go() -> None:
    import gc
    from weakref import ref

    made = Client()
    Scopes(lambda request: {}, made)
    made.enabled("banner")
    made.close()
    gone = ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_nothing_is_said_where_all_is_well(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "downhaul"), Scopes(lambda request: {"user": "anna"}, client).around(None):
        client.enabled("new-checkout")
    assert caplog.text == ""
