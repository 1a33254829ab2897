"""What a type checker has to see in programs that use the SDK well. Never run: checked by mypy and pyright."""
# pyright: strict

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, assert_type
from unittest import TestCase

from downhaul import flags
from downhaul.client import Client
from downhaul.testing import FlagsMixin, IsolatedFlags, both, isolated

# The two calls of every day.
assert_type(flags.enabled("a"), bool)
assert_type(flags.enabled("a", user="u", plan="pro", flag="an attribute"), bool)
assert_type(flags.enabled("a", True, user=1), bool)
assert_type(flags.enabled("a", default=True, user=1), bool)
assert_type(flags.value("a", user="u"), Any)
assert_type(flags.value("a", None), Any)
assert_type(flags.value("a", default="blue"), str)
assert_type(flags.value("a", "blue", user="u"), str)
assert_type(flags.value("a", default=True), bool)
assert_type(flags.value("a", default=7), float)
assert_type(flags.value("a", default=2.5, user="u"), float)
assert_type(flags.value("a", default={"columns": 1}), Any)

# One type, or the default.
assert_type(flags.boolean("a"), bool)
assert_type(flags.boolean("a", True, user="u"), bool)
assert_type(flags.boolean("a", default=None), bool | None)
assert_type(flags.string("a", user="u"), str)
assert_type(flags.string("a", "blue"), str)
assert_type(flags.string("a", default="blue", user="u"), str)
assert_type(flags.string("a", None), str | None)
assert_type(flags.number("a"), float)
assert_type(flags.number("a", 2.5, user="u"), float)
assert_type(flags.number("a", default=None), float | None)
assert_type(flags.json("a", {}, user="u"), Any)
assert_type(flags.variant("a", user="u"), str | None)
assert_type(flags.variant("a", "control"), str)
assert_type(flags.all(user="u"), dict[str, Any])

# The same with the reason.
assert_type(flags.details("a", user="u"), flags.Details[Any])
assert_type(flags.boolean_details("a"), flags.Details[bool])
assert_type(flags.string_details("a", "blue", user="u"), flags.Details[str])
assert_type(flags.string_details("a", None).value, str | None)
assert_type(flags.number_details("a", default=2.5).value, float)
assert_type(flags.json_details("a").value, Any)
assert_type(flags.string_details("a").error_code, str | None)
assert_type(flags.explain("a", user="u").reason, str)

# What the process knows.
assert_type(flags.status().revision, int | None)
assert_type(flags.counts(), dict[str, dict[str, int]])
assert_type(flags.wait_ready(2.0), bool)


# Decorators leave a function as it is.
@flags.override(new_checkout=True)
def overridden(number: int, *, text: str = "") -> str:
    return f"{number} {text}"


@flags.frozen()
def frozen(number: int) -> str:
    return str(number)


@flags.context(tenant="t")
async def later(number: int) -> str:
    return str(number)


assert_type(overridden(1, text="x"), str)
assert_type(frozen(1), str)


def old(query: str, *, user: str = "nobody") -> list[str]:
    return [query, user]


@flags.when("a", otherwise=old)
def new(query: str, *, user: str = "nobody") -> list[str]:
    return [query, user]


@flags.when("a", otherwise=old, context=lambda query, *, user="nobody": {"user": user, "length": len(query)})
def newer(query: str, *, user: str = "nobody") -> list[str]:
    return [query, user]


assert_type(new("shoes", user="u"), list[str])
assert_type(newer("shoes"), list[str])


async def old_later(query: str) -> int:
    return len(query)


@flags.when("a", otherwise=old_later, default=True)
async def new_later(query: str) -> int:
    return len(query)


async def wait_for_both() -> None:
    assert_type(await later(1), str)
    assert_type(await new_later("shoes"), int)


class Shop:
    def _old(self, query: str) -> str:
        return query

    @flags.when("a", otherwise=_old)
    def search(self, query: str) -> str:
        return query


assert_type(Shop().search("shoes"), str)

# Blocks, listeners, another client.
with flags.context(user="u"), flags.override({"a/b": False}), flags.frozen():
    pass


def heard(details: flags.Details[Any], context: Mapping[str, Any]) -> None:
    print(details.flag, details.reason, context.get("user"))


assert_type(flags.on_evaluation(heard), Callable[[], None])
assert_type(flags.on_change(lambda names: print(sorted(names)), flag="a"), Callable[[], None])
assert_type(flags.on_status(lambda status: print(status.state)), Callable[[], None])
payments = Client(url="http://x", key="k", service="s", poll_interval=1)
assert_type(payments.string("a", "blue", user="u"), str)
assert_type(payments.enabled("a", user="u"), bool)

# Tests of programs.
with isolated({"a/b": 1}, strict=True, file="downhaul.toml", new_checkout=True) as isolated_flags:
    assert_type(isolated_flags, IsolatedFlags)
    assert_type(isolated_flags.enabled("a"), bool)
    isolated_flags.set({"a/b": 2}, new_checkout=False)
    for sides in isolated_flags.both("a", colour=["red", "blue"]):
        assert_type(sides, dict[str, Any])


@both("new-checkout", {"a/b": [1, 2]}, colour=["red", "blue"])
def test_sides(number: int) -> str:
    return str(number)


@isolated(new_checkout=True)
async def test_later(number: int) -> str:
    return str(number)


assert_type(test_sides(1), str)


@flags.both("new-checkout")
class CheckoutTest(FlagsMixin, TestCase):
    flag_values = {"new-checkout": True}  # noqa: RUF012
    flags_strict = True

    def test_flags(self) -> None:
        assert_type(self.flags.enabled("a"), bool)


assert_type(CheckoutTest().flags, IsolatedFlags)
