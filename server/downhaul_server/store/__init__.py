"""The store: Redis holds it, every process keeps all of it in memory, one Lua script commits, one log gives the order.

Nothing here knows what a flag is (documents are JSON under an address), and nobody else talks to Redis.
"""

from downhaul_server.store.board import Board
from downhaul_server.store.commits import RECOVER, Change, Commit, Committed, Entry
from downhaul_server.store.embedded import Embedded, EmbeddedError
from downhaul_server.store.errors import (
    Conflict,
    OperationReused,
    Stale,
    StoreDiverged,
    StoreError,
    StoreUnavailable,
)
from downhaul_server.store.fleet import FleetNews, Mark, Record
from downhaul_server.store.lease import Lease
from downhaul_server.store.store import Store
from downhaul_server.store.view import Document, View

__all__ = [
    "RECOVER",
    "Board",
    "Change",
    "Commit",
    "Committed",
    "Conflict",
    "Document",
    "Embedded",
    "EmbeddedError",
    "Entry",
    "FleetNews",
    "Lease",
    "Mark",
    "OperationReused",
    "Record",
    "Stale",
    "Store",
    "StoreDiverged",
    "StoreError",
    "StoreUnavailable",
    "View",
]
