"""What can go wrong in the store; nothing else leaves this room but these (and ValueError for a malformed commit)."""

from __future__ import annotations


class StoreError(Exception):
    """The base of them all. One sentence, fit for an answer to a client."""


class Conflict(StoreError):  # noqa: N818
    """A document is not at the version that the writer expected (0: it was expected to be absent)."""

    def __init__(self, address: str, expected: int, current_version: int) -> None:
        super().__init__(f"{address} is at version {current_version}, not {expected}")
        self.address = address
        self.expected = expected
        self.current_version = current_version
        """Revision of the document's last change; 0 when there is no such document."""


class Stale(StoreError):  # noqa: N818
    """Something was committed after the revision that the writer's validation was based on: look again, try again."""

    def __init__(self, base: int, revision: int) -> None:
        super().__init__(f"the store is at revision {revision}, the change was based on {base}")
        self.base = base
        self.revision = revision
        """Where the store is now; `Store.wait_for(revision)` before trying again."""


class OperationReused(StoreError):  # noqa: N818
    """The operation id was already committed, for a different request."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"operation {operation!r} was already used for a different request")
        self.operation = operation


class StoreUnavailable(StoreError):  # noqa: N818
    """Redis did not answer in time, or nothing has been loaded yet."""

    def __init__(self, message: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown
        """True when a write was sent and its answer lost: retry with the same operation id to learn, or to redo."""


class StoreDiverged(StoreError):  # noqa: N818
    """Redis does not hold the history that this server has served: an operator decides (`downhaul-server recover`)."""
