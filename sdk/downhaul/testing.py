"""For tests of the user's code: a pytest fixture `flags`, with no server and no network. A plugin of pytest.

It loads nothing of the SDK before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from downhaul.client import Client


class IsolatedFlags:
    """The flags of one test: none is known but those that it sets."""

    def __init__(self, client: Client, stack: ExitStack) -> None:
        self._client = client
        self._stack = stack
        self.enabled = client.enabled
        self.value = client.value
        self.explain = client.explain
        self.context = client.context
        self.override = client.override

    def set(self, values: Mapping[str, Any] | None = None, /, **flags: Any) -> None:
        """Give flags these values until the end of the test; in a keyword, `_` stands for `-`."""
        self._stack.enter_context(self._client.override(values, **flags))


@pytest.fixture
def flags() -> Iterator[IsolatedFlags]:
    """The flags of this process, isolated for one test: what it sets is in force, and everything else is a default."""
    from downhaul.flags import client

    with ExitStack() as stack:
        stack.enter_context(client.isolated())
        yield IsolatedFlags(client, stack)
