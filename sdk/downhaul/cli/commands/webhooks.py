"""`downhaul webhooks`: whom to tell what happens."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import urlsplit

import click

from downhaul.cli.errors import ExitCode
from downhaul.cli.options import (
    ENVIRONMENT_OR_ALL,
    HOOK_ID,
    SERVICE_OR_ALL,
    Command,
    common,
    confirm,
    given,
    limit,
    version,
    yes,
)
from downhaul.cli.output import fields, plain, table
from downhaul.cli.session import Session
from downhaul.cli.words import clock, count, listed, when

PATIENCE_S = 30.0
"""A receiver has 15 seconds to answer."""
_FORMATS = click.Choice(["standard", "slack", "teams"])
_quiet = click.option("-q", "--quiet", is_flag=True, help="Write the secret and nothing else, for SECRET=$(...).")
_hook = click.argument("hook", type=HOOK_ID, metavar="ID")


def _what(command: Command) -> Command:
    """What it is told, and of which places."""
    options = (
        click.option("--format", "form", type=_FORMATS, help="What is sent: Standard Webhooks' JSON, or a message."),
        click.option(
            "--event",
            "events",
            multiple=True,
            metavar="ACTION",
            help="An action of the log, such as flag.kill or 'flag.*'; repeatable. Left out at first: flag.*.",
        ),
        click.option(
            "--service", "services", type=SERVICE_OR_ALL, multiple=True, help="Of this service, or *; repeatable."
        ),
        click.option(
            "-e",
            "--environment",
            "environments",
            type=ENVIRONMENT_OR_ALL,
            multiple=True,
            help="Of this environment, or *; repeatable.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def webhooks() -> None:
    """Tell others what happens: your own services, Slack, Teams."""


@webhooks.command("list")
@limit
@common
def list_webhooks(session: Session, limit: int | None) -> None:
    """All webhooks, and how they fare."""
    found = session.api.list("webhooks", limit=limit)
    headers = ["ID", "NAME", "FORMAT", "EVENTS", "SERVICES", "ENVIRONMENTS", "TO", "STATE"]
    session.answer_list(
        found,
        table(headers, map(_row, found.items), spare=["TO"]),
        empty="There are no webhooks yet; make one with `downhaul webhooks create NAME URL`.",
    )


@webhooks.command("show")
@_hook
@common
def show(session: Session, hook: str) -> None:
    """One webhook, and how it fares."""
    document = session.api.get("webhooks", hook)
    session.answer(document, fields(_pairs(document)))


@webhooks.command("create")
@click.argument("name")
@click.argument("url")
@_what
@_quiet
@common
def create(session: Session, name: str, url: str, quiet: bool, form: str | None, **what: Any) -> None:
    """Make a webhook; its secret is shown this once.

    It is told of every change of a flag in every service and environment, unless something else is said. The address
    of a chat tool is a password: - as URL reads it from stdin.
    """
    made = session.api.post("webhooks", body=given(name=name, url=_address(url), format=form, **what))
    _show_secret(session, made, quiet)


@webhooks.command("update")
@_hook
@click.option("--name", help="How people call it.")
@click.option("--url", help="Where it sends to; - reads it from stdin.")
@_what
@click.option("--on/--off", "enabled", default=None, help="Switch it on, from what happens now on, or off.")
@version
@common
def update(session: Session, hook: str, url: str | None, form: str | None, version: int | None, **changes: Any) -> None:
    """Change a webhook; what is left out stays."""
    body = given(format=form, url=url and _address(url), **changes)
    if not body:
        raise click.UsageError("Say what to change.")
    document = session.api.patch("webhooks", hook, body=body, version=version)
    state = "on" if document["enabled"] else "off"
    session.answer(document, f"The webhook {document['name']} is changed; it is {state}.")


@webhooks.command("delete")
@_hook
@version
@yes
@common
def delete(session: Session, hook: str, version: int | None, yes: bool) -> None:
    """Remove a webhook, with what it has not been told yet."""
    confirm(f"Remove the webhook {hook}?", yes=yes)
    session.api.delete("webhooks", hook, version=version)
    session.answer({"deleted": hook}, f"The webhook {hook} is removed.")


@webhooks.command("rotate")
@_hook
@click.option(
    "--overlap",
    type=click.IntRange(0, 604_800),
    metavar="SECONDS",
    help="How long the old secret signs beside the new one; left out: a day.",
)
@_quiet
@common
def rotate(session: Session, hook: str, overlap: int | None, quiet: bool) -> None:
    """Make a new secret; it is shown this once."""
    _show_secret(session, session.api.post("webhooks", hook, "rotate", body=given(overlap=overlap)), quiet)


@webhooks.command("test")
@_hook
@common
def test(session: Session, hook: str) -> ExitCode:
    """Send a test now, and tell what came back. The exit code is 1 when the receiver did not take it."""
    result = session.api.post("webhooks", hook, "test", within=PATIENCE_S)
    said = f": {result['answer']}" if result["answer"] else ""
    status = f"answered {result['status']}{said}" if result["status"] is not None else str(result["error"])
    verdict = "It has arrived" if result["delivered"] else "It has not arrived"
    session.answer(result, f"{verdict}: {_sentence(status)} ({result['duration_ms']} ms).")
    return ExitCode.OK if result["delivered"] else ExitCode.OTHER


@webhooks.command("deliveries")
@_hook
@limit
@common
def deliveries(session: Session, hook: str, limit: int | None) -> None:
    """The last attempts, newest first; 50 are kept."""
    found = session.api.list("webhooks", hook, "deliveries", limit=limit)
    headers = ["AT (UTC)", "EVENT", "REVISION", "ATTEMPT", "OUTCOME", "STATUS", "ERROR", "ID"]
    session.answer_list(
        found,
        table(headers, map(_attempt, found.items), spare=["ID"]),
        empty="Nothing has been sent yet; try `downhaul webhooks test ID`.",
    )


def _address(url: str) -> str:
    return sys.stdin.readline().strip() if url == "-" else url


def _show_secret(session: Session, made: dict[str, Any], quiet: bool) -> None:
    if quiet and not session.as_json:
        session.output.show(made["secret"])
        return
    session.answer(made, plain(made["secret"], "bold"))
    if not session.as_json:
        session.output.note(f"This is the secret of the webhook {made['name']} ({made['id']}). It is not shown again.")


def _row(hook: dict[str, Any]) -> list[str | None]:
    places = [_scope(hook["services"]), _scope(hook["environments"])]
    return [hook["id"], hook["name"], hook["format"], listed(hook["events"]), *places, _host(hook["url"]), _state(hook)]


def _host(url: str) -> str:
    """Without the path, which for chat tools is a password."""
    return urlsplit(url).netloc


def _state(hook: dict[str, Any]) -> str:
    status = hook["status"]
    if not hook["enabled"]:
        return "off"
    if status["failing_since"]:
        return f"failing since {when(status['failing_since'])}, {_waiting(status)}"
    return _waiting(status) if status["pending"] else "on"


def _waiting(status: dict[str, Any]) -> str:
    more = " or more" if status["pending_at_least"] else ""
    return f"{count(status['pending'], 'event')}{more} waiting"


def _pairs(hook: dict[str, Any]) -> list[tuple[str, str | None]]:
    status, last, error = hook["status"], hook["status"]["last_delivery"], hook["status"]["last_error"]
    off = hook["disabled"]
    return [
        ("ID", hook["id"]),
        ("Name", hook["name"]),
        ("URL", hook["url"]),
        ("Format", hook["format"]),
        ("Events", listed(hook["events"])),
        ("Services", _scope(hook["services"])),
        ("Environments", _scope(hook["environments"])),
        ("State", _state(hook)),
        ("Switched off", off and f"{when(off['at'])}: {off['reason']}"),
        ("Told up to", f"revision {status['position']}"),
        ("Last delivery", last and f"revision {last['revision']}, {when(last['at'])} ({last['status']})"),
        ("Last error", error and f"{when(error['at'])}: {error['error']}"),
        ("Next attempt", status["next_attempt_at"] and when(status["next_attempt_at"])),
        ("Skipped", str(status["skipped"]) if status["skipped"] else None),
        ("Missed", count(status["missed"], "revision") if status["missed"] else None),
        ("Version", f"{hook['version']}, of {when(hook['updated_at'])}"),
    ]


def _attempt(delivery: dict[str, Any]) -> list[str | int | None]:
    revision, status = delivery["revision"], delivery["status"]
    return [
        clock(delivery["at"]),
        delivery["type"],
        revision,
        delivery["attempt"],
        delivery["outcome"],
        status,
        delivery["error"],
        delivery["id"],
    ]


def _scope(names: list[str]) -> str:
    return "all" if names == ["*"] else listed(names)


def _sentence(text: str) -> str:
    return text.removesuffix(".")
