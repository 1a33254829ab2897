"""The immutable copy of the store that one process serves from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """One stored document. `body` is shared by every reader: treat it as read-only, change what `edit()` gives."""

    address: str
    version: int
    """Revision of its last change."""
    body: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The last part of the address."""
        return self.address.rpartition("/")[2]

    def edit(self) -> dict[str, Any]:
        """A deep copy of the body, the caller's own."""
        return copy.deepcopy(dict(self.body))


class View:
    """Everything at one revision. A newer revision is a new View."""

    epoch: str
    revision: int
    chain: str

    def get(self, address: str) -> Document | None:
        """The document at `address`, e.g. `flag/checkout/new-checkout`."""
        raise NotImplementedError

    def of_kind(self, prefix: str) -> tuple[Document, ...]:
        """Documents under `prefix` (which ends in a slash: `service/`, `flag/`, `flag/checkout/`), in address order."""
        raise NotImplementedError

    def version(self, address: str) -> int:
        """The document's version; 0 when there is none."""
        document = self.get(address)
        return document.version if document else 0

    def touched(self, service: str, environment: str) -> int:
        """Revision of the last commit that affects this service in this environment; 0 when none did."""
        raise NotImplementedError

    @property
    def age_s(self) -> float:
        """Seconds since Redis last confirmed that this was the newest (about a second when all is well)."""
        raise NotImplementedError
