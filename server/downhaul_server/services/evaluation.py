"""Flags evaluated here, for OpenFeature's clients: from memory, for a key and a context, and counted."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from downhaul.engine import Outcome

from downhaul_server.services.access import newest_view
from downhaul_server.services.actors import ALL, ClientKey, EnvironmentKey
from downhaul_server.services.documents import existing
from downhaul_server.services.errors import NotFound
from downhaul_server.services.evaluations import Evaluations
from downhaul_server.services.flag_sets import Counted, FlagSet, FlagSets, Offer
from downhaul_server.services.names import flag_name
from downhaul_server.store import Store, View

TARGETING_KEY = "targetingKey"
UNIT = "user"
"""The attribute that rules and splits look at by default: what OpenFeature calls the targeting key."""
CATCH_UP_S = 0.5
"""Who was told of a revision by another server may come here before it does."""

Context = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resolved:
    """The answer to one evaluation. `body` is JSON: `{key, value, reason, variant, metadata}`, or with `failed`
    `{key, errorCode, errorDetails}`."""

    body: bytes
    failed: bool


@dataclass(frozen=True, slots=True)
class Edition:
    """All flags that a key may evaluate, as they are now."""

    digest: str
    """Another one when any evaluation may come out otherwise; the same in every process."""
    epoch: str
    revision: int
    seen_at: int
    """When this process made it; seconds since 1970."""

    @property
    def position(self) -> str:
        """`epoch:revision`."""
        return f"{self.epoch}:{self.revision}"


@dataclass(frozen=True, slots=True)
class ResolvedAll:
    """The answers for all flags that a key may evaluate."""

    items: bytes
    """A JSON array."""
    digest: str
    """Of the items and the context."""
    edition: Edition


class Evaluation:
    """Safe to share between threads."""

    def __init__(self, store: Store, sets: FlagSets, evaluations: Evaluations) -> None:
        self._store = store
        self._sets = sets
        self._evaluations = evaluations
        self._counts: Counter[Counted] = Counter()

    def one(self, key: EnvironmentKey, name: str, context: Context) -> Resolved:
        """One flag. It is named `service/flag`, or `flag` where the key is for one service.

        Raises NotFound, also for what the key may not evaluate, and Unavailable.
        """
        offer = self._offer(key, name)
        outcome = offer.evaluator.evaluate(attributes(context))
        self._counts[offer.counted[outcome]] += 1
        return Resolved(_named(name) + _answers(key, offer)[outcome], outcome.error_code is not None)

    def all(self, key: EnvironmentKey, context: Context) -> ResolvedAll:
        """All flags of the key, by the names that `one` takes. Raises Unavailable."""
        view = newest_view(self._store)
        given, client, alone = attributes(context), isinstance(key, ClientKey), only_service(key) is not None
        items, counts, sets = [], self._counts, list(self._of(view, key))
        for found in sets:
            service = found.snapshot.service
            for flag, offer in found.seen_by(client).items():
                outcome = offer.evaluator.evaluate(given)
                counts[offer.counted[outcome]] += 1
                items.append(_named(flag if alone else flag_name(service, flag)) + _answers(key, offer)[outcome])
        body = b"[%b]" % b",".join(items)
        return ResolvedAll(body, _digest(body, context), _edition(view, sets, client))

    def edition(self, key: EnvironmentKey, view: View | None = None) -> Edition:
        """What the key may evaluate, without evaluating it. Raises NotFound where there is no such environment any
        more, and Unavailable."""
        view = view or newest_view(self._store)
        existing(view, "environment", key.environment)
        return _edition(view, list(self._of(view, key)), isinstance(key, ClientKey))

    def catch_up(self, position: str) -> None:
        """Wait a little for a position that another server has told; for none that is nothing of ours."""
        epoch, _, revision = position.partition(":")
        view = newest_view(self._store)
        if epoch == view.epoch and revision.isdecimal() and len(revision) < 16 and int(revision) > view.revision:
            self._store.wait_for(int(revision), CATCH_UP_S)

    def flush(self) -> None:
        """Hand over what was counted since the last time."""
        counts, self._counts = self._counts, Counter()
        places: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
        for (service, environment, flag, variant), number in counts.items():
            places.setdefault((service, environment), {}).setdefault(flag, {})[variant] = number
        for (service, environment), flags in places.items():
            self._evaluations.count(service, environment, flags)

    def _offer(self, key: EnvironmentKey, name: str) -> Offer:
        service, slash, flag = name.partition("/")
        if not slash:
            only = only_service(key)
            if only is None:
                raise NotFound("flag", f"{name}: this key is for several services, name it as service/flag")
            service, flag = only, name
        if not key.reaches(service):
            raise NotFound("flag", name)
        view = newest_view(self._store)
        try:
            return self._sets.of(view, service, key.environment).seen_by(isinstance(key, ClientKey))[flag]
        except (NotFound, KeyError):
            raise NotFound("flag", name) from None

    def _of(self, view: View, key: EnvironmentKey) -> Iterator[FlagSet]:
        services = [each.key for each in view.of_kind("service/")] if ALL in key.services else sorted(key.services)
        for service in services:
            with suppress(NotFound):  # it was deleted, the key was not
                yield self._sets.of(view, service, key.environment)


def attributes(context: Context) -> dict[str, Any]:
    """What rules look at: all of the context, and the targeting key as `user` too, where it has no `user` itself."""
    given = dict(context)
    if TARGETING_KEY in given:
        given.setdefault(UNIT, given[TARGETING_KEY])
    return given


def only_service(key: EnvironmentKey) -> str | None:
    """The service whose flags need not be named with it; None: the key is for several, or for all."""
    (only,) = key.services if len(key.services) == 1 else (ALL,)
    return None if only == ALL else only


def _answers(key: EnvironmentKey, offer: Offer) -> Mapping[Outcome, bytes]:
    return offer.to_clients if isinstance(key, ClientKey) else offer.to_instances


def _named(name: str) -> bytes:
    """The beginning of an item; the name is that of a flag, which has no letter that JSON would escape."""
    return b'{"key":"%b",' % name.encode("ascii")


def _digest(items: bytes, context: Context) -> str:
    whole = hashlib.sha256(items)
    whole.update(json.dumps(context, sort_keys=True).encode("ascii"))
    return whole.hexdigest()[:32]


def _edition(view: View, sets: list[FlagSet], client: bool) -> Edition:
    whole = hashlib.sha256()
    for each in sets:
        whole.update(each.snapshot.service.encode("ascii") + b"\0" + each.digest(client))
    revision = max((each.snapshot.revision for each in sets), default=view.revision)
    return Edition(whole.hexdigest()[:32], view.epoch, revision, int(time.time()))
