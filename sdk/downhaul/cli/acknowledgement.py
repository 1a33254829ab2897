"""Who has obeyed: a verdict that nobody can misread, with the missing by name, and an exit code for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from downhaul.cli.errors import ExitCode
from downhaul.cli.output import Listed, plain, table
from downhaul.cli.words import ago, listed

MOST_NAMED = 50
"""Stragglers that are shown to people; `--json` has all of them."""

Known = Mapping[str, Any]
"""How far a change has come, as the API tells it: `instances`, `applied`, `confirmed`, `stragglers`, `latency_ms`."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is made, and whose instances are to have it; without services: all that it concerns."""

    sentence: str
    """Without a full stop: `checkout/new-checkout is killed in production (revision 42)`."""
    revision: int
    services: tuple[str, ...] = ()
    environment: str | None = None


def verdict(known: Known, services: Sequence[str] = (), environment: str | None = None) -> list[RenderableType]:
    """In words: a line, and below it the missing ones, if there are any."""
    return [headline(known, services, environment), *details(known)]


def unsafe(answer: Known) -> list[RenderableType]:
    """A warning, where the answer to a change says that fewer replicas of Redis hold it than should."""
    held = answer.get("durability") or {}
    confirmed, wanted = held.get("replicas"), held.get("replicas_wanted", 0)
    if confirmed is None or confirmed >= wanted:
        return []
    return [plain(f"Only {confirmed} of {wanted} replicas of Redis hold it: a failover may undo it.", "yellow")]


def headline(known: Known, services: Sequence[str] = (), environment: str | None = None) -> Text:
    """`Confirmed by all 38 processes in 212 ms.`, or that it is not."""
    if known["confirmed"]:
        return _confirmed(known) if known["instances"] else _nobody(services, environment)
    if known["stragglers"]:
        return _unconfirmed(f"{progress(known)}. Still missing:")
    return _unconfirmed(_unsure(known["instances"], known["applied"]))


def details(known: Known) -> list[RenderableType]:
    """Those who are missing."""
    missing = known["stragglers"]
    if not missing or known["confirmed"]:
        return []
    more = [plain(f"... and {len(missing) - MOST_NAMED} more; --json has them.")] if len(missing) > MOST_NAMED else []
    return [stragglers(missing[:MOST_NAMED]), *more]


def exit_code(known: Known) -> ExitCode:
    """0 when all have applied it, else 3."""
    return ExitCode.OK if known["confirmed"] is True else ExitCode.UNCONFIRMED


def progress(known: Known) -> str:
    """`37 of 38 processes have applied it`."""
    instances, applied = known["instances"], known["applied"]
    return f"{applied} of {instances} process{'' if instances == 1 else 'es'} {_have(applied)} applied it"


def spare(instances: Sequence[Mapping[str, Any]], *uniform: str) -> list[str]:
    """Columns that a narrow terminal can do without: hosts that are in the names anyway, and what is the same in all
    of them."""
    is_named = all((each.get("host") or "") in str(each.get("instance")) for each in instances)
    alike = [name for name in uniform if len({each.get(name) for each in instances}) == 1]
    return [name.upper() for name in [*(["host"] if is_named else []), *alike]]


def stragglers(missing: Sequence[Mapping[str, Any]]) -> Listed:
    """A line for each that has not applied it, as far as is known."""
    rows = [
        [
            *(each.get(name) for name in ("instance", "host", "build", "revision")),
            ago(each.get("last_seen_s")),
            _link(each.get("link")),
            each.get("service"),
        ]
        for each in missing
    ]
    headers = ["INSTANCE", "HOST", "BUILD", "REVISION", "LAST HEARD", "LINK", "SERVICE"]
    return table(headers, rows, spare(missing, "service"))


def _confirmed(known: Known) -> Text:
    instances, latency = known["instances"], known["latency_ms"]
    who = "the only process" if instances == 1 else f"all {instances} processes"
    after = f" in {latency['max']:.0f} ms" if latency else ""
    return Text.assemble(("Confirmed", "bold green"), f" by {who}{after}.")


def _nobody(services: Sequence[str], environment: str | None) -> Text:
    if not services or environment is None:
        return plain("No live process is known that it concerns: there is nobody to wait for.")
    whose = f"these {len(services)} services" if len(services) > 3 else listed(services)
    return plain(f"No live process of {whose} is known in {environment}: there is nobody to wait for.")


def _unconfirmed(why: str) -> Text:
    return Text.assemble(("NOT CONFIRMED", "bold red"), plain(f": {why}"))


def _unsure(instances: int, applied: int) -> str:
    if applied:
        return f"{applied} of {instances} {_have(applied)} applied it, but the service is not sure that it knows all."
    return "the service does not know who has applied it."


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def _link(link: str | None) -> str | Text | None:
    return plain(link, "bold red") if link == "silent" else link
