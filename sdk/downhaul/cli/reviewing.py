"""Asking others to approve a change, in place of making it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import click
from rich.console import RenderableType

from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.options import given
from downhaul.cli.output import indented, plain
from downhaul.cli.session import Session
from downhaul.cli.words import count, when

review = click.option(
    "--review", is_flag=True, help="Make no change: ask others to approve it. They need to know why: --reason."
)


def ask(
    session: Session, reason: str | None, *, version: int | None = None, wait: float | None = None, **about: Any
) -> ExitCode:
    """Open a review of what `about` says, as the API takes it."""
    if not reason:
        raise click.UsageError("Whoever is to approve it needs to know why: give --reason.")
    if version is not None or wait is not None:
        raise click.UsageError("A review changes nothing yet: leave out --if-version and --wait.")
    document = session.api.post("reviews", body={**given(**about), "reason": reason})
    session.answer(document, *opened(document))
    return ExitCode.OK


def opened(document: dict[str, Any]) -> list[RenderableType]:
    """What a review would do, and how it goes on."""
    missing = max(document["approvals_needed"] - len(document["approvals"]), 0)
    until = when(document["expires_at"])
    return [
        f"The review {document['id']} is open until {until}, with {count(missing, 'approval')} to come.",
        *(indented(plain(sentence)) for sentence in document["summary"]),
        f"Somebody else approves it with `downhaul reviews approve {document['id']}`.",
    ]


def how_to_ask(error: CliError, arguments: Sequence[str]) -> None:
    """Where a change has to be approved first: the command that asks for it."""
    if error.kind != "approval-required":
        return
    command = [*arguments, "--review"]
    if not any(word == "--reason" or word.startswith("--reason=") for word in arguments):
        command += ["--reason", "WHY"]
    error.hint = f"ask others to approve it: `{shlex.join(['downhaul', *command])}`"
