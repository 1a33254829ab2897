"""What a type checker has to object to: every line that ends in `# wrong`, and no other. Never run."""
# pyright: strict

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downhaul import flags

flags.enabled()  # wrong
flags.enabled(1)  # wrong
flags.enabled("a", default="yes")  # wrong
flags.enabled(flag="a")  # wrong
flags.value(["a"])  # wrong
flags.all("u")  # wrong
flags.configure(polling=3)  # wrong
flags.wait_ready("soon")  # wrong
flags.on_change(print, flag=3)  # wrong

number: int = flags.string("a")  # wrong
text: str = flags.string("a", None)  # wrong
colour: str = flags.value("a", default=7)  # wrong
maybe: str = flags.variant("a")  # wrong
answer: str = flags.number_details("a").value  # wrong
flags.string_details("a").value = "mine"  # wrong
print(flags.details("a").steps)  # wrong


def old(query: str) -> int:
    return len(query)


async def old_later(query: str) -> int:
    return len(query)


def by_number(query: int) -> dict[str, Any]:
    return {"user": query}


@flags.when("a", otherwise=old)  # wrong
def other_arguments(query: str, user: str) -> int:
    return len(query + user)


@flags.when("a", otherwise=old)  # wrong
def other_result(query: str) -> str:
    return query


@flags.when("a", otherwise=old_later)  # wrong
def not_later(query: str) -> int:
    return len(query)


flags.when("a", old)  # wrong
flags.when("a", otherwise=old, context=by_number)(old)  # wrong


@flags.frozen()
def frozen(query: str) -> int:
    return len(query)


frozen(3)  # wrong


def heard(details: flags.Details[Any]) -> None:
    print(details)


def heard_both(details: flags.Details[Any], context: Mapping[str, Any]) -> None:
    print(details, context)


flags.on_evaluation(heard)  # wrong
flags.on_evaluation(heard_both)
