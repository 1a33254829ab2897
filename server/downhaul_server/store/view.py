"""The immutable copy of the store that one process serves from."""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from downhaul_server.store.commits import EVERYWHERE, Entry
from downhaul_server.store.keys import touch_field


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


class Freshness:
    """When Redis last confirmed that what we serve is the newest; shared by all views of one process."""

    def __init__(self) -> None:
        self._confirmed = time.monotonic()

    def confirm(self, age_s: float = 0.0) -> None:
        """Redis said so, `age_s` seconds ago."""
        self._confirmed = time.monotonic() - age_s

    @property
    def age_s(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self._confirmed


class _Group:
    """The documents under one parent (`flag/checkout/`). Copied when one of them changes; other groups are shared."""

    def __init__(self, documents: dict[str, Document]) -> None:
        self.documents = documents

    @cached_property
    def in_order(self) -> tuple[Document, ...]:
        return tuple(self.documents[address] for address in sorted(self.documents))

    def replace(self, changes: Mapping[str, Document | None]) -> _Group:
        documents = self.documents.copy()
        for address, document in changes.items():
            if document is None:
                documents.pop(address, None)
            else:
                documents[address] = document
        return _Group(documents)


class View:
    """Everything at one revision. A newer revision is a new View; this one never changes."""

    __slots__ = ("_freshness", "_groups", "_touched", "chain", "epoch", "revision", "succeeds")

    def __init__(
        self,
        epoch: str,
        revision: int,
        chain: str,
        groups: Mapping[str, _Group],
        touched: Mapping[str, int],
        freshness: Freshness,
        succeeds: tuple[str, ...] = (),
    ) -> None:
        self.epoch = epoch
        """Random id of the store's life."""
        self.succeeds = succeeds
        """Epochs that this one follows by an operator's decision, newest first."""
        self.revision = revision
        self.chain = chain
        """Hash of the log entry of this revision."""
        self._groups = groups
        self._touched = touched
        self._freshness = freshness

    @classmethod
    def of(
        cls,
        documents: Iterable[Document],
        *,
        epoch: str,
        revision: int,
        chain: str,
        touched: Mapping[str, int],
        freshness: Freshness,
        succeeds: tuple[str, ...] = (),
    ) -> View:
        """A view of these documents; `touched` is as it lies in Redis (`service@environment` -> revision)."""
        groups: defaultdict[str, dict[str, Document]] = defaultdict(dict)
        for document in documents:
            groups[_parent(document.address)][document.address] = document
        named = {parent: _Group(members) for parent, members in groups.items()}
        return cls(epoch, revision, chain, named, dict(touched), freshness, succeeds)

    def get(self, address: str) -> Document | None:
        """The document at `address`, e.g. `flag/checkout/new-checkout`."""
        group = self._groups.get(_parent(address))
        return group.documents.get(address) if group else None

    def of_kind(self, prefix: str) -> tuple[Document, ...]:
        """Documents under `prefix` (which ends in a slash: `service/`, `flag/`, `flag/checkout/`), in address order.

        The tuple for a whole parent (`service/`, `flag/checkout/`) is kept with it: asking again costs nothing.
        """
        if group := self._groups.get(prefix):
            return group.in_order
        parents = sorted(parent for parent in self._groups if parent.startswith(prefix))
        return tuple(document for parent in parents for document in self._groups[parent].in_order)

    def version(self, address: str) -> int:
        """The document's version; 0 when there is none."""
        document = self.get(address)
        return document.version if document else 0

    def touched(self, service: str, environment: str) -> int:
        """Revision of the last commit that affects this service in this environment; 0 when none did."""
        return max(
            self._touched.get(touch_field(one, other), 0)
            for one in (service, EVERYWHERE)
            for other in (environment, EVERYWHERE)
        )

    @property
    def age_s(self) -> float:
        """Seconds since Redis last confirmed that this process serves the newest (about one when all is well)."""
        return self._freshness.age_s

    @property
    def touches(self) -> Mapping[str, int]:
        """All touches as they lie in Redis."""
        return self._touched

    @property
    def freshness(self) -> Freshness:
        """What `age_s` is read from."""
        return self._freshness

    def __iter__(self) -> Iterator[Document]:
        for parent in sorted(self._groups):
            yield from self._groups[parent].in_order

    def __len__(self) -> int:
        return sum(len(group.documents) for group in self._groups.values())

    def apply(self, entry: Entry) -> View:
        """The view after `entry`, which must be the one after this revision. Cost: the groups that it changes."""
        if entry.revision != self.revision + 1:
            raise ValueError(f"revision {entry.revision} does not follow {self.revision}")
        changed: defaultdict[str, dict[str, Document | None]] = defaultdict(dict)
        for change in entry.changes:
            document = None if change.after is None else Document(change.address, entry.revision, change.after)
            changed[_parent(change.address)][change.address] = document
        touched = dict(self._touched) | {touch_field(*touch): entry.revision for touch in entry.touches}
        groups = self._with(changed)
        return View(self.epoch, entry.revision, entry.chain, groups, touched, self._freshness, self.succeeds)

    def undo(self, revision: int, chain: str, before: Mapping[str, Document | None]) -> View:
        """The view at an earlier revision, of which these documents are known (None: absent); see `rewind`.

        `touched` is an upper bound in it: what was touched since counts as touched at `revision`.
        """
        changed: defaultdict[str, dict[str, Document | None]] = defaultdict(dict)
        for address, document in before.items():
            changed[_parent(address)][address] = document
        touched = {field: min(touch, revision) for field, touch in self._touched.items()}
        return View(self.epoch, revision, chain, self._with(changed), touched, self._freshness, self.succeeds)

    def _with(self, changed: Mapping[str, Mapping[str, Document | None]]) -> dict[str, _Group]:
        groups = dict(self._groups)
        for parent, changes in changed.items():
            groups[parent] = groups.get(parent, _Group({})).replace(changes)
        return groups


def _parent(address: str) -> str:
    return address[: address.rfind("/") + 1]
