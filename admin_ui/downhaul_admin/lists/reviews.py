"""`/reviews`: changes that wait for somebody else. First in words, then what differs, then who has said what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import NotFound, ServiceError
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import forms, gate
from downhaul_admin.changes import line
from downhaul_admin.pages import page, see_other

SHOWN = 50
STATUSES = ("open", "stale", "applied", "rejected", "withdrawn", "expired")
DONE = {
    "approve": "Approved.",
    "reject": "Rejected: nothing was changed.",
    "withdraw": "Withdrawn: nothing was changed.",
    "rebase": "Asked for anew, of what is there now. Whoever had approved has to look again.",
    "apply": "Made: it holds now.",
}


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """The list, a page for each, and what can be said to it."""

    @pages.get("/reviews")
    @gate.person
    def review_list(actor: Actor) -> Response:
        status = request.args.get("status", "open")
        found = services.reviews.list(
            actor,
            status=status if status in STATUSES else None,
            limit=SHOWN,
            cursor=request.args.get("cursor"),
        )
        return page(
            "downhaul_admin/lists/reviews.html",
            actor,
            items=[item | {"name": name_of(item)} for item in found.items],
            next=found.next,
            status_shown=status,
            statuses=STATUSES,
        )

    @pages.get("/reviews/<review>")
    @gate.person
    def review_page(actor: Actor, review: str) -> Response:
        return _review(services, actor, review)

    @pages.post("/reviews/<review>")
    @gate.person
    def answer_review(actor: Actor, review: str) -> Response:
        verb, reason = request.form.get("verb", ""), forms.text("reason")
        act: dict[str, Callable[..., dict[str, Any]]] = {
            "approve": services.reviews.approve,
            "reject": services.reviews.reject,
            "withdraw": services.reviews.withdraw,
            "rebase": services.reviews.rebase,
            "apply": services.reviews.apply,
        }
        if verb not in act:
            raise NotFound("answer to a review", verb[:40] or "(none)")
        said = {"reason": reason} if verb in ("reject", "withdraw") else {}
        try:
            after = act[verb](actor, review, if_match=forms.version(), operation=forms.operation(), **said)
        except ServiceError as error:
            if isinstance(error, NotFound):
                raise
            return _review(services, actor, review, error)
        note = "Approved, and made: it holds now." if verb == "approve" and after["status"] == "applied" else DONE[verb]
        return see_other(f"/reviews/{review}", note=note)


def name_of(review: dict[str, Any]) -> str:
    """What it is about: `checkout/new-checkout`, `segment beta`, `environment production`."""
    if review["flag"]:
        return f"{review['service']}/{review['flag']}"
    if review["segment"]:
        return f"segment {review['segment']}"
    return f"environment {review['environment']}"


def _review(services: Services, actor: Actor, review: str, error: ServiceError | None = None) -> Response:
    found = services.reviews.get(actor, review)
    return page(
        "downhaul_admin/lists/review.html",
        actor,
        status=forms.status_of(error),
        review=found,
        name=name_of(found),
        path=f"/services/{found['service']}/flags/{found['flag']}"
        if found["flag"]
        else f"/segments/{found['segment']}"
        if found["segment"]
        else "/environments",
        lines=[line(change) for change in found["differences"]],
        errors=forms.errors(error),
        reason=request.form.get("reason", ""),
        operation=forms.operation(),
    )
