"""What a process tells the service of itself, and when: what it has applied, and how often it gave which answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Mapping
from math import inf
from time import monotonic
from typing import Any, Final

from downhaul import __version__, backoff
from downhaul.health import log
from downhaul.identity import Identity
from downhaul.snapshot import Snapshot
from downhaul.trouble import LinkError

SDK: Final = f"python/{__version__}"
COUNT_EVERY_S: Final = 60.0
MOST_FLAGS: Final = 4000
REPORT_EVERY_S: Final = 15.0
NOT_THERE_S: Final = 300.0
MOST_AT_ONCE: Final = 5
PER_S: Final = 1.0
"""However many changes come, and however often a report is interrupted: five in a second."""

Counts = dict[str, dict[str, int]]


class Reporter:
    """Decides when there is something to say, and says it. Knows nothing of HTTP.

    What goes wrong here never shows in the flags: it is logged, once for its cause, and tried again.
    """

    def __init__(self, identity: Identity, counts: Callable[[], Counts], sent: Mapping[str, Mapping[str, int]]) -> None:
        """`counts` gives how often each flag gave each answer so far; `sent` of these are somebody else's to tell."""
        self._identity = identity
        self._counts = counts
        self._sent = {flag: dict(answers) for flag, answers in sent.items()}
        self._batch: Counts = {}
        self._sequence = 0
        self._count_at = monotonic() + COUNT_EVERY_S
        self._due: float | None = None
        self._not_before = 0.0
        self._applied_at = monotonic()
        self._applied: tuple[str, int] | None = None
        self._link = ""
        self._spread_s = 0.0
        self._failures = 0
        self._causes: set[str] = set()
        self._recent: deque[float] = deque(maxlen=MOST_AT_ONCE)
        self._begun = False

    def applied(self, snapshot: Snapshot) -> None:
        """This is in force now. The service hears of it at once, or when a large fleet's turn has come."""
        place = (snapshot.epoch, snapshot.revision)
        if place != self._applied:
            self._applied, self._applied_at = place, monotonic()
            self._ask(backoff.between(0.0, self._spread_s))

    def linked(self, link: str) -> None:
        """The service is heard by `stream` or `poll` from now on."""
        if link != self._link:
            self._link = link
            self._ask(0.0)

    @property
    def may_be_known(self) -> bool:
        """Whether the service may know of this process, and is there to hear that it leaves."""
        return self._begun and not self._failures

    @property
    def due(self) -> bool:
        """Whether it is time to report."""
        return self.due_in <= 0.0

    @property
    def due_in(self) -> float:
        """Seconds until it is."""
        if self._due is None:
            return inf
        bound = self._recent[0] + PER_S if len(self._recent) == MOST_AT_ONCE else 0.0
        return max(self._due, self._not_before, bound) - monotonic()

    def document(self, snapshot: Snapshot | None, *, leaving: bool = False) -> dict[str, Any]:
        """The report of this moment, as the service takes it."""
        self._recent.append(monotonic())
        self._begun = True
        document = {
            **self._identity.described(),
            "sdk": SDK,
            "link": self._link or "poll",
            "epoch": snapshot.epoch if snapshot else None,
            "revision": snapshot.revision if snapshot else None,
            "applied_ms": int((monotonic() - self._applied_at) * 1000),
        }
        if leaving:
            document["leaving"] = True
        known = snapshot.ruleset.flags if snapshot else ()
        if counts := self._counted(known, everything=leaving):
            document |= {"counts": counts, "sequence": self._sequence}
        return document

    def taken(self, answer: Mapping[str, Any]) -> None:
        """The service has taken the report, and says when it wants the next ones."""
        self._failures = 0
        self._causes.clear()
        if self._batch:
            self._add_batch()
        self._spread_s = _number(answer.get("spread_ms"), 0.0, 60_000.0, 0.0) / 1000
        self._due = monotonic() + _number(answer.get("next_report_s"), 1.0, 300.0, REPORT_EVERY_S)

    def failed(self, error: LinkError) -> None:
        """The service has not taken it."""
        self._failures += 1
        if error.unfit:  # the counts may be what it does not take: then without them
            self._add_batch()
        pause = NOT_THERE_S if error.missing else backoff.after_failure(self._failures, 1.0, error.retry_after)
        self._not_before = monotonic() + pause
        self._due = self._due or monotonic()
        if error.cause not in self._causes:
            self._causes.add(error.cause)
            log.info("the service takes no report of this process: %s; it is asked again", error)

    def interrupted(self) -> None:
        """Something more important has come; the report is made again right after it."""
        self._due = monotonic()

    def _ask(self, seconds: float) -> None:
        at = monotonic() + seconds
        self._due = at if self._due is None else min(self._due, at)

    def _counted(self, known: Container[str], *, everything: bool) -> Counts:
        """What was counted since the last batch that was taken; the same batch again until it is taken."""
        if not self._batch and (everything or monotonic() >= self._count_at):
            self._count_at = monotonic() + COUNT_EVERY_S
            self._batch = _some(_difference(self._counts(), self._sent), known)
            self._sequence += bool(self._batch)
        return self._batch

    def _add_batch(self) -> None:
        for flag, answers in self._batch.items():
            sent = self._sent.setdefault(flag, {})
            for answer, number in answers.items():
                sent[answer] = sent.get(answer, 0) + number
        self._batch = {}


def _difference(now: Counts, before: Counts) -> Counts:
    found: Counts = {}
    for flag, answers in now.items():
        sent = before.get(flag, {})
        more = {answer: number - sent.get(answer, 0) for answer, number in answers.items()}
        if more := {answer: number for answer, number in more.items() if number > 0}:
            found[flag] = more
    return found


def _some(counts: Counts, known: Container[str]) -> Counts:
    """As many flags as fit into one report; the others come with the next.

    None that the service does not know: callers may put anything into a name, also what has to stay in the process.
    """
    return dict([each for each in counts.items() if each[0] in known][:MOST_FLAGS])


def _number(value: Any, low: float, high: float, otherwise: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return otherwise
    return min(max(float(value), low), high)
