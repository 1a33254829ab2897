"""The document, the page made from it, and an app that keeps to it."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator
from support.api import Client


def document(client: Client) -> dict[str, Any]:
    answer = client.get("/api/v1/openapi.json", by=None)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json
    return found


def test_it_is_a_valid_openapi_3_1_document(client: Client) -> None:
    found = document(client)
    assert found["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(found).validate()


def test_every_route_is_in_it_and_nothing_else(client: Client) -> None:
    routed = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in client.app.url_map.iter_rules()
        if rule.rule.startswith(("/api/v1/", "/sdk/v1/", "/route/v1/", "/gate/v1/", "/livez", "/readyz", "/metrics"))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method) for path, item in document(client)["paths"].items() for method in item if method != "parameters"
    }
    assert described == routed - {("/api/v1/openapi.json", "get"), ("/api/v1/docs", "get")}


def test_every_operation_says_what_it_is_and_who_may_call_it(client: Client) -> None:
    names = []
    for path, item in document(client)["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            names.append(operation["operationId"])
            assert operation["summary"].strip(), path
            assert operation["security"] in ([{"token": []}], [{"sdk_key": []}], [{"sdk_key": []}, {"token": []}], [])
            assert ("401" in operation["responses"]) == bool(operation["security"])
    assert len(names) == len(set(names))


def test_the_pages_examples_have_all_that_a_body_needs(client: Client) -> None:
    page = html.unescape(client.get("/api/v1/docs", by=None).text)
    bodies = [json.loads(body) for body in re.findall(r"-d '([^']+)'", page)]
    assert {"key": "my-key", "type": "boolean"} in bodies
    assert {"key": "my-key", "when": {"segment": "my-segment"}} in bodies
    assert client.post("/api/v1/services", {"key": "my-key"}).status_code == 201


def test_conditions_are_recursive_in_it(client: Client) -> None:
    schemas = document(client)["components"]["schemas"]
    assert {"$ref": "#/components/schemas/All"} in schemas["Condition"]["oneOf"]
    assert schemas["All"]["properties"]["all"]["items"] == {"$ref": "#/components/schemas/Condition"}
    assert schemas["All"]["additionalProperties"] is False


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]


def test_the_page_shows_all_of_it_without_a_script_or_a_stranger(client: Client) -> None:
    answer = client.get("/api/v1/docs", by=None)
    page = _Page()
    page.feed(answer.text)
    assert answer.content_type == "text/html; charset=utf-8"
    assert "script" not in page.tags and "style" not in page.attributes
    assert not any(name.startswith("on") for name in page.attributes)
    assert "://" not in " ".join(page.links)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    operations = {
        operation["operationId"]
        for item in document(client)["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    }
    assert operations <= set(page.ids)
    assert {f"schema-{name}" for name in document(client)["components"]["schemas"]} <= set(page.ids)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
