"""`downhaul stale`: flags that may be tidied away, and those that are left alone for now."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.options import FLAG, SERVICE, FlagName, common, environment, limit
from downhaul.cli.output import table
from downhaul.cli.session import Session


@click.group()
def stale() -> None:
    """Flags that may be tidied away."""


@stale.command("list")
@environment
@click.option("--service", type=SERVICE, help="Only those of this service.")
@click.option("--snoozed", is_flag=True, help="Only those that are left alone for now.")
@limit
@common
def list_stale(
    session: Session, environment: str | None, service: str | None, snoozed: bool, limit: int | None
) -> None:
    """Flags that are past their expiry date, unused, or serve one variant only."""
    found = session.api.list(
        "stale", limit=limit, environment=environment, service=service, snoozed="true" if snoozed else "false"
    )
    headers = ["FLAG", "WHY", "OWNER", "PURPOSE", "UNTIL" if snoozed else "EXPIRES"]
    rows = [_row(each, snoozed) for each in found.items]
    session.answer_list(found, table(headers, rows), empty="No flag is stale." if not snoozed else "None is snoozed.")


@stale.command("snooze")
@click.argument("flag", type=FLAG, metavar="SERVICE/FLAG")
@click.option("--until", metavar="DAY", required=True, help="The last day, such as 2027-01-31.")
@click.option("--reason", required=True, help="Why it stays.")
@common
def snooze(session: Session, flag: FlagName, until: str, reason: str) -> None:
    """Leave a flag alone until a day."""
    body = {"until": until, "reason": reason}
    found = session.api.put("services", flag.service, "flags", flag.key, "snooze", body=body)
    session.answer(found, f"{flag.service}/{flag.key} is left alone until {found['until']}.")


@stale.command("wake")
@click.argument("flag", type=FLAG, metavar="SERVICE/FLAG")
@common
def wake(session: Session, flag: FlagName) -> None:
    """End a snooze."""
    session.api.delete("services", flag.service, "flags", flag.key, "snooze")
    session.answer({"awake": f"{flag.service}/{flag.key}"}, f"{flag.service}/{flag.key} is not left alone any more.")


def _row(each: dict[str, Any], snoozed: bool) -> list[str | None]:
    why = f"{each['snoozed']['reason']} ({each['snoozed']['by']})" if snoozed else each["sentence"]
    day = each["snoozed"]["until"] if snoozed else each["expires"]
    return [f"{each['service']}/{each['flag']}", why, each["owner"] or None, each["purpose"], day]
