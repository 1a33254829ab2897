"""The page of a flag: what it does now and why, and everything about it that can be changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from downhaul_server.services.actors import Action, Actor, authorize
from downhaul_server.services.container import Services
from downhaul_server.services.documents import copied
from downhaul_server.services.errors import ApprovalRequired, Invalid, ServiceError, VersionMismatch
from downhaul_server.services.metadata import PURPOSES
from downhaul_server.settings import Settings
from flask import Blueprint, Response, request

from downhaul_admin import conditions, flagview, forms, gate, serving
from downhaul_admin.killpages import FLAG, environment, path
from downhaul_admin.pages import page, see_other
from downhaul_admin.signin import sentence

NEW_RULE = {"when": {"all": [{"attribute": "user", "op": "in", "values": []}]}}

BECAUSE = MappingProxyType(
    {
        "STATIC": "which everyone gets",
        "DEFAULT": "because no rule matches",
        "SPLIT": "by their place in the split",
        "TARGETING_MATCH": "because a rule matches",
        "DISABLED": "because it is off",
        "KILLED": "because it is killed",
        "PREREQUISITE_FAILED": "because a flag that it needs is not as it has to be",
        "ERROR": "because it could not be decided",
    }
)
"""OpenFeature's reasons, in words."""
Change = dict[str, Any]


def add(pages: Blueprint, services: Services, settings: Settings) -> None:
    """`/services/<service>/new-flag`, the page of a flag, of a rule, and their forms."""

    @pages.get("/services/<service>/new-flag")
    @gate.person
    def new_flag(actor: Actor, service: str) -> Response:
        return _new(services, actor, service)

    @pages.post("/services/<service>/new-flag")
    @gate.person
    def create_flag(actor: Actor, service: str) -> Response:
        return _create(services, actor, service)

    @pages.get(FLAG)
    @gate.person
    def flag_page(actor: Actor, service: str, flag: str) -> Response:
        return _page(services, actor, service, flag)

    @pages.get(f"{FLAG}/explain")
    @gate.person
    def nothing_to_explain(actor: Actor, service: str, flag: str) -> Response:
        return see_other(path(service, flag))

    # Sent as a form, because attributes of somebody are no business of whoever reads addresses.
    @pages.post(f"{FLAG}/explain")
    @gate.person
    def explain(actor: Actor, service: str, flag: str) -> Response:
        return _page(services, actor, service, flag)

    @pages.post(f"{FLAG}/state")
    @gate.person
    def change_state(actor: Actor, service: str, flag: str) -> Response:
        return _save_state(services, actor, service, flag, lambda document, state: _state_change(document))

    @pages.post(f"{FLAG}/rules")
    @gate.person
    def change_rules(actor: Actor, service: str, flag: str) -> Response:
        verb, number, target = [*request.form.get("do", "").split(":"), "", ""][:3]
        which = int(number) if number.isdecimal() and len(number) < 6 else 0
        if verb == "copy":
            return _copy(services, actor, service, flag, which, target)
        return _save_state(services, actor, service, flag, lambda _, state: _moved(state, verb, which))

    @pages.get(f"{FLAG}/rules/<number>")
    @gate.person
    def rule_page(actor: Actor, service: str, flag: str, number: str) -> Response:
        return _rule(services, actor, service, flag, number)

    @pages.post(f"{FLAG}/rules/<number>")
    @gate.person
    def change_rule(actor: Actor, service: str, flag: str, number: str) -> Response:
        return _save_rule(services, actor, service, flag, number)

    @pages.post(f"{FLAG}/facts")
    @gate.person
    def change_facts(actor: Actor, service: str, flag: str) -> Response:
        return _save(services, actor, service, flag, "patch", _facts, "facts")

    @pages.post(f"{FLAG}/variants")
    @gate.person
    def change_variants(actor: Actor, service: str, flag: str) -> Response:
        return _save(services, actor, service, flag, "patch", _variants, "variants")

    @pages.post(f"{FLAG}/json")
    @gate.person
    def change_json(actor: Actor, service: str, flag: str) -> Response:
        return _save(services, actor, service, flag, "replace", lambda _: _json("json"), "json")

    @pages.post(f"{FLAG}/return")
    @gate.person
    def return_to(actor: Actor, service: str, flag: str) -> Response:
        def earlier(_: Any) -> Change:
            return services.history.version(actor, service, flag, request.form.get("revision", 0, type=int))

        return _save(services, actor, service, flag, "replace", earlier, "history")

    @pages.post(f"{FLAG}/delete")
    @gate.person
    def delete_flag(actor: Actor, service: str, flag: str) -> Response:
        reason, operation = forms.text("reason"), forms.operation()

        def refused(error: ServiceError) -> Response:
            return _page(services, actor, service, flag, error=error, where="delete")

        try:
            services.flags.delete(actor, service, flag, if_match=forms.version(), reason=reason, operation=operation)
        except ApprovalRequired:
            return _ask(services, actor, service, flag, None, {"delete": True}, refused)
        except ServiceError as error:
            return refused(error)
        return see_other(f"/services/{service}", note=f"{flag} is gone. The log keeps what it was.")


def _page(
    services: Services, actor: Actor, service: str, flag: str, *, error: ServiceError | None = None, where: str = ""
) -> Response:
    """`where`: the form that `error` is about."""
    place = environment(actor)
    authorize(actor, Action.READ, service, place)
    found = flagview.about(services, actor, service, flag, place)
    document = found["flag"]
    if where == "otherwise":
        found["serve"] = serving.sent(request.form, list(document["variants"]))
        found["shares"] = serving.shares(found["serve"], found["colours"])
    return page(
        "downhaul_admin/flag/flag.html",
        actor,
        status=forms.status_of(error),
        **found,
        **_tester(services, actor, service, flag, place),
        evaluations=flagview.evaluations(services, actor, document, place, request.args.get("over", "")),
        history=flagview.history(services, actor, service, flag),
        json=request.form.get("json") if where == "json" else flagview.as_json(document),
        theirs=flagview.as_json(document) if isinstance(error, VersionMismatch) and where == "json" else None,
        typed=_typed(document, where),
        purposes=PURPOSES,
        errors=_faults(error),
        where=where,
        reason=request.form.get("reason", ""),
        operation=forms.operation(),
    )


def _typed(document: Change, where: str) -> dict[str, Any]:
    facts = {name: document[name] or "" for name in ("description", "owner", "purpose", "expires")}
    there = {
        **facts,
        "tags": ", ".join(document["tags"]),
        "client": "on" if document["client"] else "",
        "requires": "\n".join(f"{need['flag']}: {', '.join(need['variants'])}" for need in document["requires"]),
        "off_variant": document["off_variant"],
        "variants": [(name, json.dumps(value, ensure_ascii=False)) for name, value in document["variants"].items()],
    }
    if where == "variants":
        names, values = request.form.getlist("name"), request.form.getlist("value")
        there["variants"] = [(name, value) for name, value in zip(names, values, strict=False) if name or value]
    if where not in ("facts", "variants"):
        return there
    if where == "facts":
        there["client"] = ""  # a box that is not ticked is not sent
    return there | {name: request.form[name] for name in there.keys() - {"variants"} if name in request.form}


def _faults(error: ServiceError | None) -> dict[str, str]:
    """By field; what has no field of its own names its place."""
    if not isinstance(error, Invalid):
        return forms.errors(error)
    found = {"": sentence(str(error))}
    for where, message in error.errors:
        found.setdefault(str(where[0]) if where else "", sentence(message))
    return found


def _tester(services: Services, actor: Actor, service: str, flag: str, place: str) -> dict[str, Any]:
    text = request.values.get("context")
    if text is None:
        return {"context": "user=ada", "explained": None, "context_error": None}
    try:
        context = flagview.tried(text)
    except ValueError as error:
        return {"context": text, "explained": None, "context_error": sentence(str(error))}
    explained = services.evaluate.explain(actor, service, flag, environment=place, context=context)
    return {"context": text, "explained": explained, "context_error": None, "because": BECAUSE}


def _of_the_rollout() -> bool:
    return request.form.get("do") not in ("on", "off")


def _state_change(document: Change) -> Change:
    """Of the form of one environment."""
    if not _of_the_rollout():
        return {"on": request.form["do"] == "on"}
    return {"otherwise": serving.to_serve(serving.sent(request.form, list(document["variants"])))}


def _moved(state: Change, verb: str, number: int) -> Change:
    rules = copied(state["rules"])
    at = number - 1
    if not 0 <= at < len(rules):
        raise Invalid.at(message=f"there is no rule {number} any more")
    if verb in ("on", "off"):
        rules[at] |= {"enabled": verb == "on"}
    elif verb == "remove":
        del rules[at]
    elif verb in ("up", "down"):
        to = min(max(at + (1 if verb == "down" else -1), 0), len(rules) - 1)
        rules.insert(to, rules.pop(at))
    else:
        raise Invalid.at(message="expected one of on, off, up, down, remove and copy")
    return {"rules": rules}


def _copy(services: Services, actor: Actor, service: str, flag: str, number: int, target: str) -> Response:
    """A rule to the end of another environment's."""
    place = environment(actor)
    authorize(actor, Action.READ, service, place)
    authorize(actor, Action.EDIT, service, target)
    services.catalog.get_environment(actor, place)
    document = services.flags.get(actor, service, flag)
    rules = document["environments"][place]["rules"]
    if not 0 < number <= len(rules) or target not in document["environments"]:
        error = Invalid.at(message="choose a rule, and an environment to copy it to")
        return _page(services, actor, service, flag, error=error, where="rules")
    changes = {"rules": [*document["environments"][target]["rules"], rules[number - 1]]}
    return _write_state(services, actor, service, flag, target, changes, "rules")


def _save_state(
    services: Services, actor: Actor, service: str, flag: str, change: Callable[[Change, Change], Change]
) -> Response:
    place = environment(actor)
    authorize(actor, Action.EDIT, service, place)
    where = "rules" if request.path.endswith("/rules") else "otherwise" if _of_the_rollout() else "switch"
    document = services.flags.get(actor, service, flag)
    services.catalog.get_environment(actor, place)
    try:
        # What is made from what the page showed must not meet something else.
        if (expected := forms.version()) is not None and expected != document["version"]:
            raise VersionMismatch(expected, document["version"])
        changes = change(document, document["environments"][place])
    except ServiceError as error:
        return _page(services, actor, service, flag, error=error, where=where)
    return _write_state(services, actor, service, flag, place, changes, where)


def _write_state(
    services: Services, actor: Actor, service: str, flag: str, place: str, changes: Change, where: str
) -> Response:
    reason, operation = forms.text("reason"), forms.operation()

    def refused(error: ServiceError) -> Response:
        return _page(services, actor, service, flag, error=error, where=where)

    try:
        services.flags.set_state(
            actor, service, flag, place, changes, if_match=forms.version(), reason=reason, operation=operation
        )
    except ApprovalRequired:
        return _ask(services, actor, service, flag, place, {"state": changes}, refused)
    except ServiceError as error:
        return refused(error)
    return see_other(f"{path(service, flag)}?environment={place}", note=f"Saved in {place}.")


def _save(
    services: Services,
    actor: Actor,
    service: str,
    flag: str,
    verb: str,
    made: Callable[[Change], Change],
    where: str,
) -> Response:
    """The definition, or all of it."""
    authorize(actor, Action.EDIT, service)
    reason, operation = forms.text("reason"), forms.operation()

    def refused(error: ServiceError) -> Response:
        return _page(services, actor, service, flag, error=error, where=where)

    try:
        change = made(services.flags.get(actor, service, flag))
        write = services.flags.patch if verb == "patch" else services.flags.replace
        write(actor, service, flag, change, if_match=forms.version(), reason=reason, operation=operation)
    except ApprovalRequired:
        return _ask(services, actor, service, flag, None, {verb: change}, refused)
    except ServiceError as error:
        return refused(error)
    return see_other(f"{path(service, flag)}?environment={environment(actor)}", note="Saved.")


def _ask(
    services: Services,
    actor: Actor,
    service: str,
    flag: str,
    place: str | None,
    change: Change,
    refused: Callable[[ServiceError], Response],
) -> Response:
    """Where others have to approve it, they are asked; `refused` shows the form again, as it was typed."""
    wanted = {"service": service, "flag": flag, "change": change, "reason": forms.text("reason")}
    operation = forms.operation_of_review()
    try:
        review = services.reviews.open(actor, wanted | ({"environment": place} if place else {}), operation=operation)
    except ServiceError as error:
        return refused(error)
    return see_other(f"/reviews/{review['id']}", note="Asked for approval. Nothing has changed yet.")


def _facts(_: Change) -> Change:
    return {
        "description": request.form.get("description", "").strip(),
        "owner": request.form.get("owner", "").strip(),
        "purpose": request.form.get("purpose", "release"),
        "expires": request.form.get("expires", "").strip() or None,
        "tags": forms.words("tags"),
        "client": request.form.get("client") == "on",
    }


def _variants(document: Change) -> Change:
    found: dict[str, Any] = {}
    for name, text in zip(request.form.getlist("name"), request.form.getlist("value"), strict=False):
        if name.strip():
            found[name.strip()] = _value(document["type"], name, text)
    gone = {name: None for name in document["variants"] if name not in found}
    return {
        "variants": found | gone,
        "off_variant": request.form.get("off_variant", ""),
        "requires": [_need(line) for line in request.form.get("requires", "").splitlines() if line.strip()],
    }


def _value(kind: str, name: str, text: str) -> Any:
    try:
        return forms.json_of(text)
    except ValueError:
        if kind == "string":
            return text
        raise Invalid.at("variants", message=f"the value of {name} has to be JSON, as true, 3 or [1, 2]") from None


def _need(line: str) -> Change:
    flag, sign, variants = line.partition(":")
    names = [name.strip() for name in variants.split(",") if name.strip()]
    if not sign or not names:
        raise Invalid.at("requires", message=f"expected flag: variant, variant; found {line.strip()!r}")
    return {"flag": flag.strip(), "variants": names}


def _json(name: str) -> Change:
    """Raises Invalid."""
    try:
        found = forms.json_of(request.form.get(name, ""))
    except ValueError as error:
        raise Invalid.at(name, message=str(error)) from None
    if not isinstance(found, dict):
        raise Invalid.at(name, message="expected an object")
    return found


def _rule(
    services: Services,
    actor: Actor,
    service: str,
    flag: str,
    number: str,
    *,
    error: ServiceError | None = None,
    sent: bool = False,
) -> Response:
    place = environment(actor)
    authorize(actor, Action.EDIT, service, place)
    found = flagview.about(services, actor, service, flag, place)
    document, rules = found["flag"], found["state"]["rules"]
    new = number == "new"
    if not sent and not new and not (number.isdecimal() and 0 < int(number) <= len(rules)):
        error = Invalid.at(message=f"there is no rule {number}")
        return _page(services, actor, service, flag, error=error, where="rules")
    variants = list(document["variants"])
    rule = NEW_RULE | {"serve": {"variant": variants[0]}} if new or sent else rules[int(number) - 1]
    typed = serving.sent(request.form, variants) if sent else serving.to_fields(rule["serve"], variants)
    tree = conditions.sent(request.form) if sent else conditions.to_form(rule["when"])
    return page(
        "downhaul_admin/flag/rule.html",
        actor,
        status=forms.status_of(error),
        live=False,
        **found | {"serve": typed, "shares": serving.shares(typed, found["colours"])},
        number=number,
        name=request.form.get("name", "") if sent else rule.get("name") or "",
        tree=tree,
        operators=conditions.operators(),
        version=request.form.get("version", "") if sent else document["version"],
        faults=conditions.faults(error),
        errors=forms.errors(error),
        theirs=isinstance(error, VersionMismatch),
        at=_at(number, rules) if isinstance(error, VersionMismatch) or "at" in request.form else None,
        reason=request.form.get("reason", ""),
        operation=forms.operation(),
    )


def _at(number: str, rules: Any) -> str:
    """Which rule the one that was typed may stand for, after somebody else has changed them: a number, or `new`."""
    if "at" in request.form:
        return request.form["at"]
    name = request.form.get("name", "").strip()
    same = [place for place, rule in enumerate(rules, 1) if name and rule.get("name") == name]
    return str(same[0]) if len(same) == 1 and number != "new" else "new"


def _save_rule(services: Services, actor: Actor, service: str, flag: str, number: str) -> Response:
    place, reason, operation = environment(actor), forms.text("reason"), forms.operation()
    authorize(actor, Action.EDIT, service, place)
    document = services.flags.get(actor, service, flag)
    services.catalog.get_environment(actor, place)
    if request.form.get("do", "save") != "save":
        return _rule(services, actor, service, flag, number, sent=True)
    rules = copied(document["environments"][place]["rules"])

    def refused(error: ServiceError) -> Response:
        return _rule(services, actor, service, flag, number, error=error, sent=True)

    try:
        if (expected := forms.version()) is not None and expected != document["version"]:
            raise VersionMismatch(expected, document["version"])
        made = {
            "name": request.form.get("name", "").strip(),
            "when": conditions.to_condition(conditions.from_fields(request.form)),
            "serve": serving.to_serve(serving.sent(request.form, list(document["variants"]))),
        }
        at = request.form.get("at", number)
        if at == "new":
            rules.append(made)
        elif at.isdecimal() and 0 < int(at) <= len(rules):
            rules[int(at) - 1] |= made
        else:
            raise Invalid.at(message=f"there is no rule {at} any more")
        services.flags.set_state(
            actor, service, flag, place, {"rules": rules}, if_match=expected, reason=reason, operation=operation
        )
    except ApprovalRequired:
        return _ask(services, actor, service, flag, place, {"state": {"rules": rules}}, refused)
    except ServiceError as error:
        return refused(error)
    return see_other(f"{path(service, flag)}?environment={place}", note=f"The rule is saved in {place}.")


def _new(services: Services, actor: Actor, service: str, error: ServiceError | None = None) -> Response:
    services.catalog.get_service(actor, service)
    authorize(actor, Action.EDIT, service)
    return page(
        "downhaul_admin/flag/new.html",
        actor,
        status=forms.status_of(error),
        live=False,
        service=service,
        purposes=PURPOSES,
        errors=_faults(error) if isinstance(error, Invalid) else forms.errors(error),
        typed=forms.typed(
            *("key", "type", "description", "owner", "purpose", "tags", "expires", "client"),
            *("variants", "off_variant", "reason"),
        )
        | ({} if request.method == "POST" else {"type": "boolean", "purpose": "release"}),
        operation=forms.operation(),
    )


def _create(services: Services, actor: Actor, service: str) -> Response:
    key, kind = request.form.get("key", "").strip(), request.form.get("type", "boolean")
    try:
        wanted = {"key": key, "type": kind, **_facts({})}
        if kind != "boolean":
            lines = [line for line in request.form.get("variants", "").splitlines() if line.strip()]
            wanted["variants"] = dict(_named(line, kind) for line in lines)
            wanted["off_variant"] = request.form.get("off_variant", "").strip()
        services.flags.create(actor, service, wanted, reason=forms.text("reason"), operation=forms.operation())
    except ServiceError as error:
        return _new(services, actor, service, error)
    return see_other(path(service, key), note=f"{key} is there, and off everywhere.")


def _named(line: str, kind: str) -> tuple[str, Any]:
    name, sign, value = line.partition("=")
    if not sign or not name.strip():
        raise Invalid.at("variants", message=f"expected name=value, found {line.strip()!r}")
    return name.strip(), _value(kind, name.strip(), value.strip())
