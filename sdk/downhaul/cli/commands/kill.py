"""`downhaul kill` and `downhaul restore`: one flag or many. A kill asks nothing."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.acknowledgement import Change, unsafe
from downhaul.cli.api import new_operation
from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.insisting import insist
from downhaul.cli.options import FLAG, SERVICE, FlagName, WaitingCommand, common, environment, given, reason, wait
from downhaul.cli.reviewing import ask, review
from downhaul.cli.session import Session
from downhaul.cli.watching import await_all
from downhaul.cli.words import listed

_flags = click.argument("flags", type=FLAG, nargs=-1, metavar="[SERVICE/FLAG]...")
_tags = click.option("--tag", "tags", multiple=True, help="Every flag with this tag; repeatable.")
_services = click.option(
    "--service", "services", type=SERVICE, multiple=True, help="Every flag of this service; with --tag, those with it."
)


@click.command(cls=WaitingCommand)
@_flags
@_tags
@_services
@environment
@reason
@wait
@common
def kill(session: Session, **selection: Any) -> ExitCode:
    """Force flags off, whatever their rules say.

    Each serves its off variant from now on; many are killed at once, in one commit.
    A flag that is killed already is no error. The rules stay as they are, for `restore`.
    """
    return _switch(session, "kill", **selection)


@click.command(cls=WaitingCommand)
@_flags
@_tags
@_services
@environment
@click.option("--reason", required=True, help="Why it is safe again, for the log.")
@review
@wait
@common
def restore(session: Session, review: bool, **selection: Any) -> ExitCode:
    """Lift the kill of flags.

    They are served again as their states and rules say.
    """
    if review:
        return _ask(session, **selection)
    return _switch(session, "restore", **selection)


def _ask(
    session: Session,
    flags: tuple[FlagName, ...],
    tags: tuple[str, ...],
    services: tuple[str, ...],
    environment: str | None,
    reason: str,
    wait: float | None,
) -> ExitCode:
    if len(flags) != 1 or tags or services:
        raise click.UsageError("A review is of one flag: name it as SERVICE/FLAG.")
    flag = flags[0]
    change = {"restore": True}
    return ask(session, reason, wait=wait, service=flag.service, flag=flag.key, environment=environment, change=change)


def _switch(
    session: Session,
    verb: str,
    flags: tuple[FlagName, ...],
    tags: tuple[str, ...],
    services: tuple[str, ...],
    environment: str | None,
    reason: str | None,
    wait: float | None,
) -> ExitCode:
    if not (flags or tags or services):
        raise click.UsageError(f"Say what to {verb}: SERVICE/FLAG, --tag or --service.")
    body = given(environment=environment, reason=reason)
    if len(flags) == 1 and not tags and not services:
        path: tuple[str, ...] = ("services", flags[0].service, "flags", flags[0].key, verb)
    else:
        path = (verb,)
        body |= given(flags=tuple(map(str, flags)), tags=tags, services=services)
    answer = _made(session, verb, path, body, wait or 0)
    sentence = _sentence(verb, answer)
    if wait is None:
        session.answer(answer, f"{sentence}.", *unsafe(answer))
        code = ExitCode.OK
    else:
        code = _awaited(session, sentence, answer, wait)
    if missing := answer["not_found"]:
        session.output.flush()
        raise CliError(f"not found: {listed(missing)}", ExitCode.NOT_FOUND, hint="all others were found")
    return code


def _made(session: Session, verb: str, path: tuple[str, ...], body: dict[str, Any], patience: float) -> Any:
    """The answer; where the service cannot be reached, tried again for `patience` seconds, as the same operation."""
    operation = new_operation()
    try:
        return insist(session, lambda: session.api.post(*path, body=body, operation=operation), patience)
    except KeyboardInterrupt:
        session.output.note(
            f"Interrupted before the service had answered: it is not known whether the {verb} was made. "
            "It does no harm to run the command again."
        )
        raise


def _awaited(session: Session, sentence: str, answer: dict[str, Any], wait: float) -> ExitCode:
    """The change is made before anybody is waited for, and that is said at once."""
    services = tuple(dict.fromkeys(name.partition("/")[0] for name in answer["flags"]))
    change = Change(sentence, answer["revision"], services, answer["environment"])
    session.say(f"{sentence}.")
    return await_all(session, change, answer, wait, lambda known: {**answer, **known})


def _sentence(verb: str, answer: dict[str, Any]) -> str:
    """`checkout/new-checkout is killed in production (revision 42)`."""
    flags, unchanged = answer["flags"], answer["unchanged"]
    where = f"in {answer['environment']} (revision {answer['revision']})"
    if not answer["changed"]:
        return f"{_subject(flags, 'was', 'were')} {_BEFORE[verb]} {where}{_names(flags)}"
    already = f", {len(unchanged)} of them {_ALREADY[verb]}" if unchanged else ""
    return f"{_subject(flags, 'is', 'are')} {_NOW[verb]} {where}{already}{_names(flags)}"


def _subject(flags: list[str], one: str, many: str) -> str:
    return f"{flags[0]} {one}" if len(flags) == 1 else f"{len(flags)} flags {many}"


def _names(flags: list[str]) -> str:
    return f": {listed(flags)}" if len(flags) > 1 else ""


_NOW = {"kill": "killed", "restore": "restored"}
_BEFORE = {"kill": "already killed", "restore": "not killed"}
_ALREADY = {"kill": "already before", "restore": "not killed before"}
