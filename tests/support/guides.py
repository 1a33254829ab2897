"""The code blocks of the documentation, for the tests that run them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"^(?:<!-- (?P<mark>tried by [^\n]*) -->\n)? *(?P<ticks>`{3,})(?P<language>\S*)\n(?P<text>.*?)^ *(?P=ticks)$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `page` is the page's path in the repository, `mark` the comment above (`tried by tests/docs`)."""

    page: str
    line: int
    language: str
    text: str
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.language})"


def pages() -> list[str]:
    """All that people read and may paste from. Decisions tell of the past, and are no guides."""
    guides = [path for path in (ROOT / "docs").rglob("*.md") if not {"adr", "_build"} & set(path.parts)]
    return ["README.md", "CONTRIBUTING.md", "sdk/README.md", *sorted(str(path.relative_to(ROOT)) for path in guides)]


def blocks(page: str, *languages: str) -> list[Block]:
    """The blocks of a page in these languages (none named: all of them), in the page's order."""
    source = (ROOT / page).read_text("utf-8")
    found = [
        Block(
            page,
            source.count("\n", 0, match.start("ticks")) + 1,
            match["language"],
            textwrap.dedent(match["text"]),
            match["mark"] or "",
        )
        for match in FENCE.finditer(source)
    ]
    return [block for block in found if not languages or block.language in languages]
