"""`downhaul segments`: named conditions that rules of any service reuse."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.acknowledgement import Change
from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.options import OBJECT, SEGMENT, WaitingCommand, common, confirm, limit, reason, version, wait, yes
from downhaul.cli.output import fields, table
from downhaul.cli.reviewing import ask, review
from downhaul.cli.session import Session
from downhaul.cli.watching import await_written, now
from downhaul.cli.words import condition, when


@click.group()
def segments() -> None:
    """Named conditions that rules reuse."""


@segments.command("list")
@limit
@common
def list_segments(session: Session, limit: int | None) -> None:
    """All segments."""
    found = session.api.list("segments", limit=limit)
    rows = [(each["key"], each["name"], condition(each["when"])) for each in found.items]
    session.answer_list(
        found,
        table(["KEY", "NAME", "WHEN"], rows),
        empty="There are no segments yet; make one with `downhaul segments set KEY --when FILE`.",
    )


@segments.command("show")
@click.argument("key", type=SEGMENT)
@common
def show_segment(session: Session, key: str) -> None:
    """One segment."""
    document = session.api.get("segments", key)
    pairs = [
        ("Key", document["key"]),
        ("Name", document["name"]),
        ("When", condition(document["when"])),
        ("Version", f"{document['version']}, of {when(document['updated_at'])}"),
    ]
    session.answer(document, fields(pairs))


@segments.command("set", cls=WaitingCommand)
@click.argument("key", type=SEGMENT)
@click.option("--when", "condition", type=OBJECT, required=True, help="The condition.")
@click.option("--name", help="How people call it; left out: as it is, else the key.")
@reason
@review
@version
@wait
@common
def set_segment(
    session: Session,
    key: str,
    condition: Any,
    name: str | None,
    reason: str | None,
    review: bool,
    version: int | None,
    wait: float | None,
) -> ExitCode:
    """Make a segment, or change it for every rule that uses it."""
    asked = version
    if name is None:
        name, version = _as_it_is(session, key, version)
    body = {"key": key, "name": name, "when": condition}
    if review:
        return ask(session, reason, version=asked, wait=wait, segment=key, change={"replace": body})
    document = session.api.put("segments", key, body=body, version=version, reason=reason, **now(wait))
    sentence = f"The segment {key} is set (revision {document['version']})"
    if wait is None:
        session.answer(document, f"{sentence}.")
        return ExitCode.OK
    session.say(f"{sentence}.")
    return await_written(session, Change(sentence, document["version"]), document, wait)


@segments.command("delete")
@click.argument("key", type=SEGMENT)
@version
@yes
@common
def delete_segment(session: Session, key: str, version: int | None, yes: bool) -> None:
    """Remove a segment that nothing uses."""
    confirm(f"Remove the segment {key}?", yes=yes)
    session.api.delete("segments", key, version=version)
    session.answer({"deleted": key}, f"The segment {key} is removed.")


def _as_it_is(session: Session, key: str, version: int | None) -> tuple[str, int | None]:
    """Its name, and the version at which it has that name: a rename in between is then a conflict, not undone."""
    try:
        document = session.api.get("segments", key)
    except CliError as error:
        if error.code is ExitCode.NOT_FOUND:
            return key, version
        raise
    return document["name"], version or document["version"]
