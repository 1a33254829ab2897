"""The OpenAPI 3.1 document: flask-smorest's, with our problems, headers, fields and security in it."""

from __future__ import annotations

from functools import cached_property
from http import HTTPStatus
from threading import Lock
from typing import Any, cast

import downhaul
import flask_smorest
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask

from downhaul_server.api import problems
from downhaul_server.api.blueprint import Blueprint
from downhaul_server.api.schemas.common import ProblemSchema
from downhaul_server.api.schemas.fields import Alternatives, Map

DESCRIPTION = """\
Feature flags that can be switched off everywhere, at once.

People and pipelines send an API token, instances send an SDK key: `Authorization: Bearer <token>`.
Errors are problem documents (RFC 9457) with a stable `type`. Lists answer `{items, next}`; they take `limit`, `cursor`.
Documents have an `ETag`; `If-Match` guards a change. An `Idempotency-Key` makes a write safe to repeat.
"""

_SECURITY = {
    "token": "An API token, or the administrator's token.",
    "sdk_key": "An SDK key: one environment, and the services that it names.",
}
_HEADERS = {
    "IdempotencyKey": (
        "Idempotency-Key",
        "Makes the request safe to repeat: the same key and request get the first answer, for 24 hours.",
        {"type": "string", "pattern": "^[!-~]{1,200}$"},
    ),
    "IfMatch": ("If-Match", 'Only when the document is at this version: its `ETag`, `"12"`.', {"type": "string"}),
    "IfAbsent": ("If-None-Match", "`*`: only when there is no such document yet.", {"type": "string"}),
    "LastEventId": (
        "Last-Event-ID",
        "The `id` of the last event that was applied: the stream goes on from there where it can.",
        {"type": "string"},
    ),
    "IfNoneMatch": ("If-None-Match", "The `ETag` that the client has: 304 when it is the newest.", {"type": "string"}),
}


class Api(flask_smorest.Api):  # type: ignore[misc]
    """One document for one app."""

    DEFAULT_ERROR_RESPONSE_NAME = None
    ERROR_SCHEMA = ProblemSchema

    def __init__(self, app: Flask) -> None:
        self._undescribed: list[Blueprint] = []
        self._describing = Lock()
        app.config |= {"API_TITLE": "Downhaul", "API_VERSION": downhaul.__version__, "OPENAPI_VERSION": "3.1.0"}
        plugin = MarshmallowPlugin(schema_name_resolver=_component_name)
        super().__init__(app, spec_kwargs={"marshmallow_plugin": plugin, "info": {"description": DESCRIPTION}})
        converter = cast(OpenAPIConverter, plugin.converter)
        converter.add_attribute_function(alternatives2properties)  # type: ignore[no-untyped-call]
        converter.add_attribute_function(map2properties)  # type: ignore[no-untyped-call]
        for name, description in _SECURITY.items():
            scheme = {"type": "http", "scheme": "bearer", "description": description}
            self.spec.components.security_scheme(name, scheme)

    def register_blueprint(self, blueprint: Blueprint) -> None:
        """Its routes at once, its part of the document when somebody asks for that: few processes are ever asked, and
        it takes longer than all the rest of the start."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blueprint.name] = self
        self._app.register_blueprint(blueprint)
        self._undescribed.append(blueprint)

    @property
    def document(self) -> dict[str, Any]:
        """The whole document, once everything is registered."""
        with self._describing:
            for blueprint in self._undescribed:
                blueprint.register_views_in_doc(self, self._app, self.spec, name=blueprint.name, parameters=None)
                self.spec.tag({"name": blueprint.name, "description": blueprint.description})
            self._undescribed.clear()
            return self._whole

    @cached_property
    def _whole(self) -> dict[str, Any]:
        whole: dict[str, Any] = self.spec.to_dict()
        return whole

    def _register_error_handlers(self) -> None:
        """None of flask-smorest's: `errors.py` has the one map."""

    def _register_responses(self) -> None:
        for status in {problem.status for problem in problems.ALL}:
            kinds = [problem for problem in problems.ALL if problem.status == status]
            names = ", ".join(f"`{problem.uri}`" for problem in kinds)
            response: dict[str, Any] = {
                "description": f"{kinds[0].title if len(kinds) == 1 else HTTPStatus(status).phrase} ({names}).",
                "content": {problems.CONTENT_TYPE: {"schema": ProblemSchema}},
            }
            if headers := _RESPONSE_HEADERS.get(status):
                response["headers"] = {headers[0]: {"description": headers[1], "schema": {"type": "string"}}}
            self.spec.components.response(HTTPStatus(status).name, response, lazy=True)
        self.spec.components.response(
            "NOT_MODIFIED", {"description": "What the client has is the newest.", "headers": ETAG}, lazy=True
        )

    def _register_etag_headers(self) -> None:
        for component, (name, description, schema) in _HEADERS.items():
            parameter = {"name": name, "description": description, "schema": schema}
            self.spec.components.parameter(component, "header", parameter, lazy=True)


ETAG = {"ETag": {"description": "The version, in quotes.", "schema": {"type": "string"}, "required": True}}
_RESPONSE_HEADERS = {
    401: ("WWW-Authenticate", "`Bearer`"),
    429: ("Retry-After", "Seconds."),
    503: ("Retry-After", "Seconds."),
}


def alternatives2properties(self: Any, field: Any, ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """apispec's attribute function for `Alternatives`: a component of its own, which its shapes may refer to."""
    if not isinstance(field, Alternatives):
        return {}
    components = self.spec.components
    if field.title not in components.schemas:
        components.schema(field.title, {})
        shapes = [self.resolve_nested_schema(shape) for shape in field.shapes().values()]
        components.schemas[field.title]["oneOf"] = shapes
    return dict(components.get_ref("schema", field.title))


def map2properties(self: Any, field: Any, ret: dict[str, Any], **_: Any) -> dict[str, Any]:
    """apispec's attribute function for `Map`: the names' schema, and how many there may be."""
    if not isinstance(field, Map):
        return {}
    bounds = {"maxProperties": field.most} | ({"minProperties": field.least} if field.least else {})
    return {"propertyNames": self.field2property(field.key_field), **bounds}


def _component_name(schema: Any) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")
