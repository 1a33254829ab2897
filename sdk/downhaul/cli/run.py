"""From arguments to an exit code: the one place where errors become words, and interrupts end quietly."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from downhaul.cli.commands import downhaul
from downhaul.cli.commands.completion import PROGRAM, VARIABLE
from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.reviewing import how_to_ask
from downhaul.cli.session import Session


def run(arguments: Sequence[str]) -> int:
    """Run one command; gives the exit code."""
    if instruction := os.environ.get(VARIABLE):
        return shell_complete(downhaul, {}, PROGRAM, VARIABLE, instruction)
    session = Session()
    try:
        return _guarded(session, list(arguments))
    except BrokenPipeError:
        # The reader has gone. Nothing may be written any more, not even by the interpreter at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        session.output.note("")
        return ExitCode.INTERRUPTED


def _guarded(session: Session, arguments: list[str]) -> int:
    try:
        return _invoke(session, arguments)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        session.output.error(_usage(error), as_json=session.as_json or "--json" in arguments)
        return error.exit_code
    except CliError as error:
        how_to_ask(error, arguments)
        session.output.error(error, as_json=session.as_json or "--json" in arguments)
        return error.code


def _invoke(session: Session, arguments: list[str]) -> int:
    if not all(map(_is_text, arguments)):
        raise click.UsageError("An argument is not UTF-8 text.")
    # Not `downhaul.main()`: it has exit codes of its own for interrupts and broken pipes.
    try:
        with downhaul.make_context(PROGRAM, arguments, obj=session) as context:
            code = downhaul.invoke(context)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    session.output.flush()
    return code if isinstance(code, int) else ExitCode.OK


def _is_text(argument: str) -> bool:
    """Bytes that cannot be decoded arrive as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def _usage(error: click.ClickException) -> CliError:
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help` shows how to use it" if context else ""
    return CliError(error.format_message().rstrip("."), ExitCode(error.exit_code), hint=hint)
