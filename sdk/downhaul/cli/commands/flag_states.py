"""`downhaul flags set` and `rollout`: the state of a flag in one environment."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.acknowledgement import Change
from downhaul.cli.errors import ExitCode
from downhaul.cli.options import (
    ARRAY,
    FLAG,
    PERCENT,
    FlagName,
    WaitingCommand,
    common,
    given,
    needed_environment,
    reason,
    version,
    wait,
)
from downhaul.cli.reviewing import ask, review
from downhaul.cli.session import Session
from downhaul.cli.variants import read_serve
from downhaul.cli.watching import await_written, now
from downhaul.cli.words import state


@click.command("set", cls=WaitingCommand)
@click.argument("flag", type=FLAG, metavar="SERVICE/FLAG")
@needed_environment
@click.option("--on/--off", "on", default=None, help="Turn it on or off.")
@click.option("--serve", "variant", metavar="VARIANT", help="Serve this variant to all whom no rule matches.")
@click.option(
    "--otherwise",
    metavar="SPLIT",
    help="What to serve to all whom no rule matches: shares in percent, such as on=25,off=75, or JSON.",
)
@click.option("--by", help="With shares: the attribute that decides who gets which; left out: user.")
@click.option("--rules", type=ARRAY, help="The rules, a JSON array, in place of those that are there.")
@reason
@review
@version
@wait
@common
def set_state(
    session: Session,
    flag: FlagName,
    environment: str,
    variant: str | None,
    otherwise: str | None,
    by: str | None,
    review: bool,
    version: int | None,
    wait: float | None,
    **changes: Any,
) -> ExitCode:
    """Change the state of a flag in one environment.

    A kill stays: only `restore` lifts it.
    """
    if variant is not None and otherwise is not None:
        raise click.UsageError("Give --serve or --otherwise, not both.")
    served = {"variant": variant} if variant is not None else read_serve(otherwise, by)
    body = given(**changes, otherwise=served)
    if not body.keys() - {"reason"}:
        raise click.UsageError("Nothing to change: give --on, --off, --serve, --otherwise or --rules.")
    return _change(session, flag, environment, body, version, wait, review=review)


@click.command("rollout", cls=WaitingCommand)
@click.argument("flag", type=FLAG, metavar="SERVICE/FLAG")
@click.argument("percent", type=PERCENT)
@needed_environment
@click.option("--by", help="The attribute that decides who is in; left out: as it is now, else user.")
@reason
@review
@version
@wait
@common
def rollout(
    session: Session,
    flag: FlagName,
    percent: float,
    environment: str,
    by: str | None,
    reason: str | None,
    review: bool,
    version: int | None,
    wait: float | None,
) -> ExitCode:
    """Serve a flag to a share of everybody.

    To PERCENT of those whom no rule matches. Who has it keeps it as the share grows.
    """
    body = given(rollout=percent, by=by, reason=reason)
    return _change(session, flag, environment, body, version, wait, review=review)


def _change(
    session: Session,
    flag: FlagName,
    environment: str,
    body: dict[str, Any],
    version: int | None,
    wait: float | None,
    *,
    review: bool,
) -> ExitCode:
    if review:
        why = body.pop("reason", None)
        about = {"service": flag.service, "flag": flag.key, "environment": environment, "change": {"state": body}}
        return ask(session, why, version=version, wait=wait, **about)
    path = ("services", flag.service, "flags", flag.key, "environments", environment)
    document = session.api.patch(*path, body=body, version=version, **now(wait))
    sentence = f"{flag} in {environment}: {state(document, environment)} (revision {document['version']})"
    if wait is None:
        session.answer(document, f"{sentence}.")
    else:
        session.say(f"{sentence}.")
    if not session.as_json:
        _warn(session, flag, environment, document["environments"][environment])
    if wait is None:
        return ExitCode.OK
    change = Change(sentence, document["version"], (flag.service,), environment)
    return await_written(session, change, document, wait)


def _warn(session: Session, flag: FlagName, environment: str, document: dict[str, Any]) -> None:
    """A change of what is not served would look like one that works."""
    if document["killed"]:
        session.output.note(f"It stays killed: `downhaul restore {flag} -e {environment} --reason ...` lifts the kill.")
    elif not document["on"]:
        session.output.note(f"It is off there; `downhaul flags set {flag} -e {environment} --on` turns it on.")
