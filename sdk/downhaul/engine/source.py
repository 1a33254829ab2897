"""Python made from a ruleset: one flat function for each flag, where closures would call one another.

A call in Python costs more than what most conditions do. No text of a ruleset ever gets into the source, which holds
nothing but the shape of the rules; attributes, values and answers are passed to it as constants. Flags of one shape
share their code, so that a thousand flags take few compilations. docs/adr/0007 tells what was tried instead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

Context = Any
"""A mapping of attributes, as the caller gave them."""


class Source:
    """The body of a function of the context `c`, line by line, and the constants that it is about."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._constants: list[Any] = []

    @property
    def empty(self) -> bool:
        """Whether there are no lines yet."""
        return not self._lines

    def constant(self, value: Any) -> str:
        """The name by which the body knows this value."""
        self._constants.append(value)
        return f"k{len(self._constants) - 1}"

    def line(self, text: str, indent: int = 0) -> None:
        self._lines.append("    " * (indent + 2) + text)

    def function(self) -> Callable[[Context], Any]:
        """The function that the lines make."""
        names = ", ".join(f"k{number}" for number in range(len(self._constants)))
        body = "\n".join(self._lines)
        made: Callable[[Context], Any] = _factory(f"def make({names}):\n    def run(c):\n{body}\n    return run")(
            *self._constants
        )
        return made


@lru_cache(maxsize=1024)
def _factory(source: str) -> Callable[..., Any]:
    namespace: dict[str, Any] = {
        "__builtins__": {"KeyError": KeyError, "UnicodeEncodeError": UnicodeEncodeError, "str": str}
    }
    exec(compile(source, "<downhaul flag>", "exec"), namespace)  # noqa: S102 -- the source is ours: see above
    factory: Callable[..., Any] = namespace["make"]
    return factory
