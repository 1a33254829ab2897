"""Watching a change arrive. It is made already: whatever happens here, it stands, and that is what is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn

from downhaul.cli.acknowledgement import Change, exit_code, progress, unsafe, verdict
from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.session import Session

LOOK_S = 0.25
"""How long the service may wait for news before it answers, and the least time between two questions."""
GRACE_S = 2.0
"""For the answer to arrive: a service that hangs holds nobody up much longer than it was to be waited for."""

_MAY_PASS = (ExitCode.UNAVAILABLE, ExitCode.OTHER)
_NOTHING_KNOWN: dict[str, Any] = {
    "instances": 0,
    "applied": 0,
    "confirmed": False,
    "stragglers": [],
    "latency_ms": None,
}

Known = dict[str, Any]


def await_all(
    session: Session, change: Change, answer: Known, wait: float, whole: Callable[[Known], Known]
) -> ExitCode:
    """Wait until all have applied a change, or for `wait` seconds; say how far it has come.

    `answer` has what the service knew when it made the change; `whole` gives the document for `--json`.
    """
    watch = Watch(session, change, answer)
    interrupted = False
    try:
        watch.run(wait)
    except KeyboardInterrupt:
        interrupted = True
        session.output.note(f"Not waiting any longer. What is done stands: {change.sentence}.")
    if watch.trouble is not None:
        session.output.note(f"What is done stands; but how far it has come cannot be asked: {watch.trouble}")
    session.answer(whole(watch.known), *verdict(watch.known, change.services, change.environment), *unsafe(answer))
    return ExitCode.INTERRUPTED if interrupted else exit_code(watch.known)


def now(wait: float | None) -> dict[str, int]:
    """What a write is asked with, if it is to be waited for: it answers at once, and says how far it has come."""
    return {} if wait is None else {"wait": 0}


def await_written(session: Session, change: Change, document: Known, wait: float) -> ExitCode:
    """The same for a write of a document, which has the answer as its `acknowledgement`."""
    first = document.get("acknowledgement") or {}
    return await_all(session, change, first, wait, lambda known: {**document, "acknowledgement": {**first, **known}})


class Watch:
    """How far a change has come, as far as is known."""

    def __init__(self, session: Session, change: Change, answer: Known) -> None:
        self.known: Known = {name: answer.get(name, default) for name, default in _NOTHING_KNOWN.items()}
        self.trouble: CliError | None = None
        """Why the service could not be asked the last time."""
        self._session = session
        self._change = change

    def run(self, wait: float) -> None:
        """Ask until all have applied it, the time is up, or asking is refused."""
        if self.known["confirmed"] or wait <= 0:
            return
        deadline = time.monotonic() + wait
        with self._bar(wait) as show:
            while not self.known["confirmed"] and self._may_ask():
                show()
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._look(min(left, LOOK_S))

    def _may_ask(self) -> bool:
        return self.trouble is None or self.trouble.code in _MAY_PASS

    def _look(self, seconds: float) -> None:
        """Takes that long, unless all have applied it before: a service that nobody reaches answers at once."""
        until = time.monotonic() + seconds
        try:
            found = self._ask(seconds)
            self.known = {name: found[name] for name in _NOTHING_KNOWN}
            self.trouble = None
        except CliError as error:
            self.trouble = error
        if not self.known["confirmed"] and self._may_ask():
            time.sleep(max(0.0, until - time.monotonic()))

    def _ask(self, seconds: float) -> Any:
        api, change, wait = self._session.api, self._change, round(seconds, 3)
        if not change.services:
            return api.get("acknowledgement", within=wait + GRACE_S, revision=change.revision, wait=f"{wait:.3f}")
        question = {"environment": change.environment, "services": list(change.services)}
        body = {"revision": change.revision, "wait": wait, **question}
        return api.post("acknowledgement", within=wait + GRACE_S, body=body)

    @contextmanager
    def _bar(self, wait: float) -> Iterator[Callable[[], None]]:
        """On a terminal only, on stderr, and gone at the end: the verdict takes its place."""
        console = self._session.output.terminal()
        if console is None or self._session.as_json:
            yield lambda: None
            return
        columns = (
            BarColumn(bar_width=20, complete_style="green", finished_style="green"),
            TextColumn("{task.fields[text]}", markup=False),
            TextColumn("{task.elapsed:.0f} s of " + f"{wait:g} s", style="bright_black"),
        )
        with Progress(*columns, console=console, transient=True) as shown:
            task = shown.add_task("", total=None, text="")
            yield lambda: shown.update(
                task, total=self.known["instances"] or None, completed=self.known["applied"], text=self._state()
            )

    def _state(self) -> str:
        if self.trouble is not None:
            return "The service cannot be asked; trying again"
        return progress(self.known) if self.known["instances"] else "Waiting for the service to know"
