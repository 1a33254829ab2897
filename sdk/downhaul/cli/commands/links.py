"""`downhaul links`: addresses that kill one flag, and can do nothing else."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.options import ENVIRONMENT, FLAG, LINK_ID, FlagName, common, confirm, given, limit, yes
from downhaul.cli.output import plain, table
from downhaul.cli.session import Session
from downhaul.cli.words import clock


@click.group()
def links() -> None:
    """Kill links: addresses that kill one flag, for runbooks and alerts."""


@links.command("create")
@click.argument("flag", type=FLAG, metavar="SERVICE/FLAG")
@click.argument("name")
@click.option("-e", "--environment", type=ENVIRONMENT, required=True, help="Where it kills.")
@click.option("--expires", metavar="TIME", help="When it ends, such as 2027-01-31T00:00:00Z; left out: never.")
@click.option("-q", "--quiet", is_flag=True, help="Write the address and nothing else, for URL=$(...).")
@common
def create(session: Session, flag: FlagName, name: str, environment: str, expires: str | None, quiet: bool) -> None:
    """Make a kill link; its address is shown this once.

    Whoever has the address can kill the flag there, without any other credential, and do nothing else.
    """
    body = given(name=name, service=flag.service, flag=flag.key, environment=environment, expires_at=expires)
    made = session.api.post("links", body=body)
    if quiet and not session.as_json:
        session.output.show(made["url"])
        return
    session.answer(made, plain(made["url"], "bold"))
    if not session.as_json:
        session.output.note(f"This is the kill link {made['name']} ({made['id']}). It is not shown again.")


@links.command("list")
@limit
@common
def list_links(session: Session, limit: int | None) -> None:
    """All kill links, without their addresses."""
    found = session.api.list("links", limit=limit)
    headers = ["ID", "NAME", "FLAG", "ENVIRONMENT", "LAST USED (UTC)", "EXPIRES (UTC)", "CREATED (UTC)", "BY"]
    session.answer_list(
        found,
        table(headers, map(_row, found.items), spare=["CREATED (UTC)", "BY"]),
        empty="There are no kill links yet; make one with `downhaul links create SERVICE/FLAG NAME -e ENV`.",
    )


@links.command("revoke")
@click.argument("link", type=LINK_ID, metavar="ID")
@yes
@common
def revoke(session: Session, link: str, yes: bool) -> None:
    """Refuse a kill link from now on; it cannot be undone."""
    confirm(f"Revoke the kill link {link}?", yes=yes)
    session.api.delete("links", link)
    session.answer({"revoked": link}, f"The kill link {link} is revoked.")


def _row(link: dict[str, Any]) -> list[str | None]:
    return [
        link["id"],
        link["name"],
        f"{link['service']}/{link['flag']}",
        link["environment"],
        clock(link["last_used"]) if link["last_used"] else None,
        clock(link["expires_at"]) if link["expires_at"] else None,
        clock(link["created_at"]),
        link["created_by"],
    ]
