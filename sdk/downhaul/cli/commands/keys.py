"""`downhaul keys`: SDK keys for instances, API tokens for people and pipelines."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.options import ENVIRONMENT, KEY_ID, SERVICE, SERVICE_OR_ALL, common, confirm, given, limit, yes
from downhaul.cli.output import plain, table
from downhaul.cli.session import Session
from downhaul.cli.words import clock, listed

_quiet = click.option("-q", "--quiet", is_flag=True, help="Write the token and nothing else, for KEY=$(...).")
_services = click.option("--service", "services", type=SERVICE, multiple=True, help="For this service; repeatable.")


@click.group()
def keys() -> None:
    """SDK keys, and API tokens.

    The former are for instances, the latter for people and pipelines.
    """


@keys.group("create")
def create() -> None:
    """Make a key; its token is shown this once."""


@create.command("sdk")
@click.argument("name")
@click.option("-e", "--environment", type=ENVIRONMENT, required=True, help="The environment that it may read.")
@click.option(
    "--service",
    "services",
    type=SERVICE_OR_ALL,
    multiple=True,
    required=True,
    help="A service that it may read, or * for all; repeatable.",
)
@_quiet
@common
def create_sdk(session: Session, quiet: bool, **document: Any) -> None:
    """Make an SDK key for the instances of services, in one environment."""
    _create(session, quiet, kind="sdk", **document)


@create.command("api")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["killer", "viewer", "operator", "editor", "approver", "admin"]),
    required=True,
    help="What it may do: an operator may kill, and nothing else that could hurt; a killer may do nothing but that.",
)
@_services
@click.option(
    "-e", "--environment", "environments", type=ENVIRONMENT, multiple=True, help="For this environment; repeatable."
)
@click.option("--expires", metavar="TIME", help="When it ends, such as 2027-01-31T00:00:00Z; left out: never.")
@_quiet
@common
def create_api(session: Session, quiet: bool, **document: Any) -> None:
    """Make an API token for a person or a pipeline.

    It is for every service and environment, unless some are named.
    """
    _create(session, quiet, kind="api", **document)


@keys.command("list")
@click.option("--kind", type=click.Choice(["sdk", "api"]), help="Only keys of this kind.")
@limit
@common
def list_keys(session: Session, kind: str | None, limit: int | None) -> None:
    """All keys, without their tokens."""
    found = session.api.list("keys", limit=limit, kind=kind)
    headers = ["ID", "KIND", "NAME", "ROLE", "SERVICES", "ENVIRONMENTS", "CREATED (UTC)", "BY", "EXPIRES (UTC)"]
    session.answer_list(
        found,
        table(headers, map(_row, found.items)),
        empty="There are no keys yet; make one with `downhaul keys create sdk NAME -e ENV --service SERVICE`.",
    )


@keys.command("revoke")
@click.argument("key", type=KEY_ID, metavar="ID")
@yes
@common
def revoke(session: Session, key: str, yes: bool) -> None:
    """Refuse a key from now on; it cannot be undone."""
    confirm(f"Revoke the key {key}?", yes=yes)
    session.api.delete("keys", key)
    session.answer({"revoked": key}, f"The key {key} is revoked.")


def _create(session: Session, quiet: bool, **document: Any) -> None:
    made = session.api.post("keys", body=given(**document))
    if quiet and not session.as_json:
        session.output.show(made["token"])
        return
    session.answer(made, plain(made["token"], "bold"))
    if not session.as_json:
        session.output.note(f"This is the {_NOUNS[made['kind']]} {made['name']} ({made['id']}). It is not shown again.")


def _row(key: dict[str, Any]) -> list[str | None]:
    places = key.get("environments") or [key.get("environment") or ""]
    return [
        key["id"],
        key["kind"],
        key["name"],
        key.get("role"),
        _scope(key["services"]),
        _scope(places),
        clock(key["created_at"]),
        key["created_by"],
        clock(key["expires"]) if key.get("expires") else None,
    ]


def _scope(names: list[str]) -> str:
    return "all" if names == ["*"] else listed(names)


_NOUNS = {"sdk": "SDK key", "api": "API token"}
