"""`downhaul fleet`: the processes that run the SDK, and what each has applied."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from downhaul.cli.acknowledgement import ago
from downhaul.cli.api import Listing
from downhaul.cli.options import SERVICE, common, environment, limit
from downhaul.cli.output import table
from downhaul.cli.session import Session


@click.command()
@click.argument("service", type=SERVICE)
@environment
@click.option("--deaf", is_flag=True, help="Only those that do not listen: silent ones, and those that lag behind.")
@click.option("--state", type=click.Choice(["live", "silent", "gone"]), help="Only those in this state.")
@limit
@common
def fleet(session: Session, service: str, deaf: bool, limit: int | None, **filters: str | None) -> None:
    """The processes of a service, and what each has applied."""
    found = session.api.list("services", service, "fleet", limit=limit, **filters)
    items = [each for each in found.items if each["deaf"] or not deaf]
    rows = [
        [
            each["instance"],
            each["host"],
            each["build"],
            each["sdk"],
            each["link"],
            _state(each),
            each["revision"],
            ago(each["last_seen_s"]),
        ]
        for each in items
    ]
    session.answer_list(
        Listing(items, found.more),
        table(["INSTANCE", "HOST", "BUILD", "SDK", "LINK", "STATE", "REVISION", "LAST HEARD"], rows),
        empty=f"No process of {service} is like that.",
    )
    if items:
        session.output.note(_summary(items))


def _state(instance: dict[str, Any]) -> str:
    return f"{instance['state']}, deaf" if instance["deaf"] and instance["state"] == "live" else str(instance["state"])


def _summary(items: list[dict[str, Any]]) -> str:
    states = Counter(each["state"] for each in items)
    applied = sum(each["applied"] for each in items if each["state"] == "live")
    counted = ", ".join(f"{states[name]} {name}" for name in ("live", "silent", "gone") if states[name])
    return f"{counted}; {applied} of {states['live']} live ones have the newest."
