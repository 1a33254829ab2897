"""The one way to write: validate against the newest, commit, and try again when somebody was faster."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from downhaul_server.services import holding
from downhaul_server.services.access import newest_view, store_errors
from downhaul_server.services.actors import Actor
from downhaul_server.services.errors import Invalid, ServiceError, Unavailable
from downhaul_server.services.protection import guard
from downhaul_server.store import Commit, Committed, Conflict, Stale, Store, View

PATIENCE_S = 5.0
"""How long an edit is tried again while others are faster."""
KILL_PATIENCE_S = 20.0
CATCH_UP_S = 0.5
LONGEST_PAUSE_S = 0.02
OPERATION_MAX = 200

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A change, worked out against one view. Without writes, all is as wanted already."""

    action: str
    writes: Mapping[str, Body | None] = field(default_factory=dict)
    touches: tuple[tuple[str, str], ...] = ()
    expect: Mapping[str, int] = field(default_factory=dict)
    """Documents that were looked at and must not have changed; those that are written count anyway."""
    alone: bool = True
    """Whether the plan holds only if nothing at all was committed since: it looked at more than it can name."""
    reason: str | None = None
    result: Body | None = None
    """Given back when the same operation is asked for again."""
    details: Body | None = None
    """Anything else that the log keeps."""
    guarded: bool = True
    """False for what no protection holds up: a drill, whose flag nobody reads."""
    approved: Mapping[str, int] = field(default_factory=dict)
    """How many have approved exactly this, for each environment that they approved it for."""


Planner = Callable[[View], Plan]
"""Works a change out against a view; raises a ServiceError to refuse."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """When a document went."""

    revision: int
    committed_at: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a plan."""

    committed: Committed | None
    """None when there was nothing to write."""
    plan: Plan | None = None
    """None when an earlier request with the same operation had done it already."""
    view: View | None = None
    """What the plan was made with."""

    @property
    def result(self) -> Body:
        """The plan's result; for a repeated request, the first one's."""
        return (self.plan.result if self.plan else self.committed.result if self.committed else None) or {}

    @property
    def deleted(self) -> Deleted:
        """For a plan that deletes, which always has something to write."""
        if self.committed is None:
            raise LookupError("a plan that deletes has deleted nothing")
        return Deleted(self.committed.revision, self.committed.committed_at)


@dataclass(frozen=True, slots=True)
class Written:
    """One document as a change has left it."""

    body: Body
    version: int
    created: bool = False


class Committer:
    """Shared by the services of one process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def view(self) -> View:
        """The newest view. Raises Unavailable while nothing is loaded."""
        return newest_view(self._store)

    def run(
        self,
        actor: Actor,
        plan: Planner,
        *,
        request: tuple[Any, ...],
        operation: str | None = None,
        patience: float = PATIENCE_S,
    ) -> Outcome:
        """Plan, commit, and plan anew whenever the plan was overtaken, for `patience` seconds.

        `plan` is called with newer and newer views and raises a ServiceError to refuse; what it wants to do in a
        protected environment must pass `protection.guard`. `request` is what the
        operation stands for: the same operation with another request raises OperationConflict. An operation that was
        committed before is not planned again. Raises Unavailable, also when others were faster all the time.
        """
        operation = _scoped(actor, operation)
        fingerprint = _digest(request)
        if first := self._recall(operation, fingerprint):
            return Outcome(first)
        deadline = time.monotonic() + patience
        pauses = itertools.count()
        while True:
            try:
                made, view = self._planned(lambda view: guard(actor, view, plan(view)))
            except ServiceError:
                if first := self._recall(operation, fingerprint):
                    return Outcome(first)
                raise
            if not made.writes:
                return Outcome(None, made, view)
            try:
                committed = self._commit(actor, made, view, operation, fingerprint)
            except (Conflict, Stale) as error:
                if time.monotonic() > deadline:
                    raise Unavailable("others are changing the same too fast; try again") from error
                self._catch_up(error, next(pauses))
            else:
                return Outcome(committed) if committed.replayed else Outcome(committed, made, view)

    def _planned(self, plan: Planner) -> tuple[Plan, View]:
        """The plan, and what it was made with. Raises what `plan` raises.

        That something is refused, or is as wanted already, is believed only of the newest: this process may lag behind
        another one that has just written.
        """
        view = self.view
        try:
            made = plan(view)
        except ServiceError:
            if not self._lags(view):
                raise
        else:
            if made.writes or not self._was_behind(view):
                return made, view
        view = self.view
        return plan(view), view

    def written(self, outcome: Outcome, address: str) -> Written:
        """The document at `address` after the outcome; for a repeated request, as it was after the first.

        Raises Unavailable.
        """
        committed, plan, view = outcome.committed, outcome.plan, outcome.view
        if plan is None or view is None:
            return self._written_before(committed.revision if committed else 0, address)
        standing = view.get(address)
        if committed is not None:
            return Written(plan.writes[address] or {}, committed.revision, created=standing is None)
        if standing is None:
            raise LookupError(f"a plan wrote nothing, and there is nothing at {address}")
        return Written(standing.body, standing.version)

    def _written_before(self, revision: int, address: str) -> Written:
        with store_errors():
            entry = self._store.entry(revision)
        for change in entry.changes if entry else ():
            if change.address == address and change.after is not None:
                return Written(change.after, revision, created=change.before is None)
        raise Unavailable("the answer to this request is not in the log any more")

    def committed_at(self, revision: int, otherwise: str) -> str:
        """When a revision was committed, by the clock of Redis; `otherwise` when that cannot be learned."""
        try:
            with store_errors():
                entry = self._store.entry(revision)
        except Unavailable:
            return otherwise
        return entry.at if entry else otherwise

    def _commit(self, actor: Actor, plan: Plan, view: View, operation: str | None, fingerprint: str) -> Committed:
        versions = {address: view.version(address) for address in plan.writes}
        with store_errors():
            committed = self._store.commit(
                Commit(
                    action=plan.action,
                    actor=actor.to_json(),
                    writes=plan.writes,
                    expect=versions | dict(plan.expect),
                    touches=plan.touches,
                    base=view.revision if plan.alone else None,
                    operation=operation,
                    fingerprint=fingerprint,
                    reason=plan.reason,
                    result=plan.result,
                    details=plan.details,
                )
            )
        holding.note(committed)
        return committed

    def _recall(self, operation: str | None, fingerprint: str) -> Committed | None:
        if operation is None:
            return None
        with store_errors():
            first = self._store.recall(operation, fingerprint)
        if first:
            holding.note(first)
        return first

    def _was_behind(self, view: View) -> bool:
        """Whether Redis has more than `view`; if so, waits for it. Raises Unavailable when that cannot be learned."""
        with store_errors():
            newest = self._store.log(limit=1)
        revision = newest[0].revision if newest else 0
        if not self._store.wait_for(revision, CATCH_UP_S):
            raise Unavailable("this server lags behind the store; try again")
        return revision > view.revision

    def _lags(self, view: View) -> bool:
        try:
            return self._was_behind(view)
        except Unavailable:
            return False

    def _catch_up(self, error: Conflict | Stale, pauses: int) -> None:
        newer = error.revision if isinstance(error, Stale) else error.current_version
        self._store.wait_for(newer, CATCH_UP_S)
        # A little apart, so that two who collide do not collide again.
        time.sleep(random.uniform(0, min(LONGEST_PAUSE_S, 0.001 * 2 ** min(pauses, 10))))  # noqa: S311


def _scoped(actor: Actor, operation: str | None) -> str | None:
    """Each client has its own idempotency keys, so that none sees another's answer."""
    if operation is None:
        return None
    if not 1 <= len(operation) <= OPERATION_MAX:
        raise Invalid.at(message=f"an idempotency key has 1 to {OPERATION_MAX} characters")
    return f"{actor.token_id or actor.kind}:{operation}"


def _digest(request: tuple[Any, ...]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=list).encode("ascii")).hexdigest()
