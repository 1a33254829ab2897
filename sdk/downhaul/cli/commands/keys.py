"""`downhaul keys`: SDK keys for instances, client keys for browsers, API tokens for people and pipelines."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.options import ENVIRONMENT, KEY_ID, SERVICE, SERVICE_OR_ALL, common, confirm, given, limit, yes
from downhaul.cli.output import plain, table
from downhaul.cli.session import Session
from downhaul.cli.words import clock, listed, when

_quiet = click.option("-q", "--quiet", is_flag=True, help="Write the token and nothing else, for KEY=$(...).")
_key = click.argument("key", type=KEY_ID, metavar="ID")
_services = click.option("--service", "services", type=SERVICE, multiple=True, help="For this service; repeatable.")
_all_or_services = click.option(
    "--service",
    "services",
    type=SERVICE_OR_ALL,
    multiple=True,
    required=True,
    help="A service whose flags are for it, or * for all; repeatable.",
)


@click.group()
def keys() -> None:
    """SDK keys, client keys and API tokens.

    For instances, for browsers, and for people and pipelines.
    """


@keys.group("create")
def create() -> None:
    """Make a key; its token is shown this once."""


@create.command("sdk")
@click.argument("name")
@click.option("-e", "--environment", type=ENVIRONMENT, required=True, help="The environment that it may read.")
@_all_or_services
@_quiet
@common
def create_sdk(session: Session, quiet: bool, **document: Any) -> None:
    """Make an SDK key for the instances of services, in one environment."""
    _create(session, quiet, kind="sdk", **document)


@create.command("client")
@click.argument("name")
@click.option("-e", "--environment", type=ENVIRONMENT, required=True, help="The environment whose flags it evaluates.")
@_all_or_services
@_quiet
@common
def create_client(session: Session, quiet: bool, **document: Any) -> None:
    """Make a key for browsers, which is no secret.

    With it, the flags that are marked for clients can be evaluated over OFREP, and nothing else.
    """
    _create(session, quiet, kind="client", **document)


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
@click.option("--kind", type=click.Choice(["sdk", "client", "api"]), help="Only keys of this kind.")
@limit
@common
def list_keys(session: Session, kind: str | None, limit: int | None) -> None:
    """All keys, without their tokens."""
    found = session.api.list("keys", limit=limit, kind=kind)
    headers = [
        "ID",
        "KIND",
        "NAME",
        "ROLE",
        "SERVICES",
        "ENVIRONMENTS",
        "LAST USED (UTC)",
        "EXPIRES (UTC)",
        "CREATED (UTC)",
        "BY",
    ]
    session.answer_list(
        found,
        table(headers, map(_row, found.items), spare=["CREATED (UTC)", "BY"]),
        empty="There are no keys yet; make one with `downhaul keys create sdk NAME -e ENV --service SERVICE`.",
    )


@keys.command("rotate")
@_key
@click.option(
    "--overlap",
    type=click.IntRange(0, 2_592_000),
    metavar="SECONDS",
    help="How long the old token is good beside the new one; left out: a day.",
)
@_quiet
@common
def rotate(session: Session, key: str, overlap: int | None, quiet: bool) -> None:
    """Make a new token for a key; it is shown this once."""
    made = session.api.post("keys", key, "rotate", body=given(overlap=overlap))
    _show_token(session, made, quiet)
    if not session.as_json and not quiet:
        session.output.note(f"The old token is good until {when(made['previous_expires'])}.")


@keys.command("end-previous")
@_key
@yes
@common
def end_previous(session: Session, key: str, yes: bool) -> None:
    """End the old token of a key that was rotated, now."""
    confirm(f"End the old token of the key {key}?", yes=yes)
    session.api.delete("keys", key, "previous")
    session.answer({"ended": key}, f"The old token of the key {key} is refused from now on.")


@keys.command("revoke")
@_key
@yes
@common
def revoke(session: Session, key: str, yes: bool) -> None:
    """Refuse a key from now on; it cannot be undone."""
    confirm(f"Revoke the key {key}?", yes=yes)
    session.api.delete("keys", key)
    session.answer({"revoked": key}, f"The key {key} is revoked.")


def _create(session: Session, quiet: bool, **document: Any) -> None:
    _show_token(session, session.api.post("keys", body=given(**document)), quiet)


def _show_token(session: Session, made: dict[str, Any], quiet: bool) -> None:
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
        clock(key["last_used"]) if key.get("last_used") else None,
        clock(key["expires"]) if key.get("expires") else None,
        clock(key["created_at"]),
        key["created_by"],
    ]


def _scope(names: list[str]) -> str:
    return "all" if names == ["*"] else listed(names)


_NOUNS = {"sdk": "SDK key", "client": "client key", "api": "API token"}
