"""Reviews: ask for a change, approve it, reject it."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from downhaul_server.api.answers import if_match, json_answer, operation, page_answer
from downhaul_server.api.auth import authenticated
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.context import services
from downhaul_server.api.schemas.reviews import (
    ReviewListQuery,
    ReviewOpenSchema,
    ReviewPageSchema,
    ReviewReasonSchema,
    ReviewSchema,
)
from downhaul_server.services.actors import Actor

blueprint = Blueprint("reviews", __name__, description="Changes of protected environments, which others approve.")

REVIEWS = "/api/v1/reviews"
REVIEW = f"{REVIEWS}/<review>"
TURN: dict[str, Any] = {"headers": ("IfMatch",), "problems": (409, 412)}


@blueprint.operation("GET", REVIEWS)
@authenticated
@blueprint.query(ReviewListQuery)
@blueprint.answers(200, ReviewPageSchema)
def list_reviews(actor: Actor, query: dict[str, Any]) -> Response:
    """List reviews, newest first."""
    return page_answer(services().reviews.list(actor, **query))


@blueprint.operation("POST", REVIEWS, problems=(404, 409))
@authenticated
@blueprint.body(ReviewOpenSchema)
@blueprint.answers(201, ReviewSchema)
def open_review(actor: Actor, body: dict[str, Any]) -> Response:
    """Ask for a change. It is checked as if it were made now, and made when enough others have approved it."""
    review = services().reviews.open(actor, body, operation=operation())
    return json_answer(review, 201, {"Location": f"{request.path}/{review['id']}"})


@blueprint.operation("GET", REVIEW)
@authenticated
@blueprint.answers(200, ReviewSchema)
def get_review(actor: Actor, review: str) -> Response:
    """Read a review: what it would do, and who has approved it."""
    return json_answer(services().reviews.get(actor, review))


@blueprint.operation("POST", f"{REVIEW}/approve", **TURN)
@authenticated
@blueprint.answers(200, ReviewSchema)
def approve_review(actor: Actor, review: str) -> Response:
    """Approve a review: exactly what it shows, never one's own. The last approval makes the change."""
    reviews = services().reviews
    version = if_match(lambda: reviews.get(actor, review))
    return json_answer(reviews.approve(actor, review, if_match=version, operation=operation()))


@blueprint.operation("POST", f"{REVIEW}/apply", **TURN)
@authenticated
@blueprint.answers(200, ReviewSchema)
def apply_review(actor: Actor, review: str) -> Response:
    """Make a change that enough have approved, where fewer are demanded now than were then."""
    reviews = services().reviews
    version = if_match(lambda: reviews.get(actor, review))
    return json_answer(reviews.apply(actor, review, if_match=version, operation=operation()))


@blueprint.operation("POST", f"{REVIEW}/reject", **TURN)
@authenticated
@blueprint.body(ReviewReasonSchema, required=False)
@blueprint.answers(200, ReviewSchema)
def reject_review(actor: Actor, body: dict[str, Any], review: str) -> Response:
    """Reject a review, for all."""
    reviews = services().reviews
    version = if_match(lambda: reviews.get(actor, review))
    return json_answer(reviews.reject(actor, review, **_why(body), if_match=version, operation=operation()))


@blueprint.operation("POST", f"{REVIEW}/withdraw", **TURN)
@authenticated
@blueprint.body(ReviewReasonSchema, required=False)
@blueprint.answers(200, ReviewSchema)
def withdraw_review(actor: Actor, body: dict[str, Any], review: str) -> Response:
    """Withdraw one's own review."""
    reviews = services().reviews
    version = if_match(lambda: reviews.get(actor, review))
    return json_answer(reviews.withdraw(actor, review, **_why(body), if_match=version, operation=operation()))


@blueprint.operation("POST", f"{REVIEW}/rebase", **TURN)
@authenticated
@blueprint.body(ReviewReasonSchema, required=False)
@blueprint.answers(200, ReviewSchema)
def rebase_review(actor: Actor, body: dict[str, Any], review: str) -> Response:
    """Ask anew for one's own stale review, of what is there now. Whoever had approved it has to look again."""
    reviews = services().reviews
    version = if_match(lambda: reviews.get(actor, review))
    return json_answer(reviews.rebase(actor, review, **_why(body), if_match=version, operation=operation()))


def _why(body: dict[str, Any]) -> dict[str, Any]:
    return {"reason": body.get("reason")}
