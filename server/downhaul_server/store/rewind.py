"""The view as it was at an earlier revision: the newest one, with the log's entries undone from the end backwards."""

from __future__ import annotations

from collections.abc import Iterable

from downhaul_server.store.commits import CREATE, RECOVER
from downhaul_server.store.entries import RawEntry
from downhaul_server.store.view import Document, View

MOST_ENTRIES = 1000
"""Whoever is further behind than this is better served with everything."""
MOST_BYTES = 16 * 1024 * 1024
"""The same, for entries that changed very much at once."""


def rewind(view: View, revision: int, newest_first: Iterable[RawEntry]) -> View | None:
    """`view` as it was at `revision`; `newest_first` is the log from the view's own entry backwards.

    None when the log does not tell: it is too far back, an entry is missing or damaged, or a history began in between.
    Touches that were made since are known to have been made, not when the ones before them were: see `View.undo`.
    """
    if not 0 < revision <= view.revision or view.revision - revision > MOST_ENTRIES:
        return None
    if revision == view.revision:
        return view
    undone: dict[str, Document | None] = {}
    expected, size = view.revision, 0
    for raw in newest_first:
        size += len(raw.body)
        if raw.revision != expected or size > MOST_BYTES:
            return None
        if raw.revision == revision:
            # The entry that is left standing is read as well: a log that holds it has lost nothing after it.
            return view.undo(revision, raw.chain, undone)
        if not _undo(raw, undone):
            return None
        expected -= 1
    return None


def _undo(raw: RawEntry, undone: dict[str, Document | None]) -> bool:
    """Take one entry back. False when it is none that can be: damaged, or the beginning of a history."""
    try:
        entry = raw.decode()
    except ValueError:
        return False
    for change in entry.changes:
        before = None if change.before is None else Document(change.address, change.version_before, change.before)
        undone[change.address] = before
    return entry.action not in (CREATE, RECOVER)
