"""`downhaul people`: who may log in at the pages with a name of their own, and what they may do."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.options import ENVIRONMENT, SERVICE, Command, common, confirm, given, limit, yes
from downhaul.cli.output import plain, table
from downhaul.cli.session import Session
from downhaul.cli.words import listed

ROLES = click.Choice(["viewer", "operator", "editor", "approver", "admin"])
_login = click.argument("login")
_quiet = click.option("-q", "--quiet", is_flag=True, help="Write the password and nothing else.")


def _places(command: Command) -> Command:
    """Where a role holds."""
    for option in (
        click.option(
            "-e", "--environment", "environments", type=ENVIRONMENT, multiple=True, help="There only; repeatable."
        ),
        click.option("--service", "services", type=SERVICE, multiple=True, help="For this service only; repeatable."),
    ):
        command = option(command)
    return command


@click.group()
def people() -> None:
    """People who log in at the pages with a name of their own."""


@people.command("list")
@click.option("--query", help="Only those with this text in login, name or email.")
@limit
@common
def list_people(session: Session, query: str | None, limit: int | None) -> None:
    """All people, and what they may do."""
    found = session.api.list("people", limit=limit, query=query)
    session.answer_list(
        found,
        table(["LOGIN", "NAME", "LOGS IN BY", "MAY", "STATE"], map(_row, found.items)),
        empty="There are no people yet; add one with `downhaul people create LOGIN --role ROLE`.",
    )


@people.command("create")
@_login
@click.option("--name", help="How people call them.")
@click.option("--email", help="For people to read; nothing is sent there.")
@click.option("--role", type=ROLES, help="What they may do; left out: nothing yet.")
@_places
@_quiet
@common
def create(
    session: Session,
    login: str,
    quiet: bool,
    role: str | None,
    services: tuple[str, ...],
    environments: tuple[str, ...],
    **who: Any,
) -> None:
    """Add somebody who logs in by password; the first one is shown this once, they choose another."""
    if (services or environments) and role is None:
        raise click.UsageError("Say the --role that they have there.")
    grants = [_grant(role, services, environments)] if role else []
    made = session.api.post("people", body=given(login=login, **who) | {"grants": grants})
    _show_password(session, made, quiet)


@people.command("grant")
@_login
@click.argument("role", type=ROLES)
@_places
@common
def grant(session: Session, login: str, role: str, services: tuple[str, ...], environments: tuple[str, ...]) -> None:
    """Give somebody one more role: everywhere, unless places are named."""
    person = _find(session, login)
    more = _grant(role, services, environments)
    kept = [granted for granted in person["grants"] if granted != more]
    _set_grants(session, person, [*kept, more])


@people.command("withdraw")
@_login
@click.argument("role", type=ROLES, required=False)
@common
def withdraw(session: Session, login: str, role: str | None) -> None:
    """Take a role from somebody, wherever they have it; without ROLE all of them."""
    person = _find(session, login)
    _set_grants(session, person, [granted for granted in person["grants"] if role not in (None, granted["role"])])


@people.command("disable")
@_login
@common
def disable(session: Session, login: str) -> None:
    """Keep somebody out: they are logged out everywhere within seconds."""
    person = session.api.patch("people", _find(session, login)["id"], body={"disabled": True})
    session.answer(person, f"{login} is disabled, and logged out everywhere.")


@people.command("enable")
@_login
@common
def enable(session: Session, login: str) -> None:
    """Let somebody log in again."""
    person = session.api.patch("people", _find(session, login)["id"], body={"disabled": False})
    session.answer(person, f"{login} can log in again.")


@people.command("reset-password")
@_login
@_quiet
@common
def reset_password(session: Session, login: str, quiet: bool) -> None:
    """Give somebody a new first password, shown this once; they are logged out everywhere."""
    _show_password(session, session.api.post("people", _find(session, login)["id"], "password"), quiet)


@people.command("logout")
@_login
@common
def logout(session: Session, login: str) -> None:
    """Log somebody out everywhere."""
    session.api.delete("people", _find(session, login)["id"], "sessions")
    session.answer({"logged_out": login}, f"{login} is logged out everywhere.")


@people.command("delete")
@_login
@yes
@common
def delete(session: Session, login: str, yes: bool) -> None:
    """Remove somebody; what they did stays in the log."""
    person = _find(session, login)
    confirm(f"Remove {login}?", yes=yes)
    session.api.delete("people", person["id"])
    session.answer({"deleted": login}, f"{login} is removed.")


def _find(session: Session, login: str) -> dict[str, Any]:
    found = session.api.list("people", limit=None, query=login).items
    for person in found:
        if person["login"] == login.lower():
            return dict(person)
    raise CliError(f"There is nobody with the login {login}, or they may do more than you.", ExitCode.NOT_FOUND)


def _set_grants(session: Session, person: dict[str, Any], grants: list[dict[str, Any]]) -> None:
    changed = session.api.patch("people", person["id"], body={"grants": grants}, version=person["version"])
    session.answer(changed, f"{person['login']} may: {_may(changed['grants'])}.")


def _show_password(session: Session, made: dict[str, Any], quiet: bool) -> None:
    if quiet and not session.as_json:
        session.output.show(made["password"])
        return
    session.answer(made, plain(made["password"], "bold"))
    if not session.as_json:
        session.output.note(f"This is the first password of {made['login']}. It is not shown again.")


def _grant(role: str | None, services: tuple[str, ...], environments: tuple[str, ...]) -> dict[str, Any]:
    return {"role": role, "services": [*services] or ["*"], "environments": [*environments] or ["*"]}


def _row(person: dict[str, Any]) -> list[str | None]:
    state = "disabled" if person["disabled"] else "first password" if person.get("must_change") else ""
    way = "provider" if person["source"] == "oidc" else "password"
    return [person["login"], person["name"], way, _may(person["grants"]), state]


def _may(grants: list[dict[str, Any]]) -> str:
    return ", ".join(granted["role"] + _where(granted) for granted in grants) or "nothing"


def _where(granted: dict[str, Any]) -> str:
    places = [listed(granted[kind]) for kind in ("services", "environments") if granted[kind] != ["*"]]
    return f" ({'; '.join(places)})" if places else ""
