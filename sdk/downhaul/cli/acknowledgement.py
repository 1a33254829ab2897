"""Watching a change arrive: a bar while it does, and then a verdict that nobody can misread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.output import Listed, plain, table
from downhaul.cli.session import Session

LOOK_EVERY_S = 0.5
MOST_NAMED = 50
"""Stragglers that are shown to people; `--json` has all of them."""

Document = dict[str, Any]


def watch(session: Session, document: Document, wait: float) -> Document:
    """The acknowledgement of a change that is made, once all have applied it or `wait` seconds have passed.

    `document` is what is known so far, as the service answered. Whatever happens here, the change stands: where the
    service cannot be asked any more, what is known so far is the answer.
    """
    known = document
    deadline = time.monotonic() + wait
    with _bar(session) as show:
        while True:
            show(known)
            left = deadline - time.monotonic()
            if known["confirmed"] or left <= 0:
                return known
            look_again = time.monotonic() + min(left, LOOK_EVERY_S)
            try:
                known = session.api.get(
                    "acknowledgement", revision=known["revision"], wait=f"{min(left, LOOK_EVERY_S):.3f}"
                )
            except CliError as error:
                if error.code not in (ExitCode.UNAVAILABLE, ExitCode.OTHER):
                    raise
                session.output.note(f"The change is made, but how far it has come cannot be asked: {error}")
                return {**known, "confirmed": False}
            if not known["confirmed"]:  # a service with too many who wait answers at once
                time.sleep(max(0.0, look_again - time.monotonic()))


def verdict(document: Document) -> list[Text | Listed]:
    """In words; with the stragglers, if there are any."""
    instances, applied = document["instances"], document["applied"]
    if document["confirmed"] and not instances:
        return [plain("No live process is known that it concerns.")]
    if document["confirmed"]:
        return [Text.assemble(("Confirmed", "bold green"), f" by {_all(instances)}{_latency(document)}.")]
    missing = f"{applied} of {_processes(instances)} have applied it"
    head = Text.assemble(("NOT CONFIRMED", "bold red"), f": {missing}.")
    stragglers = document["stragglers"]
    if not stragglers:
        return [head]
    rest = [plain(f"... and {len(stragglers) - MOST_NAMED} more")] if len(stragglers) > MOST_NAMED else []
    return [head, plain("Not, as far as is known:"), _named(stragglers[:MOST_NAMED]), *rest]


def exit_code(document: Document) -> ExitCode:
    """0 when all have applied it, else 3."""
    return ExitCode.OK if document["confirmed"] else ExitCode.UNCONFIRMED


def ago(seconds: float) -> str:
    """`3 s ago`, `12 min ago`."""
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"


def _named(stragglers: list[Document]) -> Listed:
    rows = [
        [
            each["service"],
            each["instance"],
            each["host"],
            each["build"],
            each["revision"],
            each["link"],
            ago(each["last_seen_s"]),
        ]
        for each in stragglers
    ]
    return table(["SERVICE", "INSTANCE", "HOST", "BUILD", "REVISION", "LINK", "LAST HEARD"], rows)


def _processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


def _all(instances: int) -> str:
    return "the one live process" if instances == 1 else f"all {instances} live processes"


def _latency(document: Document) -> str:
    latency = document["latency_ms"]
    return f", the last of them after {latency['max']:.0f} ms" if latency else ""


class _Progress:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task("applied", total=None, applied="")

    def __call__(self, known: Document) -> None:
        instances, applied = known["instances"], known["applied"]
        text = f"{applied} of {_processes(instances)} have applied it"
        self._progress.update(self._task, total=max(instances, 1), completed=applied, applied=text)


@contextmanager
def _bar(session: Session) -> Iterator[Any]:
    """On a terminal only, on stderr, and gone at the end: the verdict takes its place."""
    console = session.output.terminal()
    if console is None or session.as_json:
        yield lambda known: None
        return
    columns = (BarColumn(bar_width=30), TextColumn("{task.fields[applied]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Progress(progress)
