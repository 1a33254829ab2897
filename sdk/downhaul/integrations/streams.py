"""Bodies that are made when the request has been answered: in its scope, entered for each part of them.

A block around all parts would stay open in the server between them, and for ever where nobody fetches the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, TypeVar, cast

from downhaul.integrations.scopes import Scope

Part = TypeVar("Part")

_END: Final = object()


def within(scope: Scope, body: Iterable[Part]) -> Iterator[Part]:
    """The parts of `body`, each made inside `scope`. Closes it, if that can be done."""
    parts = iter(body)
    try:
        while True:
            with scope:
                part = next(parts, _END)
            if part is _END:
                return
            yield cast(Part, part)
    finally:
        if close := getattr(body, "close", None):
            close()


async def within_async(scope: Scope, body: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """The same of an asynchronous body, which whoever made it closes."""
    while True:
        with scope:
            part = await anext(body, _END)
        if part is _END:
            return
        yield cast(Part, part)
