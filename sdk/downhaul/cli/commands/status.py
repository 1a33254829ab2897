"""`downhaul status`: how the service is."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.options import common
from downhaul.cli.output import fields
from downhaul.cli.session import Session

_STATES = {
    "following": "well: it follows its store",
    "away": "serving from memory: its store is away, and nothing can be changed",
    "diverged": "not well: its store is another than the one that it served from; an operator has to decide",
    "loading": "starting: nothing is loaded yet",
}


@click.command()
@common
def status(session: Session) -> None:
    """How the service is.

    The exit code is 7 when nothing can be changed now.
    """
    document = session.api.get("status")
    session.answer(document, fields(_pairs(document)))
    if document["state"] != "following":
        session.output.flush()
        raise CliError(
            f"the service is {document['state']}: {document.get('reason')}",
            ExitCode.UNAVAILABLE,
            hint="run `downhaul status` again in a moment, or ask its operators",
        )


def _pairs(document: dict[str, Any]) -> list[tuple[str, str | None]]:
    age = document.get("age_s")
    return [
        ("State", _STATES.get(document["state"], document["state"])),
        ("Revision", _text(document.get("revision"))),
        ("Epoch", document.get("epoch")),
        ("As of", f"{age:.1f} s ago" if age is not None else None),
        ("Version", document.get("version")),
        *(("Warning", warning) for warning in document.get("warnings", [])),
    ]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
