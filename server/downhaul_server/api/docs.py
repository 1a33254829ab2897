"""`/api/v1/openapi.json`, and the same to read: `/api/v1/docs`, without a script and without another host."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, render_template

from downhaul_server.api.auth import public
from downhaul_server.api.openapi import Api

STYLE = (Path(__file__).parent / "templates" / "docs.css").read_text(encoding="utf-8")
# The page's one style sheet is named by its hash; nothing else may load, run or frame it.
CONTENT_SECURITY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
METHODS = ("get", "post", "put", "patch", "delete")


def create_blueprint(api: Api) -> Blueprint:
    """The two routes. The document is made once, when it is first asked for."""
    blueprint = Blueprint("docs", __name__, template_folder="templates")

    @blueprint.get("/api/v1/openapi.json")
    @public
    def openapi() -> Response:
        """The OpenAPI document."""
        body = json.dumps(api.document, indent=1)
        return Response(body, headers={"Cache-Control": "no-cache"}, content_type="application/json")

    @blueprint.get("/api/v1/docs")
    @public
    def page() -> Response:
        """The OpenAPI document as a page."""
        html = render_template("docs.html", style=STYLE, **view_of(api.document))
        headers = {"Content-Security-Policy": CONTENT_SECURITY, "Cache-Control": "no-cache"}
        return Response(html, headers=headers, content_type="text/html; charset=utf-8")

    return blueprint


def view_of(document: dict[str, Any]) -> dict[str, Any]:
    """What the template shows: groups of operations, and the schemas that they speak of."""
    operations = list(_operations(document))
    groups = [
        tag | {"operations": [operation for operation in operations if tag["name"] in operation["tags"]]}
        for tag in document["tags"]
    ]
    schemas = {name: _schema(schema, document) for name, schema in sorted(document["components"]["schemas"].items())}
    return {"info": document["info"], "groups": groups, "schemas": schemas}


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield _operation(path, method, item[method], item.get("parameters", []), document)


def _operation(
    path: str, method: str, operation: dict[str, Any], shared: list[Any], document: dict[str, Any]
) -> dict[str, Any]:
    responses = {status: _resolved(answer, document) for status, answer in operation["responses"].items()}
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return operation | {
        "path": path,
        "method": method.upper(),
        "parameters": [_parameter(_resolved(given, document)) for given in [*shared, *operation.get("parameters", [])]],
        "body": _type(body) if body else None,
        "responses": {
            status: {"description": answer["description"], "type": _type(_content(answer))}
            for status, answer in sorted(responses.items())
        },
        "curl": _curl(path, method, operation, document),
    }


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    schema = parameter["schema"]
    return parameter | {"type": _type(schema), "rules": _rules(schema)}


def _curl(path: str, method: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    needed = [
        f"{given['name']}={{{given['name']}}}"
        for given in operation.get("parameters", [])
        if given.get("in") == "query" and given.get("required")
    ]
    lines = [f'curl -sS -X {method.upper()} "$DOWNHAUL_URL{path}{"?" if needed else ""}{"&".join(needed)}"']
    if operation["security"]:
        token = "DOWNHAUL_KEY" if "sdk_key" in operation["security"][0] else "DOWNHAUL_TOKEN"
        lines.append(f'-H "Authorization: Bearer ${token}"')
    body = operation.get("requestBody", {})
    if body.get("required"):
        example = json.dumps(_example(body["content"]["application/json"]["schema"], document))
        lines.append(f"-H 'Content-Type: application/json' -d '{example}'")
    return " \\\n  ".join(lines)


def _example(schema: dict[str, Any], document: dict[str, Any], name: str = "") -> Any:
    """The least that a body must have."""
    schema = _resolved(schema, document)
    if "oneOf" in schema:
        return _example(schema["oneOf"][-1], document)
    if "enum" in schema:
        return schema["enum"][0]
    members = schema.get("properties", {})
    if "properties" in schema:
        return {member: _example(members[member], document, member) for member in schema.get("required", [])}
    return f"my-{name}"


def _schema(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    required = schema.get("required", [])
    members = [
        {"name": name, "type": _type(member), "rules": _rules(member), "required": name in required, **_said(member)}
        for name, member in schema.get("properties", {}).items()
    ]
    return {"members": members, "one_of": [_type(shape) for shape in schema.get("oneOf", [])]}


def _said(member: dict[str, Any]) -> dict[str, Any]:
    return {"description": member.get("description", ""), "read_only": member.get("readOnly", False)}


def _type(schema: dict[str, Any] | None) -> dict[str, str]:
    """`{text, link}`: the name of a type, with the component to jump to in `link` where it speaks of one."""
    if not schema:
        return {"text": "any", "link": ""}
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return {"text": name, "link": name}
    for inner, text in (("items", "list of {}"), ("additionalProperties", "map of {}")):
        if isinstance(schema.get(inner), dict):
            part = _type(schema[inner])
            return {"text": text.format(part["text"]), "link": part["link"]}
    if "anyOf" in schema:
        parts = [_type(part) for part in schema["anyOf"]]
        link = next((part["link"] for part in parts if part["link"]), "")
        return {"text": " or ".join(part["text"] for part in parts), "link": link}
    kinds = schema.get("type", "any")
    return {"text": " or ".join(kinds) if isinstance(kinds, list) else kinds, "link": ""}


def _rules(schema: dict[str, Any]) -> str:
    """What a value must keep to, in few words."""
    said = {
        "enum": "one of {}",
        "format": "{}",
        "pattern": "{}",
        "minimum": "from {}",
        "maximum": "up to {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "maxItems": "at most {} items",
        "maxProperties": "at most {} members",
        "default": "default {}",
    }
    return ", ".join(text.format(_plain(schema[name])) for name, text in said.items() if name in schema)


def _plain(value: Any) -> str:
    return ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _content(answer: dict[str, Any]) -> dict[str, Any] | None:
    content = list(answer.get("content", {}).values())
    schema: dict[str, Any] | None = content[0].get("schema") if content else None
    return schema or {"type": "nothing" if not content else "text"}


def _resolved(part: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    found: Any = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    resolved: dict[str, Any] = found
    return resolved
