"""Refused attempts as the log shows them, to those who may audit all of it."""

from __future__ import annotations

from typing import Any

from downhaul_server.services.access import store_errors
from downhaul_server.services.actors import ALL, Action, Actor, authorize
from downhaul_server.services.errors import Invalid
from downhaul_server.services.log_filters import LogFilter
from downhaul_server.services.names import parts
from downhaul_server.services.pages import Page, decode_cursor, encode_cursor
from downhaul_server.store import Store
from downhaul_server.store.refusals import Refused

REFUSED = "refused"
UNKNOWN = "(unknown)"
"""In the place of a name: nobody whom we know."""


def refused_page(store: Store, actor: Actor, wanted: LogFilter, limit: int, cursor: str | None) -> Page:
    """Newest first: `{revision, at, actor, action: "refused", reason, documents: [], by, refused}`.

    `refused` is `{number, attempt, target, detail, address, count, first, last}`: `count` attempts between `first` and
    `last`. `service`, `flag` and `environment` are looked for in the target. Raises Forbidden, Invalid, Unavailable.
    """
    authorize(actor, Action.AUDIT, ALL, ALL)
    found: list[Refused] = []
    with store_errors(), store.asking():
        for entry in store.refusals.newest_first(_number(cursor)):
            if wanted.since is not None and entry.at < wanted.since:
                break
            if not matches(wanted, entry):
                continue
            if len(found) == limit:
                return Page([*map(_shown, found)], encode_cursor(f"{REFUSED} {found[-1].number}"))
            found.append(entry)
    return Page([*map(_shown, found)])


def matches(wanted: LogFilter, entry: Refused) -> bool:
    """Whether an entry is wanted; `since` and `until` are looked at too."""
    target = f"{entry.body['target']}/"
    _, service, flag = parts(wanted.flag) if wanted.flag else (None, None, None)
    return (
        (wanted.by is None or _actor(entry) == wanted.by)
        and (wanted.since is None or entry.at >= wanted.since)
        and (wanted.until is None or entry.at < wanted.until)
        and (flag is None or f"/services/{service}/flags/{flag}/" in target)
        and (wanted.service is None or f"/services/{wanted.service}/" in target)
        and (wanted.environment is None or f"/environments/{wanted.environment}/" in target)
    )


def _shown(entry: Refused) -> dict[str, Any]:
    names = ("attempt", "target", "detail", "address", "count", "first", "last")
    return {
        "revision": entry.body["revision"],
        "at": entry.at,
        "actor": _actor(entry),
        "action": REFUSED,
        "reason": None,
        "documents": [],
        "by": entry.body["actor"],
        "refused": {"number": entry.number} | {name: entry.body[name] for name in names},
    }


def _actor(entry: Refused) -> str:
    actor = entry.body["actor"]
    return str(actor["name"]) if actor else UNKNOWN


def _number(cursor: str | None) -> int | None:
    position = decode_cursor(cursor)
    if position is None:
        return None
    kind, _, number = position.partition(" ")
    if kind != REFUSED or not number.isascii() or not number.isdigit() or len(number) > 18:
        raise Invalid.at("cursor", message="expected the `next` of an earlier page")
    return int(number)
