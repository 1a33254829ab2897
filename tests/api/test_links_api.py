"""`/api/v1/links`, and `/k/<token>` itself."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from downhaul_server.services import links as links_module
from downhaul_server.services.tokens import make
from support.api import FLAG, Client, problem
from werkzeug.test import TestResponse

LINKS = "/api/v1/links"
LINK = {"name": "runbook", "service": "checkout", "flag": "new-checkout", "environment": "production"}
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
NOBODY = make("kill", bytes(32))


@pytest.fixture
def made(client: Client) -> dict[str, Any]:
    answer = client.post(LINKS, LINK)
    assert answer.status_code == 201
    return dict(answer.json)


@pytest.fixture
def path(made: dict[str, Any]) -> str:
    assert made["url"] == f"http://localhost/k/{made['token']}"
    return f"/k/{made['token']}"


def visit(client: Client, method: str, path: str, **options: Any) -> TestResponse:
    """As somebody without any credential; without what every answer of the API promises."""
    answer = client.app.test_client(use_cookies=False).open(path, method=method, **options)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
    return answer


def state(client: Client) -> Any:
    return client.get(f"{FLAG}/environments/production").json["killed"]


def test_a_link_from_its_birth_to_its_end(client: Client, made: dict[str, Any], path: str) -> None:
    (listed,) = client.get(LINKS).json["items"]
    assert listed == {name: value for name, value in made.items() if name not in ("url", "token")}
    done = visit(client, "POST", path)
    assert done.status_code == 200 and done.json["changed"] is True
    assert set(done.json) == {
        "revision",
        "committed_at",
        "environment",
        "flags",
        "changed",
        "name",
        "instances",
        "applied",
        "silent",
        "confirmed",
    }
    assert state(client)["by"] == "kill link runbook"
    assert client.delete(f"{LINKS}/{made['id']}").status_code == 204
    assert problem(visit(client, "POST", path)) == (404, "not-found")
    assert problem(client.delete(f"{LINKS}/{made['id']}")) == (404, "not-found")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_nothing_but_a_post_kills(client: Client, path: str, method: str) -> None:
    answer = client.app.test_client(use_cookies=False).open(path, method=method, headers={"Accept": BROWSER})
    assert answer.status_code in (200, 405)
    assert state(client) is None


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({}, None),
        ({"json": {"reason": " double charges "}}, "double charges"),
        ({"data": {"reason": "by form"}}, "by form"),
        ({"json": {"reason": 5, "wait": "soon"}}, None),
        ({"json": ["an", "alert"]}, None),
        ({"data": b"{ this is not JSON", "content_type": "application/json"}, None),
        ({"data": b"\xff\x00", "content_type": "application/octet-stream"}, None),
        ({"data": b"x" * 2_000_000, "content_type": "application/json"}, None),
        ({"data": b"x" * 2_000_000, "content_type": "application/x-www-form-urlencoded"}, None),
    ],
)
def test_it_kills_whatever_is_sent_with_it(client: Client, path: str, sent: dict[str, Any], reason: str | None) -> None:
    assert visit(client, "POST", path, **sent).status_code == 200
    assert state(client)["reason"] == reason


def test_a_post_from_another_site_kills_as_well(client: Client, path: str) -> None:
    headers = {"Origin": "https://wiki.example.com", "Sec-Fetch-Site": "cross-site"}
    assert visit(client, "POST", path, headers=headers).status_code == 200


class TestPage:
    def test_it_shows_one_button_and_what_will_happen(self, client: Client, path: str) -> None:
        page = visit(client, "GET", path, headers={"Accept": BROWSER})
        assert page.content_type == "text/html; charset=utf-8"
        assert page.text.count("<button") == 1 and 'method="post"' in page.text
        assert "checkout/new-checkout" in page.text and "production" in page.text
        assert path.removeprefix("/k/") not in page.text
        for forbidden in ("<script", "style=", "<style", "onclick", "http://", "https://"):
            assert forbidden not in page.text

    def test_the_button_kills_and_the_page_says_how_far_it_has_come(self, client: Client, path: str) -> None:
        page = visit(client, "POST", path, headers={"Accept": BROWSER}, data={"reason": "<b>fire</b>", "wait": "0"})
        assert page.status_code == 200 and "It is off" in page.text
        assert "&lt;b&gt;fire&lt;/b&gt;" in page.text and "No running process" in page.text
        assert state(client)["reason"] == "<b>fire</b>"
        again = visit(client, "GET", path, headers={"Accept": BROWSER})
        assert "It is off" in again.text and "<button" not in again.text

    def test_a_link_that_is_none_says_so_and_no_more(self, client: Client) -> None:
        page = visit(client, "GET", f"/k/{NOBODY}", headers={"Accept": BROWSER})
        assert page.status_code == 404 and "Nothing was switched off" in page.text
        assert "new-checkout" not in page.text

    def test_its_style_is_there(self, client: Client, path: str) -> None:
        page = visit(client, "GET", path, headers={"Accept": BROWSER})
        for address in re.findall(r'(?:href|src)="(/[^"]+)"', page.text):
            assert client.app.test_client().get(address).status_code == 200, address


def test_as_json_it_shows_the_same(client: Client, path: str) -> None:
    shown = visit(client, "GET", path).json
    assert (shown["flag"], shown["environment"], shown["killed"]) == ("new-checkout", "production", None)
    assert "id" not in shown and "token" not in shown
    head = visit(client, "HEAD", path)
    assert head.status_code == 200 and head.data == b""


def test_an_expired_one_is_410(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = client.post(LINKS, LINK | {"expires_at": soon}).json
    monkeypatch.setattr(links_module, "now", lambda: "2999-01-01T00:00:00.000Z")
    for method in ("GET", "POST"):
        answer = visit(client, method, f"/k/{made['token']}")
        assert problem(answer) == (410, "gone") and "new-checkout" not in answer.text
    assert state(client) is None


@pytest.mark.parametrize("by", ["killer", "viewer", "operator", "editor", "stranger", "tester"])
def test_nobody_but_an_administrator_may_handle_them(client: Client, made: dict[str, Any], by: str) -> None:
    answers = [
        client.get(LINKS, by=by),
        client.post(LINKS, LINK, by=by),
        client.delete(f"{LINKS}/{made['id']}", by=by),
    ]
    assert {problem(answer) for answer in answers} == {(403, "forbidden")}


def test_what_is_wrong_is_told_with_its_place(client: Client) -> None:
    answer = client.post(LINKS, LINK | {"flag": "nope"})
    assert problem(answer) == (422, "invalid") and answer.json["errors"][0]["pointer"] == "#/flag"
    assert problem(client.post(LINKS, LINK | {"flag": "../x"})) == (422, "invalid")
    assert problem(client.post(LINKS, {"name": "x"})) == (422, "invalid")


def test_no_log_and_no_metric_has_the_token(client: Client, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    secret = path.split("_")[2]
    for method in ("GET", "POST", "PUT"):
        client.app.test_client(use_cookies=False).open(path, method=method)
    client.get(LINKS, by=None, Authorization=f"Bearer {path.removeprefix('/k/')}")
    said = capsys.readouterr()
    assert '"path": "/k/' in said.err, "the requests are logged"
    assert secret not in said.err + said.out
    assert secret not in client.get("/metrics").text
    assert secret not in json.dumps(client.get("/api/v1/log?limit=100").json)


def test_it_is_never_limited(client: Client, path: str) -> None:
    for _ in range(100):
        client.post(f"{FLAG}/kill", by=None, Authorization="Bearer nonsense")
        assert problem(visit(client, "POST", f"/k/{NOBODY}"))[0] == 404
    assert visit(client, "POST", path).status_code == 200


class TestRotation:
    def test_a_key_is_rotated(self, client: Client) -> None:
        made = client.post("/api/v1/keys", {"kind": "api", "name": "ci", "role": "viewer"}).json
        where = f"/api/v1/keys/{made['id']}"
        assert problem(client.delete(f"{where}/previous")) == (404, "not-found")
        rotated = client.post(f"{where}/rotate", {"overlap": 60}, idempotency_key="turn")
        assert rotated.status_code == 200
        assert (
            client.post(f"{where}/rotate", {"overlap": 60}, idempotency_key="turn").json["token"]
            == rotated.json["token"]
        )
        for token in (made["token"], rotated.json["token"]):
            assert client.get(FLAG, by=None, Authorization=f"Bearer {token}").status_code == 200
        refused = client.post(f"{where}/rotate")
        assert problem(refused) == (409, "in-progress") and "/previous" in refused.json["detail"]
        assert client.delete(f"{where}/previous").status_code == 204
        assert client.get(FLAG, by=None, Authorization=f"Bearer {made['token']}").status_code == 401
        assert client.post(f"{where}/rotate").status_code == 200
        shown = client.get(where).json
        assert shown["last_used"] and shown["previous_expires"] and "token" not in shown
        assert problem(client.post(f"{where}/rotate", {"overlap": -1})) == (422, "invalid")

    def test_a_wrong_kind_of_body(self, client: Client) -> None:
        assert problem(client.post("/api/v1/keys/nope/rotate", {"overlap": True})) == (422, "invalid")
        assert problem(client.post("/api/v1/keys/nope/rotate")) == (404, "not-found")
