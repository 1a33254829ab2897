"""How a webhook fares: what the deliverer keeps of it, and what people are shown of that."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from downhaul_server.services.access import store_errors
from downhaul_server.services.documents import timestamp
from downhaul_server.services.hook_events import concerns
from downhaul_server.store import Entry, Store

MOST_COUNTED = 1000
"""Entries of the log that are looked through for what waits."""
PAGE = 100

Body = Mapping[str, Any]
State = dict[str, Any]
Pages = dict[int, list[Entry]]
"""Of the log, by the revision before: read once for all hooks that wait at the same place."""


def new_state(epoch: str, since: int, revision: int) -> State:
    """Of a hook that is new, or was just switched on."""
    return {
        "epoch": epoch,
        "since": since,
        "revision": revision,
        "attempts": 0,
        "failing_since": None,
        "next": None,
        "error": None,
        "delivered": None,
        "skipped": 0,
        "missed": 0,
    }


def status_of(store: Store, hook: Body, state: State | None, pages: Pages) -> dict[str, Any]:
    """`{position, pending, pending_at_least, last_delivery, last_error, failing_since, attempts, next_attempt_at,
    skipped, missed}`.

    `position`: everything up to this revision is done with. `pending`: events after it that wait; `pending_at_least`
    when there may be more. `skipped`: events that the receiver refused for so long that they were given up; `missed`:
    revisions that the log has lost. `pages` is filled, for the next hook. Raises Unavailable.
    """
    if state is None or state["since"] != hook["since"]:
        state = new_state("", hook["since"], hook["since"])
    waiting, all_counted = _pending(store, hook, state["revision"], pages) if hook["enabled"] else (0, True)
    return {
        "position": state["revision"],
        "pending": waiting,
        "pending_at_least": not all_counted,
        "last_delivery": state["delivered"],
        "last_error": state["error"],
        "failing_since": state["failing_since"] and moment(state["failing_since"]),
        "attempts": state["attempts"],
        "next_attempt_at": moment(state["next"]) if state["next"] and hook["enabled"] else None,
        "skipped": state["skipped"],
        "missed": state["missed"],
    }


def _pending(store: Store, hook: Body, position: int, pages: Pages) -> tuple[int, bool]:
    found = looked = 0
    with store_errors():
        newest = store.view.revision
        while position < newest:
            if looked >= MOST_COUNTED:
                return found, False
            if position not in pages:
                with store.asking():
                    pages[position] = store.outbox.after(position, PAGE)
            entries = pages[position]
            if not entries:
                break
            found += sum(concerns(hook, entry) for entry in entries)
            looked += len(entries)
            position = entries[-1].revision
    return found, True


def moment(at_ms: int) -> str:
    """A time of Redis as RFC 3339."""
    return timestamp(datetime.fromtimestamp(at_ms / 1000, UTC))
