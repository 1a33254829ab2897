"""The log and the history of a flag for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from downhaul.cli.output import Listed, plain, table
from downhaul.cli.words import clock, listed, value

_LONGEST = 120
"""Characters of a value in a table; `--json` has all of it."""


def log_table(entries: Sequence[Mapping[str, Any]]) -> Listed:
    """A line for each commit."""
    headers = ["REV", "WHEN (UTC)", "WHO", "WHAT", "ON", "REASON"]
    return table(headers, [[*_head(each), _documents(each["documents"]), _why(each)] for each in entries])


def refused_table(entries: Sequence[Mapping[str, Any]]) -> Listed:
    """A line for each attempt that was refused, or several of the same."""
    headers = ["REV", "WHEN (UTC)", "WHO", "FROM", "WHAT", "TIMES", "WHY NOT"]
    return table(headers, [_refused(each) for each in entries])


def _refused(entry: Mapping[str, Any]) -> list[str | int | None]:
    refused = entry["refused"]
    what = f"{refused['attempt']} {refused['target']}".strip()
    head = [entry["revision"], clock(refused["last"]), entry["actor"]]
    return [*head, refused["address"], what, refused["count"], refused["detail"]]


def log_line(entry: Mapping[str, Any]) -> Text:
    """One commit on a line: `42  2026-11-23 22:07:01 UTC  anna  flag.kill  checkout/new-checkout  double charges`."""
    revision, at, *parts = _head(entry)
    told = [f"{revision:>6}", f"{at} UTC", *parts, _documents(entry["documents"]), _why(entry)]
    return plain("  ".join(str(part) for part in told if part).replace("\n", " "))


def history_table(entries: Sequence[Mapping[str, Any]]) -> Listed:
    """A line for each change of one flag, with what became different."""
    headers = ["REV", "WHEN (UTC)", "WHO", "WHAT", "CHANGES", "REASON"]
    rows = [[*_head(each), "\n".join(change(one) for one in each["changes"]), _why(each)] for each in entries]
    return table(headers, rows)


def change(document: Mapping[str, Any]) -> str:
    """`environments/production/on: false -> true`."""
    path = str(document["path"]).removeprefix("/").replace("~1", "/").replace("~0", "~") or "all of it"
    match document["op"]:
        case "add":
            return f"{path}: {_short(document.get('after'))} (new)"
        case "remove":
            return f"{path}: {_short(document.get('before'))} (gone)"
        case _:
            return f"{path}: {_short(document.get('before'))} -> {_short(document.get('after'))}"


def _head(entry: Mapping[str, Any]) -> list[str | int | None]:
    return [entry["revision"], clock(entry["at"]), entry["actor"], entry["action"]]


def _why(entry: Mapping[str, Any]) -> str:
    """The reason, and how it came past an environment's protection."""
    parts = [str(entry.get("reason") or "")]
    if review := entry.get("review"):
        parts.append(f"(review {review['id']}: asked by {review['author']}, approved by {listed(review['approvers'])})")
    if places := entry.get("broke_glass"):
        parts.append(f"(nobody had approved it in {listed(places)}: the administrator broke the glass)")
    return " ".join(part for part in parts if part)


def _documents(documents: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{each['service']}/{each['key']}" if each.get("service") else each["key"] for each in documents)


def _short(document: Any) -> str:
    text = value(document)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
