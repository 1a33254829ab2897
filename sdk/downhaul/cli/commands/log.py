"""`downhaul log`: who has changed what, when and why."""

from __future__ import annotations

import click

from downhaul.cli.api import Listing
from downhaul.cli.following import follow
from downhaul.cli.log_view import log_table
from downhaul.cli.options import ENVIRONMENT, FLAG, MOMENT, SERVICE, FlagName, common, newest
from downhaul.cli.session import Session


@click.command()
@click.option("--service", type=SERVICE, help="Only what concerns this service.")
@click.option("--flag", type=FLAG, metavar="SERVICE/FLAG", help="Only what concerns this flag.")
@click.option("-e", "--environment", type=ENVIRONMENT, help="Only what concerns this environment.")
@click.option("--by", help="Only what this person or token did.")
@click.option("--action", help="Only such actions: flag.kill, or flag for all that begin so.")
@click.option("--since", type=MOMENT, help="Only from then on: 2h, 7d, 2026-11-23, 2026-11-23T22:07:00Z.")
@click.option("--until", type=MOMENT, help="Only up to then.")
@newest
@click.option("-f", "--follow", "goes_on", is_flag=True, help="Go on with what comes, oldest first; Ctrl-C ends it.")
@common
def log(session: Session, flag: FlagName | None, limit: int | None, goes_on: bool, **filters: str | None) -> None:
    """What was changed, newest first."""
    filters["flag"] = str(flag) if flag else None
    if goes_on:
        if filters["until"]:
            raise click.UsageError("--follow has no end; leave out --until.")
        follow(session, limit, filters)
        return
    found = session.api.list("log", limit=limit, **filters)
    session.answer_list(found, log_table(found.items), empty="Nothing in the log is like that.")
    older_note(session, found)


def older_note(session: Session, found: Listing) -> None:
    """On stderr: that there is more than the newest that are shown."""
    if found.more:
        session.output.note(f"These are the newest {len(found.items)}; --limit N shows more, --all everything.")
