"""`when` lets a flag decide at each call which of two functions runs."""

from __future__ import annotations

import asyncio
import inspect
import logging
from functools import partial
from typing import Any

import pytest
from downhaul.client import Client

FLAG = "new-search"


@pytest.fixture
def client() -> Client:
    return Client()


def old(query: str, *, user: str = "nobody") -> str:
    return f"old {query} for {user}"


def test_the_flag_decides_at_each_call(client: Client) -> None:
    @client.when(FLAG, otherwise=old)
    def new(query: str, *, user: str = "nobody") -> str:
        """Search anew."""
        return f"new {query} for {user}"

    assert new("shoes") == "old shoes for nobody"
    with client.override({FLAG: True}):
        assert new("shoes", user="u") == "new shoes for u"
    assert new("shoes", user="u") == "old shoes for u"
    assert (new.__name__, new.__doc__) == ("new", "Search anew.")
    assert list(inspect.signature(new).parameters) == ["query", "user"]
    assert client.counts()[FLAG] == {"FLAG_NOT_FOUND": 2, "OVERRIDE": 1}


def test_the_default_decides_where_there_is_no_flag(client: Client) -> None:
    @client.when(FLAG, otherwise=old, default=True)
    def new(query: str, *, user: str = "nobody") -> str:
        return "new"

    assert new("shoes") == "new"


def test_a_function_makes_the_context_of_a_call(client: Client) -> None:
    told: list[Any] = []
    client.on_evaluation(lambda details, context: told.append((details.flag, context)))

    @client.when(FLAG, otherwise=old, context=lambda query, user="nobody": {"user": user})
    def new(query: str, *, user: str = "nobody") -> str:
        return "new"

    with client.context(tenant="acme"):
        new("shoes", user="u")
    assert told == [(FLAG, {"tenant": "acme", "user": "u"})]


def test_a_context_that_cannot_be_made_leaves_it_to_the_default(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(query: str, *, user: str = "nobody") -> dict[str, str]:
        raise KeyError("no session")

    @client.when(FLAG, otherwise=old, context=broken)
    def new(query: str, *, user: str = "nobody") -> str:
        return "new"

    with client.override({FLAG: True}), caplog.at_level(logging.WARNING, "downhaul"):
        assert [new("shoes"), new("shoes")] == ["old shoes for nobody"] * 2
    assert caplog.text.count(f"{FLAG!r} could not be evaluated") == 1
    assert "no session" in caplog.text
    assert client.counts()[FLAG] == {"GENERAL": 2}


@pytest.mark.parametrize("attributes", [None, 3, {1: 2}])
def test_a_context_that_is_none_is_as_good_as_one_that_raises(client: Client, attributes: Any) -> None:
    @client.when(FLAG, otherwise=old, context=lambda *args, **kwargs: attributes)
    def new(query: str, *, user: str = "nobody") -> str:
        return "new"

    with client.override({FLAG: True}):
        assert new("shoes") == "old shoes for nobody"


def test_what_a_side_raises_is_the_callers(client: Client) -> None:
    def failing() -> None:
        raise LookupError("of the old side")

    @client.when(FLAG, otherwise=failing)
    def new() -> None:
        raise LookupError("of the new side")

    with pytest.raises(LookupError, match="of the old side"):
        new()
    with client.override({FLAG: True}), pytest.raises(LookupError, match="of the new side"):
        new()
    assert client.counts()[FLAG] == {"FLAG_NOT_FOUND": 1, "OVERRIDE": 1}


def test_coroutine_functions(client: Client) -> None:
    async def old_later(query: str) -> str:
        return f"old {query}"

    @client.when(FLAG, otherwise=old_later)
    async def new_later(query: str) -> str:
        await asyncio.sleep(0)
        return f"new {query}"

    assert inspect.iscoroutinefunction(new_later)
    assert asyncio.run(new_later("shoes")) == "old shoes"
    with client.override({FLAG: True}):
        assert asyncio.run(new_later("shoes")) == "new shoes"


def test_methods(client: Client) -> None:
    class Shop:
        name = "acme"

        def _old(self, query: str) -> str:
            return f"old {query} at {self.name}"

        @client.when(FLAG, otherwise=_old)
        def search(self, query: str) -> str:
            return f"new {query} at {self.name}"

    assert Shop().search("shoes") == "old shoes at acme"
    with client.override({FLAG: True}):
        assert Shop().search("shoes") == "new shoes at acme"


class TestMisuse:
    def test_one_side_is_a_coroutine_function(self, client: Client) -> None:
        async def later(query: str, *, user: str = "nobody") -> str:
            return "later"

        with pytest.raises(TypeError, match=r"later is a coroutine function and old is not; both have to be"):
            client.when(FLAG, otherwise=old)(later)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"later is a coroutine function and old is not; both have to be"):
            client.when(FLAG, otherwise=later)(old)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"is a coroutine function and old is not"):
            client.when(FLAG, otherwise=partial(later, "x"))(old)

    def test_an_object_whose_call_is_a_coroutine_function_counts_as_one(self, client: Client) -> None:
        class Later:
            async def __call__(self, query: str, *, user: str = "nobody") -> str:
                return "later"

        with pytest.raises(TypeError, match=r"Later object at .* is a coroutine function and old is not"):
            client.when(FLAG, otherwise=Later())(old)  # type: ignore[arg-type]

    def test_what_is_no_function(self, client: Client) -> None:
        with pytest.raises(TypeError, match="otherwise: expected a function, got 'old'"):
            client.when(FLAG, otherwise="old")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expected a function to decorate, got 3"):
            client.when(FLAG, otherwise=old)(3)  # type: ignore[arg-type]

    def test_a_context_that_would_have_to_be_awaited(self, client: Client) -> None:
        async def attributes(query: str, *, user: str = "nobody") -> dict[str, str]:
            return {}

        with pytest.raises(TypeError, match="context: expected a function, not a coroutine function"):
            client.when(FLAG, otherwise=old, context=attributes)  # type: ignore[arg-type]
