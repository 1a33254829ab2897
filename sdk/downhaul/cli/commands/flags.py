"""`downhaul flags`: look at flags, make them, remove them. Changing their states is in `flag_states`."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.acknowledgement import Change
from downhaul.cli.commands.flag_states import rollout, set_state
from downhaul.cli.commands.log import older_note
from downhaul.cli.errors import ExitCode
from downhaul.cli.flag_view import flag_page, flag_table
from downhaul.cli.log_view import history_table
from downhaul.cli.options import (
    ENVIRONMENT,
    FLAG,
    OBJECT,
    SERVICE,
    FlagName,
    WaitingCommand,
    common,
    confirm,
    given,
    limit,
    newest,
    reason,
    version,
    wait,
    yes,
)
from downhaul.cli.reviewing import ask, review
from downhaul.cli.session import Session
from downhaul.cli.variants import read_variants
from downhaul.cli.watching import await_written, now

PURPOSES = click.Choice(["release", "experiment", "ops", "permission"])


@click.group()
def flags() -> None:
    """The flags of a service.

    A flag is named SERVICE/FLAG, such as checkout/new-checkout.
    """


flags.add_command(set_state)
flags.add_command(rollout)


@flags.command("list")
@click.argument("service", type=SERVICE)
@click.option("-e", "--environment", type=ENVIRONMENT, help="Show the state in this environment only.")
@click.option("--tag", help="Only those with this tag.")
@click.option(
    "--state",
    type=click.Choice(["on", "off", "killed", "partly"]),
    help="Only those in this state (partly: on, but not the same for all).",
)
@click.option("--owner", help="Only those of this owner.")
@click.option("--purpose", type=PURPOSES, help="Only those for this purpose.")
@click.option("--query", help="Only those in whose key or description this is found.")
@limit
@common
def list_flags(session: Session, service: str, limit: int | None, **filters: Any) -> None:
    """The flags of a service, and their states."""
    found = session.api.list("services", service, "flags", limit=limit, **filters)
    session.answer_list(
        found,
        flag_table(found.items, filters["environment"]),
        empty=f"No flag of {service} is like that; make one with `downhaul flags create {service}/FLAG`.",
    )


@flags.command("show")
@click.argument("flag", type=FLAG, metavar="SERVICE/FLAG")
@click.option("-e", "--environment", type=ENVIRONMENT, help="Show the state in this environment only.")
@common
def show_flag(session: Session, flag: FlagName, environment: str | None) -> None:
    """What a flag is, with its states and rules."""
    document = session.api.get("services", flag.service, "flags", flag.key)
    if environment:
        session.api.get("environments", environment)  # says so when there is none of that name
        states = document["environments"]
        document["environments"] = {name: state for name, state in states.items() if name == environment}
    session.answer(document, *flag_page(document))


@flags.command("create")
@click.argument("flag", type=FLAG, metavar="SERVICE/FLAG")
@click.option("--type", type=click.Choice(["boolean", "string", "number", "json"]), help="Left out: boolean.")
@click.option(
    "--variant",
    "variants",
    metavar="NAME=VALUE",
    multiple=True,
    help="A variant and its value as JSON (a string may go without quotes); repeatable.",
)
@click.option("--off-variant", help="The variant that is served when the flag is off or killed.")
@click.option("--description", help="What it does.")
@click.option("--owner", help="Who answers for it.")
@click.option("--purpose", type=PURPOSES, help="What it is for.")
@click.option("--tag", "tags", multiple=True, help="A tag; repeatable.")
@click.option("--expires", metavar="DATE", help="When it should be gone, such as 2027-01-31.")
@click.option("--client", is_flag=True, default=None, help="Client keys may evaluate it, so that browsers see it.")
@click.option("--file", "document", type=OBJECT, help="The whole flag as JSON; the other options change parts of it.")
@reason
@common
def create_flag(
    session: Session,
    flag: FlagName,
    document: dict[str, Any] | None,
    variants: tuple[str, ...],
    reason: str | None,
    **parts: Any,
) -> None:
    """Make a flag; it is off everywhere.

    A boolean flag needs nothing else: it has the variants `on` and `off`.
    """
    body = _document(flag, document, {**parts, "type": parts["type"] or (document or {}).get("type", "boolean")})
    body |= given(variants=read_variants(variants, body["type"]))
    made = session.api.post("services", flag.service, "flags", body=body, reason=reason)
    session.answer(made, f"{flag} is made, and off everywhere." if document is None else f"{flag} is made.")


@flags.command("client")
@click.argument("flag", type=FLAG, metavar="SERVICE/FLAG")
@click.option("--show/--hide", "client", required=True, help="Show it to clients, or hide it from them.")
@reason
@review
@version
@common
def mark_for_clients(
    session: Session, flag: FlagName, client: bool, reason: str | None, review: bool, version: int | None
) -> ExitCode:
    """Show a flag to clients that can keep no secret.

    Whoever has a client key, as every browser does, may evaluate the flags that are shown.
    """
    change = {"client": client}
    if review:
        return ask(
            session, reason, version=version, wait=None, service=flag.service, flag=flag.key, change={"patch": change}
        )
    made = session.api.patch("services", flag.service, "flags", flag.key, body=change, version=version, reason=reason)
    session.answer(made, f"{flag} is {'shown to' if client else 'hidden from'} clients.")
    return ExitCode.OK


@flags.command("delete", cls=WaitingCommand)
@click.argument("flag", type=FLAG, metavar="SERVICE/FLAG")
@reason
@review
@version
@wait
@yes
@common
def delete_flag(
    session: Session,
    flag: FlagName,
    reason: str | None,
    review: bool,
    version: int | None,
    wait: float | None,
    yes: bool,
) -> ExitCode:
    """Remove a flag, with its states and rules.

    Where code still asks for it, the caller's default is served.
    """
    if review:
        about = {"service": flag.service, "flag": flag.key, "change": {"delete": True}}
        return ask(session, reason, version=version, wait=wait, **about)
    confirm(f"Remove {flag}?", yes=yes)
    path = ("services", flag.service, "flags", flag.key)
    gone = session.api.delete(*path, version=version, reason=reason, **now(wait))
    document, sentence = {"deleted": str(flag)}, f"{flag} is removed"
    if wait is None:
        session.answer(document, f"{sentence}.")
        return ExitCode.OK
    session.say(f"{sentence}.")
    return await_written(session, Change(sentence, gone["acknowledgement"]["revision"]), {**document, **gone}, wait)


@flags.command("history")
@click.argument("flag", type=FLAG, metavar="SERVICE/FLAG")
@newest
@common
def history(session: Session, flag: FlagName, limit: int | None) -> None:
    """Who has changed a flag, when, how and why."""
    found = session.api.list("services", flag.service, "flags", flag.key, "history", limit=limit)
    session.answer_list(found, history_table(found.items), empty=f"{flag} has no history.")
    older_note(session, found)


def _document(flag: FlagName, document: dict[str, Any] | None, parts: dict[str, Any]) -> dict[str, Any]:
    document = document or {}
    if document.get("key", flag.key) != flag.key or document.get("service", flag.service) != flag.service:
        raise click.BadParameter(f"it holds another flag than {flag}.", param_hint="'--file'")
    return {**document, "key": flag.key, **given(**parts)}
