"""The landing page: what it says in each state, and that it is safe to show to anybody."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import pytest
from downhaul_admin import create_blueprint
from downhaul_server.services.container import Services
from downhaul_server.settings import Settings
from flask import Flask
from flask.testing import FlaskClient

SECRET = "a-token-that-nobody-may-see"
DURABLE = {"survives_crash": "every acknowledged write"}
FOLLOWING: dict[str, Any] = {
    "state": "following",
    "reason": None,
    "revision": 4711,
    "age_s": 0.3,
    "durability": DURABLE,
    "warnings": [],
}


class Healthy:
    """Services of which only the health is asked."""

    def __init__(self, **health: Any) -> None:
        self._health = {**FOLLOWING, **health}

    def health(self) -> dict[str, Any]:
        return self._health


def client(**health: Any) -> FlaskClient:
    app = Flask("test", static_folder=None)
    settings = Settings(data_dir=Path("/secret/folder"), admin_token=SECRET, redis_url=f"redis://:{SECRET}@redis/0")
    app.register_blueprint(create_blueprint(cast(Services, Healthy(**health)), settings))
    return app.test_client()


def text_of(**health: Any) -> str:
    answer = client(**health).get("/welcome")
    assert answer.status_code == 200
    return answer.text


def test_a_healthy_server() -> None:
    page = text_of()
    assert 'class="health good"' in page
    assert "4711" in page and "just now" in page and "every acknowledged write" in page


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        ({"state": "away", "age_s": 12.0}, "12 s ago"),
        ({"state": "away", "age_s": 600.0}, "10 min ago"),
        ({"state": "away", "age_s": 7200.0}, "2 h ago"),
        ({"state": "away"}, "changes, kills too, wait until it is back"),
        ({"state": "diverged"}, "An operator must decide"),
        ({"state": "loading", "revision": None, "age_s": None, "durability": {}}, "none yet"),
        ({"warnings": ["a crash may lose the last changes"]}, "Healthy, with warnings"),
    ],
)
def test_what_is_not_well_is_said(health: dict[str, Any], expected: str) -> None:
    page = text_of(**health)
    assert expected in page
    assert 'class="health good"' not in page


@pytest.mark.parametrize(
    ("durability", "expected"),
    [
        ({"survives_failover": "what the replicas had received"}, "what the replicas had received"),
        ({"replicas": 2, "replicas_wanted": 0}, "2 connected; no change waits for one"),
        ({"replicas": 1, "replicas_wanted": 2, "replicas_confirmed": 1}, "waits for 2; 1 confirmed the last one"),
        ({"replicas": None}, "not known"),
    ],
)
def test_what_a_failover_keeps_is_said(durability: dict[str, Any], expected: str) -> None:
    page = text_of(durability={**DURABLE, **durability})
    assert "A failover keeps" in page and expected in page


def test_warnings_are_listed_and_escaped() -> None:
    assert "<li>&lt;b&gt; is wrong</li>" in text_of(warnings=["<b> is wrong"])


def test_nothing_secret_is_shown() -> None:
    page = text_of(state="away", reason=f"cannot connect to redis://:{SECRET}@redis")
    assert SECRET not in page
    assert "/secret/folder" not in page


def test_the_policy_allows_nothing_from_elsewhere_and_the_page_needs_none() -> None:
    answer = client().get("/welcome")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "style-src 'self'" in policy and "img-src 'self'" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert not re.search(r"<script|\sstyle=|\son\w+=|https?://(?!localhost)", answer.text)


def test_a_hostile_host_header_is_no_markup() -> None:
    answer = client().get("/welcome", headers={"Host": 'x"><script>'})
    assert "<script" not in answer.text


def test_every_file_that_it_names_is_served() -> None:
    browser = client()
    names = re.findall(r'(?:href|src)="(/static/[^"]+)"', browser.get("/welcome").text)
    assert len(set(names)) == 2
    assert {browser.get(name).status_code for name in names} == {200}


def test_the_page_is_well_formed() -> None:
    class Outline(HTMLParser):
        void = frozenset({"meta", "link", "img"})

        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.ids: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.ids += [value or "" for name, value in attrs if name == "id"]
            if tag not in self.void:
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    outline = Outline()
    outline.feed(text_of())
    assert not outline.open
    assert len(outline.ids) == len(set(outline.ids))


def test_everything_is_declared_public_as_the_api_declares_its_views() -> None:
    app = cast(Any, client()).application
    declared = {name: getattr(view, "downhaul_authentication", None) for name, view in app.view_functions.items()}
    assert declared["downhaul_admin.static"] == "public"
    assert set(declared.values()) <= {"public", "session"}
