"""The store, seen from this room: its view, and its errors in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from downhaul_server.services.errors import OperationConflict, Unavailable
from downhaul_server.store import OperationReused, Store, StoreDiverged, StoreUnavailable, View


@contextmanager
def store_errors() -> Iterator[None]:
    """What the store raises to be told to clients. Conflict and Stale pass: whoever writes tries again."""
    try:
        yield
    except OperationReused:
        raise OperationConflict("the idempotency key was already used for a different request") from None
    except StoreUnavailable as error:
        raise Unavailable(str(error), outcome_unknown=error.outcome_unknown) from error
    except StoreDiverged as error:
        raise Unavailable(str(error)) from error


def newest_view(store: Store) -> View:
    """What this process serves. Raises Unavailable while nothing is loaded."""
    with store_errors():
        return store.view
