"""Reviews: a change that others have to approve before it is made. Their last word makes it, in one commit.

An approval is for exactly what the review shows. When that would do something else by now (the flag, a segment that its
rules name, or the environments that it reaches have changed), the review is stale until its author takes it up again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from downhaul_server.services.actors import Action, Actor, authorize
from downhaul_server.services.commit import Committer, Outcome, Plan, Planner
from downhaul_server.services.documents import check_fields, check_version, existing, now, timestamp
from downhaul_server.services.errors import Forbidden, Invalid, NotFound, ReviewClosed, ServiceError, Unavailable
from downhaul_server.services.hands import hands, related, same
from downhaul_server.services.names import address
from downhaul_server.services.pages import LIMIT, Page, page_by_key
from downhaul_server.services.review_forms import (
    author_of,
    is_visible,
    needed,
    opened,
    presented,
    shot,
    shown_now,
    subject_of,
)
from downhaul_server.services.review_subjects import Picture, Subject, Subjects
from downhaul_server.store import Document, View

FIELDS = ("service", "flag", "segment", "environment", "change", "reason")
KEPT_DAYS = 90
"""For which a review that is over can still be looked at; what it did is in the log for ever."""
REMOVED_AT_ONCE = 20
FAR_FUTURE_MS = 10**14


class Reviews:
    """Answers: see `review_forms.presented`. `status` is open, applied, rejected, withdrawn, expired or stale.

    Visible to whoever may read the service and every environment that the change reaches.
    """

    def __init__(self, committer: Committer, subjects: Subjects, default_environment: str) -> None:
        self._committer = committer
        self._subjects = subjects
        self._default_environment = default_environment

    def list(
        self,
        actor: Actor,
        *,
        status: str | None = None,
        service: str | None = None,
        environment: str | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page:
        """Newest first. Raises Forbidden."""
        authorize(actor, Action.READ, service, environment)
        view = self._committer.view
        found = [
            (_order(document), document)
            for document in view.of_kind("review/")
            if is_visible(actor, document.body)
            and service in (None, document.body["service"])
            and (environment is None or environment in document.body["environments"])
            and (status is None or self._status(view, document)[0] == status)
        ]
        return page_by_key(
            sorted(found, key=lambda pair: pair[0]),
            limit,
            cursor,
            lambda document: self._present(actor, view, document),
        )

    def get(self, actor: Actor, review: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden."""
        authorize(actor, Action.READ)
        view = self._committer.view
        return self._present(actor, view, _visible(actor, view, review))

    def open(self, actor: Actor, document: dict[str, Any], *, operation: str | None = None) -> dict[str, Any]:
        """Ask for a change: `{service, flag, environment?, change, reason}`, `{segment, change, reason}` or
        `{environment, change, reason}`.

        `change` is one of `state` (as `Flags.set_state` takes it), `replace`, `patch`, `delete: true`, `restore: true`
        of a flag; `replace` of a segment; `patch` or `delete: true` of an environment. The author needs the right to
        make it. Raises Invalid (also where no review is needed), NotFound, InUse, Forbidden.
        """
        check_fields(document, FIELDS)
        reason = (document.get("reason") or "").strip()
        if not reason:
            raise Invalid.at("reason", message="a review needs a reason")
        subject = Subject.of(document, actor, self._default_environment)
        review = secrets.token_hex(5)

        def plan(view: View) -> Plan:
            seen = self._picture(view, actor, subject, reason)
            body = opened(actor, hands(view, actor), review, subject, reason, view, seen)
            return Plan(
                action="review.open",
                writes={address("review", review): body, **_outdated(view)},
                alone=seen.plan.alone,
                reason=reason,
                result={"id": review},
            )

        outcome = self._committer.run(actor, plan, request=("review.open", document), operation=operation)
        return self._answered(actor, outcome, outcome.result["id"])

    def approve(
        self, actor: Actor, review: str, *, if_match: int | None = None, operation: str | None = None
    ) -> dict[str, Any]:
        """Say yes to exactly this; who is the last to do so makes the change. Approving twice is approving once.

        Raises NotFound, VersionMismatch, ReviewClosed (also when it is stale), and Forbidden: for the author, for
        whoever holds a token of the author's or made the author's, and without APPROVE everywhere that it reaches.
        """

        def plan(view: View) -> Plan:
            document = _visible(actor, view, review)
            own = hands(view, actor)
            if document.body["status"] in ("open", "applied") and _has_approved(document, own):
                return Plan(action="review.approve")
            check_version(document, if_match)
            seen = self._open_picture(view, document)
            self._authorize(actor, view, document)
            _check_hands(document, own, actor)
            approval = {"by": actor.name, "at": now(), "kind": actor.kind, "token": actor.token_id, "hands": list(own)}
            body = {**document.body, "approvals": [*document.body["approvals"], approval], "updated_at": now()}
            if len(body["approvals"]) < needed(view, body["environments"]):
                return Plan(action="review.approve", writes={document.address: body}, alone=seen.plan.alone)
            return _applying(document, body, seen, actor)

        return self._done(actor, review, plan, ("review.approve", review, if_match), operation)

    def apply(
        self, actor: Actor, review: str, *, if_match: int | None = None, operation: str | None = None
    ) -> dict[str, Any]:
        """Make a change that was approved by enough, where fewer are demanded now than were then.

        Raises NotFound, VersionMismatch, ReviewClosed, Invalid (too few have approved), Forbidden.
        """

        def plan(view: View) -> Plan:
            document = _visible(actor, view, review)
            check_version(document, if_match)
            seen = self._open_picture(view, document)
            for place in document.body["environments"]:
                authorize(actor, Action.EDIT, document.body["service"], place)
            there, demanded = len(document.body["approvals"]), needed(view, document.body["environments"])
            if there < demanded:
                raise Invalid.at(message=f"{there} of {demanded} have approved it")
            return _applying(document, {**document.body, "updated_at": now()}, seen, actor)

        return self._done(actor, review, plan, ("review.apply", review, if_match), operation)

    def reject(
        self,
        actor: Actor,
        review: str,
        *,
        reason: str | None = None,
        if_match: int | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Say no, for all. Needs APPROVE. Raises NotFound, VersionMismatch, ReviewClosed, Forbidden."""
        return self._close(actor, review, "rejected", self._authorize, reason, if_match, operation)

    def withdraw(
        self,
        actor: Actor,
        review: str,
        *,
        reason: str | None = None,
        if_match: int | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Its author wants it no more. Raises NotFound, VersionMismatch, ReviewClosed, Forbidden."""
        return self._close(actor, review, "withdrawn", self._check_author, reason, if_match, operation)

    def rebase(
        self,
        actor: Actor,
        review: str,
        *,
        change: dict[str, Any] | None = None,
        reason: str | None = None,
        if_match: int | None = None,
        operation: str | None = None,
    ) -> dict[str, Any]:
        """Its author asks for it anew, of what is there now; with `change` for something else of the same. Whoever had
        approved has to look again. Raises like `open`, and ReviewClosed."""

        def plan(view: View) -> Plan:
            document = _visible(actor, view, review)
            self._check_author(actor, view, document)
            check_version(document, if_match)
            status, why = self._status(view, document)
            if status not in ("open", "stale"):
                raise ReviewClosed(review, status, why)
            if status == "open" and change is None:
                return Plan(action="review.rebase")
            given = {name: document.body[name] for name in ("service", "flag", "segment", "environment")}
            subject = Subject.of(
                given | {"change": change or document.body["change"]}, actor, self._default_environment
            )
            because = (reason or "").strip() or document.body["reason"]
            seen = self._picture(view, actor, subject, because)
            body = {**document.body, **subject.to_json(), "reason": because, **shot(view, seen)}
            return Plan(action="review.rebase", writes={document.address: body}, alone=seen.plan.alone, reason=because)

        return self._done(actor, review, plan, ("review.rebase", review, change, reason, if_match), operation)

    def _close(
        self,
        actor: Actor,
        review: str,
        status: str,
        check: Callable[[Actor, View, Document], None],
        reason: str | None,
        if_match: int | None,
        operation: str | None,
    ) -> dict[str, Any]:
        action = {"rejected": "review.reject", "withdrawn": "review.withdraw"}[status]

        def plan(view: View) -> Plan:
            document = _visible(actor, view, review)
            check(actor, view, document)
            check_version(document, if_match)
            standing, why = self._status(view, document)
            if standing not in ("open", "stale"):
                raise ReviewClosed(review, standing, why)
            closed = {"by": actor.name, "at": now(), "reason": reason}
            body = {**document.body, "status": status, "closed": closed, "updated_at": now()}
            return Plan(action=action, writes={document.address: body}, alone=False, reason=reason)

        return self._done(actor, review, plan, (action, review, reason, if_match), operation)

    def _picture(self, view: View, actor: Actor, subject: Subject, reason: str) -> Picture:
        """Raises Invalid where there is nothing to review, and what the services raise."""
        seen = self._subjects.picture(view, actor, subject, reason)
        if not seen.plan.writes:
            raise Invalid.at("change", message=f"{subject.in_words} is like that already")
        if not seen.environments:
            raise Invalid.at(
                "change", message="it needs no review: make it directly. It only switches off, or changes no evaluation"
            )
        return seen

    def _open_picture(self, view: View, document: Document) -> Picture:
        """What an open review does, which is what it shows. Raises ReviewClosed."""
        status, why = self._status(view, document)
        if status != "open":
            raise ReviewClosed(document.key, status, why)
        review = document.body
        return self._subjects.picture(view, author_of(review), subject_of(review), review["reason"])

    def _status(self, view: View, document: Document) -> tuple[str, str]:
        """And a sentence about it."""
        review = document.body
        if review["status"] != "open":
            closed = review["closed"]
            return review["status"], f"{closed['by']} has {review['status']} it already"
        if review["expires_at"] <= now():
            return "expired", f"it has expired on {review['expires_at'][:10]}; open it again"
        subject = subject_of(review)
        try:
            seen = self._subjects.picture(view, author_of(review), subject, review["reason"])
        except Unavailable:
            raise
        except ServiceError as error:
            return "stale", f"{subject.in_words} has changed since, and it cannot be made any more: {error}"
        if seen.same_as(review):
            return "open", ""
        return "stale", f"{subject.in_words} has changed since, or what it reaches; its author can rebase it"

    def _authorize(self, actor: Actor, _: View, document: Document) -> None:
        for place in document.body["environments"]:
            authorize(actor, Action.APPROVE, document.body["service"], place)

    def _check_author(self, actor: Actor, view: View, document: Document) -> None:
        author = document.body["author"]
        if not same(author["hands"], hands(view, actor)):
            raise Forbidden(f"only its author, {author['name']}, may do that; an approver may reject it")

    def _done(
        self, actor: Actor, review: str, plan: Planner, request: tuple[Any, ...], operation: str | None
    ) -> dict[str, Any]:
        outcome = self._committer.run(actor, plan, request=request, operation=operation)
        return self._answered(actor, outcome, review)

    def _answered(self, actor: Actor, outcome: Outcome, review: str) -> dict[str, Any]:
        where = address("review", review)
        written = self._committer.written(outcome, where)
        return self._present(actor, self._committer.view, Document(where, written.version, written.body))

    def _present(self, actor: Actor, view: View, document: Document) -> dict[str, Any]:
        status, _ = self._status(view, document)
        current = shown_now(view, document.body) if status == "stale" else None
        may = self._may(actor, view, document, status)
        return presented(actor, view, document.body, document.version, status, current, may)

    def _may(self, actor: Actor, view: View, document: Document, status: str) -> Sequence[str]:
        """What the actor could do with it now."""
        if status not in ("open", "stale"):
            return []
        review, own = document.body, hands(view, actor)
        approver = is_visible(actor, review, Action.APPROVE)
        mine = same(review["author"]["hands"], own)
        strangers = not any(related(each["hands"], own) for each in (review["author"], *review["approvals"]))
        enough = len(review["approvals"]) >= needed(view, review["environments"])
        able = {
            "approve": status == "open" and approver and strangers,
            "reject": approver,
            "withdraw": mine,
            "rebase": mine,
            "apply": status == "open" and enough and is_visible(actor, review, Action.EDIT),
        }
        return [verb for verb, allowed in able.items() if allowed]


def _applying(document: Document, body: dict[str, Any], seen: Picture, actor: Actor) -> Plan:
    """The change and the end of its review, in one commit, under the name of whoever had the last word."""
    closed = {"by": actor.name, "at": now(), "reason": None}
    names = [each["by"] for each in body["approvals"]]
    about = {"id": document.key, "author": body["author"]["name"], "approvers": names}
    return replace(
        seen.plan,
        writes={**seen.plan.writes, document.address: {**body, "status": "applied", "closed": closed}},
        reason=body["reason"],
        result=None,
        details={"review": about},
        approved=dict.fromkeys(body["environments"], len(names)),
    )


def _visible(actor: Actor, view: View, review: str) -> Document:
    document = existing(view, "review", review)
    if not is_visible(actor, document.body):
        raise NotFound("review", review)
    return document


def _has_approved(document: Document, own: tuple[str, ...]) -> bool:
    return any(same(each["hands"], own) for each in document.body["approvals"])


def _check_hands(document: Document, own: tuple[str, ...], actor: Actor) -> None:
    """Raises Forbidden unless somebody else asked, and somebody else approved before."""
    author = document.body["author"]
    if same(author["hands"], own):
        raise Forbidden(f"{actor.name} has asked for it: somebody else has to approve it")
    for name, theirs in (
        (author["name"], author["hands"]),
        *((each["by"], each["hands"]) for each in document.body["approvals"]),
    ):
        if related(theirs, own):
            raise Forbidden(f"{actor.name} and {name} hold tokens of one hand: somebody else has to approve it")


def _order(document: Document) -> str:
    """Newest first, in the order of texts."""
    at = datetime.fromisoformat(document.body["created_at"])
    return f"{FAR_FUTURE_MS - int(at.timestamp() * 1000):015d}{document.key}"


def _outdated(view: View) -> dict[str, None]:
    """Some reviews that are over for long."""
    limit = timestamp(datetime.now(UTC) - timedelta(days=KEPT_DAYS))
    old = [
        each.address
        for each in view.of_kind("review/")
        if max(each.body["updated_at"], each.body["expires_at"]) < limit
    ]
    return dict.fromkeys(old[:REMOVED_AT_ONCE])
