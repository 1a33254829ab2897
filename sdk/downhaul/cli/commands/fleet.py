"""`downhaul fleet`: the processes that run the SDK, and what each has applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.text import Text

from downhaul.cli.acknowledgement import spare
from downhaul.cli.api import Listing
from downhaul.cli.options import SERVICE, common, environment, limit
from downhaul.cli.output import Listed, plain, table
from downhaul.cli.session import Session
from downhaul.cli.words import ago

Instance = Mapping[str, Any]


@click.command()
@click.argument("service", type=SERVICE)
@environment
@click.option("--deaf", is_flag=True, help="Only those that do not listen: silent ones, and those that lag behind.")
@click.option("--state", type=click.Choice(["live", "silent", "gone"]), help="Only those in this state.")
@limit
@common
def fleet(session: Session, service: str, deaf: bool, limit: int | None, **filters: str | None) -> None:
    """The processes of a service, and what each has applied."""
    found = session.api.list("services", service, "fleet", limit=None if deaf else limit, **filters)
    if deaf:
        found = _only_deaf(found, limit)
    nobody = _nobody(service, filters["environment"], deaf=deaf, state=filters["state"])
    session.answer_list(found, _fleet_table(found.items), empty=nobody)
    if not session.as_json:
        session.output.note(_summary(found))


def _only_deaf(found: Listing, limit: int | None) -> Listing:
    items = [each for each in found.items if each["deaf"]]
    return Listing(items[:limit], more=limit is not None and len(items) > limit, about=found.about)


def _fleet_table(items: Sequence[Instance]) -> Listed:
    rows = [
        [
            *(each[name] for name in ("instance", "host", "build", "sdk", "link")),
            _state(each),
            each["revision"],
            ago(each["last_seen_s"]),
        ]
        for each in items
    ]
    headers = ["INSTANCE", "HOST", "BUILD", "SDK", "LINK", "STATE", "REVISION", "LAST HEARD"]
    return table(headers, rows, spare(items, "sdk", "build"))


def _state(instance: Instance) -> str | Text:
    """`live` has the newest; `behind` is about to; whoever is deaf does not listen."""
    if instance["state"] == "gone":
        return plain("gone", "bright_black")
    if instance["deaf"]:
        return plain("silent" if instance["state"] == "silent" else "DEAF", "bold red")
    return "live" if instance["applied"] else "behind"


def _summary(found: Listing) -> str:
    counts = found.about["counts"]
    parts = [", ".join(f"{counts[state]} {state}" for state in ("live", "silent", "gone"))]
    if found.more:
        parts.insert(0, f"the first {len(found.items)} are shown")
    elif deaf := sum(each["deaf"] for each in found.items):
        parts.append(f"{deaf} of them {'is' if deaf == 1 else 'are'} deaf")
    return f"{'; '.join(parts)}; the newest revision is {found.about['revision']}."


def _nobody(service: str, environment: str | None, *, deaf: bool, state: str | None) -> str:
    where = f" in {environment}" if environment else ""
    if deaf:
        return f"No process of {service} is deaf{where}."
    return f"No {f'{state} ' if state else ''}process of {service} is known{where}."
