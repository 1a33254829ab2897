"""The blueprint that every documented route is made with: what a route takes, answers and refuses is said once."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar, cast

import flask_smorest
from flask import request
from marshmallow import Schema

from downhaul_server.api.auth import KIND
from downhaul_server.api.parsing import JSON, MERGE_PATCH, Parser
from downhaul_server.api.problems import INVALID, ProblemError, in_body
from downhaul_server.services import names

V = TypeVar("V", bound=Callable[..., Any])

WRITES = ("POST", "PUT", "PATCH", "DELETE")

_KEYS = {
    "service": ("The service's key.", names.SERVICE_KEY),
    "environment": ("The environment's key.", names.ENVIRONMENT_KEY),
    "flag": ("The flag's key.", names.FLAG_KEY),
    "segment": ("The segment's key.", names.SEGMENT_KEY),
    "review": ("The review's id.", r"[0-9a-f]{1,64}"),
    "key_id": ("The key's id.", r"[0-9A-Za-z_-]{1,64}"),
    "person_id": ("The person's id.", r"[0-9a-f]{1,64}"),
    "session_id": ("The session's id, as the list has it.", r"[0-9a-f]{1,64}"),
    "link_id": ("The kill link's id.", r"[0-9a-f]{1,64}"),
    "hook_id": ("The webhook's id.", r"[0-9a-f]{1,64}"),
}
_SECURITY: dict[str, list[dict[str, list[str]]]] = {
    "token": [{"token": []}],
    "sdk": [{"sdk_key": []}],
    "either": [{"sdk_key": []}, {"token": []}],
    "public": [],
}
_REFUSALS = {**dict.fromkeys(("token", "sdk", "either"), (401, 403, 429, 503)), "public": ()}


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """flask-smorest's, typed, with a strict parser, and with each operation's parameters and problems filled in."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, name: str, import_name: str, *, description: str) -> None:
        super().__init__(name, import_name, description=description)
        self._prepare_doc_cbks.append(_complete)

    def operation(
        self,
        method: str,
        rule: str,
        *,
        versioned: bool = False,
        operation_id: bool = True,
        headers: tuple[str, ...] = (),
        problems: tuple[int, ...] = (),
    ) -> Callable[[V], V]:
        """Route one method of one address to a view that has declared its authentication.

        `versioned`: it speaks of a document with an ETag. `operation_id`: a write takes an Idempotency-Key.
        `headers`: components of other header parameters that it takes (`openapi.py` has them).
        `problems`: statuses that it may answer beyond those that follow from its method, address and authentication.
        """

        def decorate(view: V) -> V:
            kind = getattr(view, KIND)
            _note(view, *problems, *_REFUSALS[kind], *((404,) if "<" in rule else ()), *_of_method(method, versioned))
            _documentation(view)["downhaul"] |= {
                "method": method,
                "versioned": versioned,
                "operation_id": operation_id and method in WRITES,
                "headers": headers,
            }
            _documentation(view)["manual_doc"] = {"operationId": view.__name__, "security": _SECURITY[kind]}
            parameters = [_path_parameter(name) for name in re.findall(r"<(\w+)>", rule)]
            self.add_url_rule(rule, view_func=view, methods=[method], parameters=parameters)
            return view

        return decorate

    def query(self, schema: type[Schema]) -> Callable[[V], V]:
        """The query string, loaded, is the view's next argument."""
        decorator: Callable[[V], V] = self.arguments(schema, location="query")
        return decorator

    def documented_query(self, schema: type[Schema]) -> Callable[[V], V]:
        """Only says what the query string is: the view reads it itself."""
        return only_documents(self.query(schema))

    def body(self, schema: type[Schema], *, required: bool = True) -> Callable[[V], V]:
        """The JSON body, loaded, is the view's next argument; `{}` where there is none."""
        arguments: Callable[[V], V] = self.arguments(schema, required=required)
        return lambda view: _note(_bodied(arguments(view)) if required else arguments(view), 400, 413, 415, 422)

    def answers(self, status: int, schema: type[Schema] | None = None, **options: Any) -> Callable[[V], V]:
        """Only says what the view answers: it makes the Response itself, and schemathesis holds it to this."""
        return only_documents(self.alt_response(status, schema=schema, **options))


def only_documents(decorator: Callable[[V], V]) -> Callable[[V], V]:
    """A decorator of flask-smorest for its documentation alone, without another call around the view."""

    def decorate(view: V) -> V:
        view._apidoc = decorator(view)._apidoc  # type: ignore[attr-defined]
        return view

    return decorate


def _bodied(view: V) -> V:
    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not request.get_data(cache=True):
            fault = in_body((), "expected a JSON object, there is no body")
            raise ProblemError(INVALID, fault["detail"], errors=[fault])
        return view(*args, **kwargs)

    return cast(V, checked)


def _documentation(view: Any) -> dict[str, Any]:
    """What flask-smorest keeps about this view: its own copy, not that of a view that it wraps."""
    if "_documented" not in vars(view) or vars(view)["_documented"] is not view:
        view._apidoc = deepcopy(getattr(view, "_apidoc", {}))
        view._documented = view
    documentation: dict[str, Any] = view._apidoc
    documentation.setdefault("downhaul", {"problems": set()})
    return documentation


def _note(view: V, *problems: int) -> V:
    _documentation(view)["downhaul"]["problems"] |= set(problems)
    return view


def _of_method(method: str, versioned: bool) -> tuple[int, ...]:
    if method not in WRITES:
        return ()
    return (400, 422, 412) if versioned and method != "POST" else (400, 422)


def _complete(doc: dict[str, Any], doc_info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """The last of flask-smorest's callbacks: headers and problems of one operation."""
    own = doc_info["downhaul"]
    doc["parameters"] = [*doc.get("parameters", []), *_headers(**own)]
    responses = doc.setdefault("responses", {})
    for status in sorted(own["problems"]):
        responses.setdefault(status, HTTPStatus(status).name)
    if own["method"] == "GET" and own["versioned"]:
        responses[304] = "NOT_MODIFIED"
    if own["method"] == "PATCH":
        content = doc["requestBody"]["content"]
        content[MERGE_PATCH] = {"schema": content[JSON]["schema"]}
    return doc


def _headers(method: str, versioned: bool, operation_id: bool, headers: tuple[str, ...], **_: Any) -> list[str]:
    """Names of the header parameters' components."""
    names = [*headers, "IdempotencyKey"] if operation_id else [*headers]
    if versioned:
        names += {"GET": ["IfNoneMatch"], "PUT": ["IfMatch", "IfAbsent"], "POST": []}.get(method, ["IfMatch"])
    return names


def _path_parameter(name: str) -> dict[str, Any]:
    description, pattern = _KEYS[name]
    schema = {"type": "string", "pattern": f"^({pattern})$"}
    return {"in": "path", "name": name, "description": description, "schema": schema}
