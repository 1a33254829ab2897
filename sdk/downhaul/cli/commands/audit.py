"""`downhaul audit`: is the log what was written? And all of it, to take away."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from downhaul.cli import exported as exported_log
from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.log_filters import filters
from downhaul.cli.options import FlagName, common
from downhaul.cli.session import Session
from downhaul.cli.words import count

PATIENCE_S = 300.0
"""It reads all of the log."""


@click.group()
def audit() -> None:
    """Whether anybody has tampered with the log, and all of it as a file."""


@audit.command()
@click.option("--file", "exported", type=click.Path(), help="Verify this export instead (- reads it from stdin).")
@common
def verify(session: Session, exported: str | None) -> None:
    """Walk the hash chain of the log, and compare what is stored with what it last wrote.

    The exit code is 1 when anything was altered, removed, put in another order, or written past the log. With --file
    an export is verified, without asking the service.
    """
    if exported is not None:
        _verify_file(session, exported)
        return
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


@audit.command()
@filters
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), help="Write to this file, which appears when it is whole."
)
@common
def export(session: Session, output: str | None, flag: FlagName | None, **wanted: str | None) -> None:
    """All of the log as JSON lines, oldest first, with what is needed to verify it.

    With --action refused: who was refused.
    """
    lines = session.api.lines("audit", "export", flag=str(flag) if flag else None, **wanted)
    if output is None:
        for line in _whole(lines):
            click.echo(line)
        return
    draft = f"{output}.part"
    try:
        with open(draft, "w", encoding="utf-8") as file:
            for line in _whole(lines):
                file.write(f"{line}\n")
        os.replace(draft, output)
    except OSError as error:
        raise CliError(f"{output} cannot be written: {error.strerror or error}") from None
    session.output.note(f"The log is in {output}. `downhaul audit verify --file {output}` verifies it.")


def _whole(lines: Iterator[str]) -> Iterator[str]:
    """All of them. Raises CliError when the end does not come."""
    last = ""
    for last in lines:
        yield last
    if not last.startswith('{"end":'):
        raise CliError("the export was broken off", hint="try again")


def _verify_file(session: Session, exported: str) -> None:
    try:
        with click.open_file(exported, encoding="utf-8") as lines:
            verdict = exported_log.verify(lines)
    except OSError as error:
        raise CliError(f"{exported} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise CliError(f"{exported} is not an export of the log: {error}") from None
    hidden = f" Of {_entries(verdict.hidden)} a secret is hidden, so the digest was not checked."
    if not verdict.faults:
        session.answer(
            verdict.to_json(),
            f"The export is whole: {_entries(verdict.entries)}.{hidden if verdict.hidden else ''}",
        )
        return
    session.answer(verdict.to_json(), *(f"- {fault}" for fault in verdict.faults))
    session.output.flush()
    raise CliError(f"the export is not what was written: {count(len(verdict.faults), 'fault')}")


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"
