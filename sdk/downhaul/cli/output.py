"""What is written and where: results on stdout, everything else on stderr; tables for people, JSON for programs.

Texts come from other people (names, reasons, descriptions): nothing in them may move the cursor of a terminal.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from downhaul.cli.errors import CliError

Cell = str | int | Text | None

_UNBOUNDED = 100_000
"""Columns of a "terminal" that is a file or a pipe: nothing is wrapped there."""
_GAP = 2
"""Between columns."""
_ROOM = 12
"""For the words of a column, at least; a date has ten characters."""
_FRAMELESS: dict[str, Any] = {"box": None, "pad_edge": False, "padding": (0, _GAP, 0, 0)}
_JOINERS = "\u200c\u200d"
"""Without them, Persian and many emoji fall apart."""


class Output:
    """Both streams of this process."""

    def __init__(self) -> None:
        self._out = _console(stderr=False)
        self._err = _console(stderr=True)

    def show(self, *parts: RenderableType) -> None:
        """Write to stdout, one part after the other."""
        for part in parts:
            self._out.print(plain(part) if isinstance(part, str) else part)

    def json(self, document: Any) -> None:
        """Write to stdout. Escapes keep it valid in every encoding, and harmless on a terminal."""
        sys.stdout.write(json.dumps(document, indent=2) + "\n")

    def json_line(self, document: Any) -> None:
        """The same on one line, for documents that come one after the other."""
        sys.stdout.write(json.dumps(document) + "\n")

    def note(self, text: str) -> None:
        """Write to stderr: what is not part of the result."""
        self._err.print(plain(text))

    def error(self, error: CliError, *, as_json: bool) -> None:
        """Write to stderr: one sentence, what to do next, and the places of the faults when there are several."""
        if as_json:
            sys.stderr.write(json.dumps(error.to_json(), indent=2) + "\n")
            return
        hint = f"{_joint(str(error))}{error.hint}" if error.hint else ""
        self._err.print(Text.assemble(("Error: ", "bold red"), plain(f"{error}{hint}")))
        for fault in error.faults:
            self._err.print(plain(f"  {fault}"))

    def terminal(self) -> Console | None:
        """Where something can be shown that goes on changing: stderr, if it is a terminal."""
        return self._err if self._err.is_terminal else None

    def flush(self) -> None:
        """Now, so that a reader who has gone is noticed here and not at the interpreter's end."""
        sys.stdout.flush()


def plain(text: str, style: str = "") -> Text:
    """Text without markup, its control characters (and those that turn the direction of writing) made visible."""
    return Text("".join(map(_visible, text)), style)


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell]], spare: Sequence[str] = ()) -> Listed:
    """Columns without a frame, as wide as they need to be; `spare` says nothing that is not said elsewhere."""
    return Listed(headers, [[_cell(value) for value in row] for row in rows], spare)


class Listed:
    """Rows of cells. Cells of several words wrap on a narrow terminal; where even that does not fit, spare columns are
    left out, one after the other, and at last each row becomes a block of lines. Nothing is ever cut off."""

    def __init__(self, headers: Sequence[str], rows: Sequence[Sequence[Text]], spare: Sequence[str] = ()) -> None:
        self._headers = headers
        self._rows = rows
        self._spare = spare

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number in range(len(self._spare) + 1):
            narrower = self._without(self._spare[:number])
            if narrower._narrowest() <= options.max_width:
                yield narrower._columns()
                return
        for number, row in enumerate(self._rows):
            yield from [] if number == 0 else [""]
            yield fields(zip(self._headers, row, strict=True))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._columns())

    def _without(self, headers: Sequence[str]) -> Listed:
        kept = [number for number, header in enumerate(self._headers) if header not in headers]
        return Listed(
            [self._headers[number] for number in kept], [[row[number] for number in kept] for row in self._rows]
        )

    def _narrowest(self) -> int:
        """The width at which columns can still be read: words that stand alone are whole, others have some room."""
        widths = [
            min(width, _ROOM) if _wraps(cells) else width
            for header, *cells in zip(self._headers, *self._rows, strict=True)
            for width in [max(map(cell_len, [header, *(line for cell in cells for line in cell.plain.split("\n"))]))]
        ]
        return sum(widths) + _GAP * (len(widths) - 1)

    def _columns(self) -> Table:
        grid = Table(**_FRAMELESS, header_style="bold", show_header=any(self._headers))
        for header, *cells in zip(self._headers, *self._rows, strict=True):
            grid.add_column(header, overflow="fold", no_wrap=not _wraps(cells))
        for row in self._rows:
            grid.add_row(*row)
        return grid


def fields(pairs: Iterable[tuple[str, Cell]]) -> Table:
    """Names and values, one pair a line; pairs without a value are left out."""
    grid = Table(**_FRAMELESS, show_header=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if (cell := _cell(value)).plain:
            grid.add_row(name, cell)
    return grid


def indented(part: RenderableType) -> Padding:
    """Two columns to the right."""
    return Padding(part, (0, 0, 0, 2), expand=False)


def _wraps(cells: Iterable[Text]) -> bool:
    return any(" " in cell.plain for cell in cells)


def _cell(value: Cell) -> Text:
    if isinstance(value, Text):
        return value
    return plain("" if value is None else str(value))


def _joint(sentence: str) -> str:
    return " " if sentence.endswith("?") else "; "


def _visible(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return character if character in _JOINERS else character.encode("unicode_escape").decode("ascii")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would end the process itself, with an exit code of its own


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    width = None if stream.isatty() else _UNBOUNDED
    return _Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)
