"""`downhaul log`: who has changed what, when and why."""

from __future__ import annotations

import click

from downhaul.cli.api import Listing
from downhaul.cli.following import follow
from downhaul.cli.log_filters import filters
from downhaul.cli.log_view import log_table, refused_table
from downhaul.cli.options import FlagName, common, newest
from downhaul.cli.session import Session


@click.command()
@filters
@newest
@click.option("-f", "--follow", "goes_on", is_flag=True, help="Go on with what comes, oldest first; Ctrl-C ends it.")
@common
def log(session: Session, flag: FlagName | None, limit: int | None, goes_on: bool, **wanted: str | None) -> None:
    """What was changed, newest first."""
    wanted["flag"] = str(flag) if flag else None
    if goes_on:
        if wanted["until"]:
            raise click.UsageError("--follow has no end; leave out --until.")
        if wanted["action"] == "refused":
            raise click.UsageError("--follow follows changes; refused attempts are listed without it.")
        follow(session, limit, wanted)
        return
    found = session.api.list("log", limit=limit, **wanted)
    listed = refused_table if wanted["action"] == "refused" else log_table
    session.answer_list(found, listed(found.items), empty="Nothing in the log is like that.")
    older_note(session, found)


def older_note(session: Session, found: Listing) -> None:
    """On stderr: that there is more than the newest that are shown."""
    if found.more:
        session.output.note(f"These are the newest {len(found.items)}; --limit N shows more, --all everything.")
