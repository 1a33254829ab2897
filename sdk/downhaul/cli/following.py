"""The log as it goes on. Asks for the newest revision now and then, and for the entries only when there are some."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.log_view import log_line
from downhaul.cli.session import Session

ASK_EVERY_S = 1.0
LONGEST_PAUSE_S = 30.0
"""Between two questions while the service does not answer."""

Filters = Mapping[str, str | None]


def follow(session: Session, limit: int | None, filters: Filters) -> None:
    """Show the newest `limit` entries, oldest first, then whatever comes, until an interrupt. Raises CliError."""
    follower = _Follower(session, filters)
    try:
        follower.begin(limit)
        pause = ASK_EVERY_S
        while True:
            time.sleep(pause)
            pause = ASK_EVERY_S if follower.ask() else min(2 * pause, LONGEST_PAUSE_S)
    except KeyboardInterrupt:
        session.output.note("")


class _Follower:
    def __init__(self, session: Session, filters: Filters) -> None:
        self._session = session
        self._filters = filters
        self._epoch = ""
        self._ended_epochs: set[str] = set()
        self._revision = 0
        """All entries up to here are shown, or are not wanted."""
        self._is_lost = False

    def begin(self, limit: int | None) -> None:
        self._epoch, self._revision = self._newest()
        self._show(self._session.api.list("log", limit=limit, **self._filters).items)

    def ask(self) -> bool:
        """Show what is new. False when the service does not answer; that is said once. Raises CliError if it never
        will."""
        try:
            self._ask()
        except CliError as error:
            if error.code not in (ExitCode.UNAVAILABLE, ExitCode.OTHER):
                raise
            if not self._is_lost:
                self._session.output.note(f"{error}; trying again.")
            self._is_lost = True
            return False
        if self._is_lost:
            self._session.output.note("The service answers again; nothing was missed.")
        self._is_lost = False
        return True

    def _ask(self) -> None:
        epoch, revision = self._newest()
        if epoch in self._ended_epochs:
            return  # a process of the service that has not heard of it yet
        if epoch != self._epoch:
            self._session.output.note(f"The store has begun a new epoch, {epoch}, at revision {revision}.")
            self._ended_epochs.add(self._epoch)
            self._epoch, self._revision = epoch, revision
        if revision > self._revision:
            self._show(self._new(revision))
            self._revision = max(self._revision, revision)

    def _newest(self) -> tuple[str, int]:
        status = self._session.api.get("status")
        if status["revision"] is None:
            raise CliError("the service has nothing loaded yet", ExitCode.UNAVAILABLE)
        return status["epoch"], status["revision"]

    def _new(self, newest: int) -> list[dict[str, Any]]:
        entries = self._after(self._session.api.list("log", limit=newest - self._revision).items)
        if not entries or not any(self._filters.values()):
            return entries
        # So the service looks no further back than where these begin, however seldom something is wanted.
        begin = min(str(each["at"]) for each in entries)
        wanted = {**self._filters, "since": begin}
        return self._after(self._session.api.list("log", limit=None, **wanted).items)

    def _after(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [each for each in entries if each["revision"] > self._revision]

    def _show(self, entries: list[dict[str, Any]]) -> None:
        """Each on a line, oldest first, at once."""
        for entry in reversed(entries):
            if self._session.as_json:
                self._session.output.json_line(entry)
            else:
                self._session.output.show(log_line(entry))
            self._revision = max(self._revision, entry["revision"])
        self._session.output.flush()
