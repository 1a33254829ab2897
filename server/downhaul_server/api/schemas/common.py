"""What many schemas share: pages, problems, versions, query strings."""

from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, Schema
from marshmallow import fields as base

from downhaul_server.api.schemas.fields import LONG_TEXT, Int, Items, Json, QueryInt, QueryNumber, Strict, Text, Time
from downhaul_server.services.pages import LIMIT

LARGEST_PAGE = 500
LONGEST_WAIT_S = 60
READ_ONLY: dict[str, Any] = {"readOnly": True}
QUERY = 200


class Open(Schema):
    """The base of all that goes out: more members may come in later releases, clients ignore what they do not know."""

    class Meta:
        unknown = EXCLUDE


def page_of(item: type[Schema]) -> type[Schema]:
    """The schema of a list's answer."""
    members: dict[str, Any] = {
        "items": base.List(base.Nested(item), required=True),
        "next": base.String(
            required=True, allow_none=True, metadata={"description": "The `cursor` of the next page; null on the last."}
        ),
    }
    return Open.from_dict(members, name=item.__name__.removesuffix("Schema") + "Page")


class PageQuery(Strict):
    """What every list takes."""

    limit = QueryInt(1, LARGEST_PAGE, load_default=LIMIT, metadata={"description": "The most items to answer."})
    cursor = Text(longest=1000, metadata={"description": "The `next` of the page before."})


class SearchQuery(PageQuery):
    """A list that can be searched."""

    query = Text(longest=QUERY, metadata={"description": "Only what has this text in its key or name."})


class ReasonQuery(Strict):
    """Why, where the body of a write is a document; the header `X-Change-Reason` will do as well."""

    reason = Text(longest=LONG_TEXT, metadata={"description": "For the log. A protected environment demands it."})


class WaitQuery(ReasonQuery):
    """What a write takes."""

    wait = QueryNumber(
        0,
        LONGEST_WAIT_S,
        metadata={
            "description": "Seconds to wait until every instance that is concerned has applied the change; "
            "the answer then has the `acknowledgement`."
        },
    )


class Stored(Open):
    """What every stored document has in its answers."""

    version = base.Integer(
        required=True, metadata={"description": "Revision of the last change; the `ETag`, without its quotes."}
    )
    created_at = base.DateTime(required=True)
    updated_at = base.DateTime(required=True)


class SentBack(Strict):
    """The read-only parts of an answer: a document may be sent back as it came. They are ignored."""

    version = Int(0, 2**53, metadata=READ_ONLY)
    created_at = Time(metadata=READ_ONLY)
    updated_at = Time(metadata=READ_ONLY)
    acknowledgement = Json(metadata=READ_ONLY)


class FaultSchema(Open):
    """One fault, and where it is."""

    detail = base.String(required=True)
    pointer = base.String(metadata={"description": "JSON pointer into the body, as a URI fragment."})
    parameter = base.String(metadata={"description": "Name of the query parameter."})


class ProblemSchema(Open):
    """RFC 9457."""

    type = base.String(required=True, metadata={"description": "Stable; see the list of problems."})
    title = base.String(required=True)
    status = base.Integer(required=True)
    detail = base.String(required=True)
    request_id = base.String(required=True)
    errors = Items(base.Nested(FaultSchema), most=10_000)
    current_version = base.Integer(metadata={"description": "With 412: the document's version; 0 when there is none."})
    used_by = base.List(base.String(), metadata={"description": "With in-use: who uses it."})
    environments = base.List(
        base.String(), metadata={"description": "With approval-required: the protected environments that it is for."}
    )
    approvals = base.Integer(metadata={"description": "With approval-required: how many others must approve."})
    ask = base.String(metadata={"description": "With approval-required: where to open a review, with a POST."})
    review = base.String(metadata={"description": "With review-closed: the review's id."})
    review_status = base.String(metadata={"description": "With review-closed: why it cannot go on."})
    variant = base.String(metadata={"description": "With gate-closed: what the flag is."})
    reason = base.String(metadata={"description": "With gate-closed: why."})
    revision = base.Integer(metadata={"description": "With gate-closed: by which revision."})
    outcome_unknown = base.Boolean(
        metadata={
            "description": "With 503: true when the change may have been made. Retry with the same `Idempotency-Key`."
        }
    )
