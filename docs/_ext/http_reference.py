"""Every call of the HTTP API as Markdown, from the OpenAPI document of the application itself: nothing is committed.

It takes the place of a comment in http-reference.md, so that the page says something on a forge, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from downhaul_server.api.docs import view_of
from downhaul_server.app import create_app
from downhaul_server.settings import Settings
from sphinx.application import Sphinx

PLACE = "<!-- every call, from the OpenAPI document -->"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fill(app: Sphinx, page: str, source: list[str]) -> None:
    if page == "http-reference":
        before, place, after = source[0].partition(PLACE)
        if not place:
            raise ValueError(f"{page}: the line {PLACE} is missing")
        # Of its many headings only the groups are in the menus.
        source[0] = "---\ntocdepth: 2\n---\n" + before + "\n".join(_lines(view_of(document()))) + after


def document() -> dict[str, Any]:
    """The same for every application, so one that serves nothing gives it."""
    app = create_app(MagicMock(), Settings(data_dir=Path("nowhere"), log_level="warning"))
    found: dict[str, Any] = app.test_client().get("/api/v1/openapi.json").json
    return found


def _lines(view: dict[str, Any]) -> Iterator[str]:
    for group in view["groups"]:
        yield f"## {group['name'].capitalize()}\n\n{group['description']}\n"
        for operation in group["operations"]:
            yield from _operation(operation)
    yield "## Schemas\n"
    for name, schema in view["schemas"].items():
        yield f"({_anchor(name)})=\n### {name}\n"
        if schema["one_of"]:
            yield f"One of: {', '.join(map(_type, schema['one_of']))}.\n"
        if schema["members"]:
            yield from _table(("member", "type", "meaning"), map(_member, schema["members"]))


def _operation(operation: dict[str, Any]) -> Iterator[str]:
    yield f"({operation['operationId']})=\n### {operation['summary'].rstrip('.')}\n"
    yield f"`{operation['method']} {operation['path']}`\n"
    yield f"{operation.get('description', '')}\n"
    yield f"```sh\n{operation['curl']}\n```\n"
    if operation["parameters"]:
        yield from _table(("parameter", "in", "type", "meaning"), map(_parameter, operation["parameters"]))
    if operation["body"]:
        yield f"Body: {_type(operation['body'])}\n"
    answers = operation["responses"].items()
    yield from _table(
        ("answer", "body", "meaning"),
        ((status, _type(each["type"]), each["description"]) for status, each in answers if status < "400"),
    )
    refusals = ", ".join(status for status, _ in answers if status >= "400")
    yield f"Refused with {refusals}: [problems](api.md#errors).\n" if refusals else ""


def _parameter(each: dict[str, Any]) -> tuple[str, ...]:
    needed = ", required" if each.get("required") else ""
    return f"`{each['name']}`{needed}", each["in"], _type(each["type"]), _meaning(each)


def _member(each: dict[str, Any]) -> tuple[str, ...]:
    marks = [word for word, holds in (("required", each["required"]), ("read only", each["read_only"])) if holds]
    return ", ".join([f"`{each['name']}`", *marks]), _type(each["type"]), _meaning(each)


def _meaning(each: dict[str, Any]) -> str:
    rules = f"`{each['rules']}`" if each["rules"] else ""
    return " ".join(filter(None, (each.get("description", ""), rules)))


def _type(kind: dict[str, str]) -> str:
    return f"[{kind['text']}](#{_anchor(kind['link'])})" if kind["link"] else kind["text"]


def _anchor(schema: str) -> str:
    return f"schema-{schema.lower()}"


def _table(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_cell(text) for text in row)} |"
    yield ""


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
