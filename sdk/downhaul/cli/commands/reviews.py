"""`downhaul reviews`: what others have asked for, and what is waiting for them."""

from __future__ import annotations

from typing import Any

import click

from downhaul.cli.errors import ExitCode
from downhaul.cli.options import ENVIRONMENT, REVIEW, SERVICE, common, confirm, given, limit, reason, version, yes
from downhaul.cli.output import fields, indented, plain, table
from downhaul.cli.reviewing import opened
from downhaul.cli.session import Session
from downhaul.cli.words import clock, count, listed, when

STATUSES = click.Choice(["open", "applied", "rejected", "withdrawn", "expired", "stale"])

_review = click.argument("review", type=REVIEW, metavar="REVIEW")


@click.group()
def reviews() -> None:
    """Changes that others have to approve.

    They are asked for with `--review`: downhaul flags set SERVICE/FLAG ... --review.
    """


@reviews.command("list")
@click.option("--status", type=STATUSES, help="Only those in this status.")
@click.option("--service", type=SERVICE, help="Only those of this service.")
@click.option("-e", "--environment", type=ENVIRONMENT, help="Only those that change this environment.")
@limit
@common
def list_reviews(session: Session, limit: int | None, **filters: str | None) -> None:
    """Reviews, newest first."""
    found = session.api.list("reviews", limit=limit, **filters)
    rows = [
        (
            each["id"],
            each["status"],
            _subject(each),
            ", ".join(each["environments"]),
            each["author"],
            f"{len(each['approvals'])} of {each['approvals_needed']}",
            clock(each["at"]),
        )
        for each in found.items
    ]
    headers = ["REVIEW", "STATUS", "OF", "IN", "BY", "APPROVALS", "ASKED (UTC)"]
    session.answer_list(found, table(headers, rows), empty="There is no such review.")


@reviews.command("show")
@_review
@common
def show_review(session: Session, review: str) -> None:
    """What a review would do, and who has approved it."""
    document = session.api.get("reviews", review)
    session.answer(document, *_page(document))


@reviews.command("approve")
@_review
@version
@yes
@common
def approve(session: Session, review: str, version: int | None, yes: bool) -> ExitCode:
    """Approve a review; the last approval makes the change.

    Shows what it does, and asks. Never one's own.
    """
    if version is None:
        document = session.api.get("reviews", review)
        version = document["version"]
        for sentence in document["summary"]:
            session.say(sentence)
    confirm(f"Approve the review {review}?", yes=yes)
    return _told(session, session.api.post("reviews", review, "approve", version=version))


@reviews.command("apply")
@_review
@version
@common
def apply_review(session: Session, review: str, version: int | None) -> ExitCode:
    """Make a change that was approved by enough, where fewer approvals are demanded since."""
    return _told(session, session.api.post("reviews", review, "apply", version=version))


@reviews.command("reject")
@_review
@reason
@version
@common
def reject(session: Session, review: str, reason: str | None, version: int | None) -> ExitCode:
    """Reject a review, for all."""
    body = given(reason=reason)
    return _told(session, session.api.post("reviews", review, "reject", body=body, version=version))


@reviews.command("withdraw")
@_review
@reason
@version
@common
def withdraw(session: Session, review: str, reason: str | None, version: int | None) -> ExitCode:
    """Withdraw one's own review."""
    body = given(reason=reason)
    return _told(session, session.api.post("reviews", review, "withdraw", body=body, version=version))


@reviews.command("rebase")
@_review
@reason
@version
@common
def rebase(session: Session, review: str, reason: str | None, version: int | None) -> ExitCode:
    """Ask again for one's own stale review, of what is there now; whoever had approved it has to look again."""
    body = given(reason=reason)
    document = session.api.post("reviews", review, "rebase", body=body, version=version)
    session.answer(document, *opened(document))
    return ExitCode.OK


def _told(session: Session, document: dict[str, Any]) -> ExitCode:
    status = document["status"]
    if status == "open":
        missing = document["approvals_needed"] - len(document["approvals"])
        sentence = f"The review {document['id']} is approved by you, with {count(missing, 'approval')} to come."
    else:
        sentence = f"The review {document['id']} of {_subject(document)} is {status}."
    session.answer(document, sentence)
    return ExitCode.OK


def _page(document: dict[str, Any]) -> list[Any]:
    approvals = [f"{each['by']}, {when(each['at'])}" for each in document["approvals"]]
    pairs = [
        ("Review", document["id"]),
        ("Status", document["status"]),
        ("Of", _subject(document)),
        ("In", ", ".join(document["environments"])),
        ("Asked by", f"{document['author']}, {when(document['at'])}"),
        ("Reason", document["reason"]),
        ("Approvals", f"{len(approvals)} of {document['approvals_needed']}"),
        *(("", each) for each in approvals),
        ("Expires", when(document["expires_at"])),
    ]
    if closed := document["closed"]:
        because = f": {closed['reason']}" if closed["reason"] else ""
        pairs.append(("Ended by", f"{closed['by']}, {when(closed['at'])}{because}"))
    page: list[Any] = [fields(pairs), "", "What it does:", *_sentences(document["summary"])]
    if document["moved"]:
        page += ["", "What has changed since it was asked for:", *_sentences(document["moved"])]
    if document["may"]:
        page += ["", f"You may {listed(document['may'])} it."]
    return page


def _sentences(sentences: list[str]) -> list[Any]:
    return [indented(plain(sentence)) for sentence in sentences]


def _subject(document: dict[str, Any]) -> str:
    if document["flag"]:
        return f"{document['service']}/{document['flag']}"
    return f"segment {document['segment']}" if document["segment"] else f"environment {document['environment']}"
