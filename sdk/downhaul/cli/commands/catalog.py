"""`downhaul services` and `downhaul environments`: what flags belong to, and where they have a state."""

from __future__ import annotations

import click

from downhaul.cli.options import ENVIRONMENT, SERVICE, common, confirm, given, limit, version, yes
from downhaul.cli.output import table
from downhaul.cli.session import Session
from downhaul.cli.words import clock

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
    """All environments."""
    _list(session, "environments", limit)


@environments.command("create")
@click.argument("key", type=ENVIRONMENT)
@name_option
@common
def create_environment(session: Session, key: str, name: str | None) -> None:
    """Make an environment; every flag is off in it."""
    _create(session, "environments", "environment", key, name)


@environments.command("delete")
@click.argument("key", type=ENVIRONMENT)
@version
@yes
@common
def delete_environment(session: Session, key: str, version: int | None, yes: bool) -> None:
    """Remove an environment, with the state of every flag in it."""
    _delete(session, "environments", "environment", key, version, yes)


def _list(session: Session, collection: str, limit: int | None) -> None:
    found = session.api.list(collection, limit=limit)
    rows = [(each["key"], each["name"], clock(each["created_at"])) for each in found.items]
    session.answer_list(
        found,
        table(["KEY", "NAME", "CREATED (UTC)"], rows),
        empty=f"There are no {collection} yet; make one with `downhaul {collection} create KEY`.",
    )


def _create(session: Session, collection: str, noun: str, key: str, name: str | None) -> None:
    document = session.api.post(collection, body=given(key=key, name=name))
    session.answer(document, f"The {noun} {key} is made.")


def _delete(session: Session, collection: str, noun: str, key: str, version: int | None, yes: bool) -> None:
    confirm(f"Remove the {noun} {key}?", yes=yes)
    session.api.delete(collection, key, version=version)
    session.answer({"deleted": key}, f"The {noun} {key} is removed.")
