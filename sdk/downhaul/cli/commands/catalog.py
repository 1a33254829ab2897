"""`downhaul services` and `downhaul environments`: what flags belong to, and where they have a state."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.errors import ExitCode
from downhaul.cli.options import ENVIRONMENT, SERVICE, common, confirm, given, limit, reason, version, yes
from downhaul.cli.output import table
from downhaul.cli.reviewing import ask, review
from downhaul.cli.session import Session
from downhaul.cli.words import clock, count

name_option = click.option("--name", help="How people call it; left out: the key.")


@click.group()
def services() -> None:
    """The microservices that flags belong to."""


@services.command("list")
@limit
@common
def list_services(session: Session, limit: int | None) -> None:
    """All services."""
    _list(session, "services", limit)


@services.command("create")
@click.argument("key", type=SERVICE)
@name_option
@common
def create_service(session: Session, key: str, name: str | None) -> None:
    """Make a service."""
    _create(session, "services", "service", key, name)


@services.command("delete")
@click.argument("key", type=SERVICE)
@version
@yes
@common
def delete_service(session: Session, key: str, version: int | None, yes: bool) -> None:
    """Remove a service that has no flags."""
    _delete(session, "services", "service", key, version, yes)


@click.group()
def environments() -> None:
    """Where flags have a state: production, staging, ..."""


@environments.command("list")
@limit
@common
def list_environments(session: Session, limit: int | None) -> None:
    """All environments, and what a change needs there."""
    _list(session, "environments", limit)


@environments.command("set")
@click.argument("key", type=ENVIRONMENT)
@click.option("--name", help="How people call it.")
@click.option("--protected/--unprotected", "protected", default=None, help="Whether a change there needs a reason.")
@click.option("--approvals", type=click.IntRange(0, 3), help="How many others have to approve a change there.")
@click.option("--review-days", type=click.IntRange(1, 90), help="For how many days a review stays open.")
@reason
@review
@version
@common
def set_environment(
    session: Session, key: str, reason: str | None, review: bool, version: int | None, **changes: Any
) -> ExitCode:
    """Change an environment's name, or how it is protected."""
    body = given(**changes)
    if not body:
        raise click.UsageError("Nothing to change: give --name, --protected, --approvals or --review-days.")
    if review:
        return ask(session, reason, version=version, environment=key, change={"patch": body})
    document = session.api.patch("environments", key, body=body, version=version, reason=reason)
    session.answer(document, f"The environment {key} is set; changes: {_guarded(document)}.")
    return ExitCode.OK


@environments.command("create")
@click.argument("key", type=ENVIRONMENT)
@name_option
@common
def create_environment(session: Session, key: str, name: str | None) -> None:
    """Make an environment; every flag is off in it."""
    _create(session, "environments", "environment", key, name)


@environments.command("delete")
@click.argument("key", type=ENVIRONMENT)
@reason
@review
@version
@yes
@common
def delete_environment(
    session: Session, key: str, reason: str | None, review: bool, version: int | None, yes: bool
) -> ExitCode:
    """Remove an environment, with the state of every flag in it."""
    if review:
        return ask(session, reason, version=version, environment=key, change={"delete": True})
    _delete(session, "environments", "environment", key, version, yes, reason)
    return ExitCode.OK


def _list(session: Session, collection: str, limit: int | None) -> None:
    found = session.api.list(collection, limit=limit)
    rows = [(each["key"], each["name"], clock(each["created_at"]), _guarded(each)) for each in found.items]
    headers = ["KEY", "NAME", "CREATED (UTC)", "CHANGES"]
    columns = len(headers) if collection == "environments" else len(headers) - 1
    session.answer_list(
        found,
        table(headers[:columns], [row[:columns] for row in rows]),
        empty=f"There are no {collection} yet; make one with `downhaul {collection} create KEY`.",
    )


def _create(session: Session, collection: str, noun: str, key: str, name: str | None) -> None:
    document = session.api.post(collection, body=given(key=key, name=name))
    session.answer(document, f"The {noun} {key} is made.")


def _guarded(document: dict[str, Any]) -> str:
    """What a change there needs."""
    if not document.get("protected"):
        return "free"
    approvals = document.get("approvals", 0)
    return f"with a reason and {count(approvals, 'approval')}" if approvals else "with a reason"


def _delete(
    session: Session,
    collection: str,
    noun: str,
    key: str,
    version: int | None,
    yes: bool,
    reason: str | None = None,
) -> None:
    confirm(f"Remove the {noun} {key}?", yes=yes)
    session.api.delete(collection, key, version=version, reason=reason)
    session.answer({"deleted": key}, f"The {noun} {key} is removed.")
