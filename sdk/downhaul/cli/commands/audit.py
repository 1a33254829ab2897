"""`downhaul audit`: is the log what was written?"""

from __future__ import annotations

import click

from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.options import common
from downhaul.cli.session import Session
from downhaul.cli.words import count

PATIENCE_S = 300.0
"""It reads all of the log."""


@click.group()
def audit() -> None:
    """Whether anybody has tampered with the log."""


@audit.command()
@common
def verify(session: Session) -> None:
    """Walk the hash chain of the log, and compare what is stored with what it last wrote.

    The exit code is 1 when anything was altered, removed, put in another order, or written past the log.
    """
    verdict = session.api.get("audit", "verify", within=PATIENCE_S)
    faults = verdict["faults"]
    if verdict["whole"]:
        session.answer(verdict, f"The log is whole up to revision {verdict['revision']} (epoch {verdict['epoch']}).")
        return
    session.answer(verdict, *(f"- {fault}" for fault in faults))
    session.output.flush()
    raise CliError(
        f"the log is not what was written: {count(len(faults), 'fault')}",
        ExitCode.OTHER,
        hint="keep a copy of Redis's files as they are, then see docs/running.md",
    )
