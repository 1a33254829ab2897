"""The one error of the engine: data that is no ruleset, with the place of the fault."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]
"""Where in a document: `("flags", "new-checkout", "rules", 0, "when")`."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class DecodeError(ValueError):
    """The text reads `flags.new-checkout.rules[0].when: expected an object, found a number`."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{dotted(path)}: {message}" if path else message)
        self.path = path
        self.message = message


def dotted(path: Path) -> str:
    """The path as people write it: `rules[0].serve.split[1].weight`; a name with a dot in it as `["a.b"]`."""
    return "".join(_step(part) for part in path).removeprefix(".")


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.fullmatch(part) else f"[{part!r}]"
