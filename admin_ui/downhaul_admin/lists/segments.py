"""`/segments`: what each means in words, who uses it, and its condition to be edited."""

from __future__ import annotations

import json
from typing import Any

from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import (
    ApprovalRequired,
    InUse,
    Invalid,
    ServiceError,
    VersionMismatch,
)
from downhaul_server.services.words import people_words
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import conditions, forms, gate
from downhaul_admin.flagview import segment_names
from downhaul_admin.pages import page, see_other

AT_MOST = 100
NOBODY: dict[str, Any] = {"any": []}
"""Until somebody says who."""


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """The list, a page for each, and their forms."""

    @pages.get("/segments")
    @gate.person
    def segment_list(actor: Actor) -> Response:
        return _list(services, actor)

    @pages.post("/segments")
    @gate.person
    def create_segment(actor: Actor) -> Response:
        key = request.form.get("key", "").strip()
        try:
            wanted = {
                "key": key,
                "name": forms.text("name", 200),
                "when": _condition() if "when" in request.form else NOBODY,
            }
            services.segments.create(actor, wanted, reason=forms.text("reason"), operation=forms.operation())
        except ServiceError as error:
            return _list(services, actor, error)
        return see_other(f"/segments/{key}", note=f"{key} is there. Say who is in it; rules can name it now.")

    @pages.get("/segments/<segment>")
    @gate.person
    def segment_page(actor: Actor, segment: str) -> Response:
        return _segment(services, actor, segment)

    @pages.post("/segments/<segment>")
    @gate.person
    def change_segment(actor: Actor, segment: str) -> Response:
        reason, operation = forms.text("reason"), forms.operation()
        if request.form.get("do", "save") != "save":
            return _segment(services, actor, segment)
        try:
            wanted = {"key": segment, "name": forms.text("name", 200), "when": _condition()}
            services.segments.replace(
                actor, segment, wanted, if_match=forms.version(), reason=reason, operation=operation
            )
        except ApprovalRequired:
            return _ask(services, actor, segment, wanted, reason)
        except ServiceError as error:
            return _segment(services, actor, segment, error)
        return see_other(f"/segments/{segment}", note="Saved. It holds wherever it is used.")

    @pages.post("/segments/<segment>/delete")
    @gate.person
    def delete_segment(actor: Actor, segment: str) -> Response:
        try:
            services.segments.delete(actor, segment, if_match=forms.version(), reason=forms.text("reason"))
        except (InUse, VersionMismatch, Invalid) as error:
            return _segment(services, actor, segment, error)
        return see_other("/segments", note=f"{segment} is gone.")


def _condition() -> Any:
    """As clauses, or as JSON. Raises Invalid."""
    if "when" not in request.form:
        return conditions.to_condition(conditions.from_fields(request.form))
    try:
        return forms.json_of(request.form.get("when", ""))
    except ValueError as error:
        raise Invalid.at("when", message=str(error)) from None


def _ask(services: Services, actor: Actor, segment: str, wanted: dict[str, Any], reason: str | None) -> Response:
    try:
        review = services.reviews.open(
            actor,
            {"segment": segment, "change": {"replace": wanted}, "reason": reason},
            operation=forms.operation_of_review(),
        )
    except ServiceError as error:
        return _segment(services, actor, segment, error)
    return see_other(f"/reviews/{review['id']}", note="Asked for approval. Nothing has changed yet.")


def _list(services: Services, actor: Actor, error: ServiceError | None = None) -> Response:
    query = request.args.get("q", "").strip()
    found = services.segments.list(actor, query=query or None, limit=AT_MOST, cursor=request.args.get("cursor"))
    names = segment_names(services, actor)
    return page(
        "downhaul_admin/lists/segments.html",
        actor,
        status=forms.status_of(error),
        items=[item | {"words": people_words(item["when"], names)} for item in found.items],
        next=found.next,
        query=query,
        errors=forms.errors(error),
        typed=forms.typed("key", "name", "reason"),
        operation=forms.operation(),
    )


def _segment(services: Services, actor: Actor, segment: str, error: ServiceError | None = None) -> Response:
    found = services.segments.get(actor, segment)
    names = {key: name for key, name in segment_names(services, actor).items() if key != segment}
    users = [_user(name) for name in services.segments.users(actor, segment)]
    return page(
        "downhaul_admin/lists/segment.html",
        actor,
        status=forms.status_of(error),
        segment=found,
        words=people_words(found["when"], names),
        users=users,
        errors=forms.errors(error),
        theirs=_text(found["when"]) if isinstance(error, VersionMismatch) else None,
        typed=forms.typed("name", "when", "reason", otherwise={"name": found["name"], "when": _text(found["when"])}),
        operation=forms.operation(),
        tree=_tree(found["when"]),
        operators=conditions.operators(),
        segments=names,
        faults=conditions.faults(error),
    )


def _tree(condition: Any) -> conditions.Node:
    """What was sent, after the button that was pressed; else what is there."""
    if request.method != "POST" or "when" in request.form:
        return conditions.to_form(condition)
    return conditions.sent(request.form)


def _text(condition: Any) -> str:
    return json.dumps(condition, indent=2, ensure_ascii=False)


def _user(name: str) -> tuple[str, str]:
    """Its page, and what to call it."""
    kind, _, key = name.partition(" ")
    if kind == "segment":
        return f"/segments/{key}", name
    service, _, flag = key.partition("/")
    return f"/services/{service}/flags/{flag}", key
