"""The API takes the session of the pages too, but nothing that another site makes a browser send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from downhaul_server import browsers
from support.api import FLAG, FLAGS, STATE, Client, open_client, problem, settle
from support.redis import FakeRedis

OURS = {"sec_fetch_site": "same-origin"}


def cookie(client: Client, by: str, name: str = browsers.SECURE_COOKIE) -> str:
    actor = client.services.authenticate(client.tokens[by])
    return f"{name}={client.services.sessions.start(actor, address=None, agent='')}"  # type: ignore[arg-type]


def test_a_session_may_what_its_token_may(client: Client) -> None:
    assert client.get(FLAGS, by=None, cookie=cookie(client, "viewer")).status_code == 200
    assert client.patch(STATE, {"on": True}, by=None, cookie=cookie(client, "editor"), **OURS).status_code == 200
    answer = client.patch(STATE, {"on": False}, by=None, cookie=cookie(client, "viewer"), **OURS)
    assert problem(answer) == (403, "forbidden")


def test_a_kill_by_session(client: Client) -> None:
    assert client.post(f"{FLAG}/kill", by=None, cookie=cookie(client, "operator"), **OURS).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "nonsense"},
        {"sec_fetch_site": "cross-site", "origin": "http://localhost"},
        {"origin": "https://evil.example"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "http://localhost:9999"},
        {"origin": "null"},
        {"origin": "file://localhost"},
        {"origin": "http://["},
        {"sec_fetch_site": "same-origin", "origin": "https://evil.example"},
    ],
)
def test_what_another_site_sends_is_refused(client: Client, headers: dict[str, str]) -> None:
    for method, path, body in (("PATCH", STATE, {"on": True}), ("POST", f"{FLAG}/kill", None), ("DELETE", FLAG, None)):
        answer = client.call(method, path, body, by=None, cookie=cookie(client, "admin"), **headers)
        assert problem(answer) == (403, "forbidden"), (method, headers)
    assert client.get(FLAG).json["environments"]["production"]["on"] is False


def test_a_page_of_the_same_origin_may_say_so_by_origin_alone(client: Client) -> None:
    """Browsers send no Sec-Fetch-Site over plain HTTP."""
    answer = client.patch(STATE, {"on": True}, by=None, cookie=cookie(client, "editor"), origin="http://localhost")
    assert answer.status_code == 200


def test_a_token_needs_to_say_nothing_of_sites(client: Client) -> None:
    assert client.patch(STATE, {"on": True}, by="editor", sec_fetch_site="cross-site").status_code == 200


def test_a_session_that_was_ended_is_none(client: Client) -> None:
    held = cookie(client, "viewer")
    client.services.sessions.end(held.partition("=")[2])
    assert problem(client.get(FLAGS, by=None, cookie=held)) == (401, "unauthenticated")


def test_instances_cannot_read_with_it(client: Client) -> None:
    answer = client.get("/sdk/v1/snapshot?service=checkout", by=None, cookie=cookie(client, "admin"))
    assert problem(answer) == (403, "forbidden")


def test_the_plain_cookie_counts_only_where_the_operator_allows_it(client: Client) -> None:
    """Another host under the same domain could have set it."""
    held = cookie(client, "viewer", browsers.PLAIN_COOKIE)
    assert problem(client.get(FLAGS, by=None, cookie=held)) == (401, "unauthenticated")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Client]:
    """With limits that are reached soon."""
    with open_client(FakeRedis(), tmp_path) as client:
        settle(client)
        yield client


def test_whoever_guesses_tokens_is_slowed_down_and_nobody_else(watched: Client) -> None:
    answers = [problem(watched.get(FLAGS, by=None, authorization=f"Bearer guess-{n}")) for n in range(62)]
    assert answers[0] == (401, "unauthenticated") and answers[-1] == (429, "rate-limited")
    limited = watched.get(FLAGS, by=None, authorization="Bearer guess")
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    assert watched.get(FLAGS, by="viewer").status_code == 200, "a whole token is no guess"
    elsewhere = watched.app.test_client().get(
        FLAGS, headers={"Authorization": "Bearer x"}, environ_base={"REMOTE_ADDR": "192.0.2.9"}
    )
    assert elsewhere.status_code == 401


def test_a_kill_is_never_limited(watched: Client) -> None:
    for n in range(65):
        watched.get(FLAGS, by=None, authorization=f"Bearer guess-{n}")
    assert problem(watched.get(FLAGS, by="admin")) == (429, "rate-limited"), (
        "the administrator's own word may be guessed"
    )
    assert watched.post(f"{FLAG}/kill", by="admin").status_code == 200
    for _ in range(3):
        assert problem(watched.post(f"{FLAG}/kill", by=None, authorization="Bearer x")) == (401, "unauthenticated")
