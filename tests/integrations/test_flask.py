"""A real Flask application, through its test client; and its access log under gunicorn."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flask
import pytest
import requests
from downhaul.client import Client
from downhaul.integrations.flask import Downhaul
from downhaul.integrations.recording import evaluated
from downhaul.settings import SettingsError
from flask.testing import FlaskClient
from support.fakeservice import KEY, SERVICE, FakeService
from support.redis import free_port
from support.rulesets import flag
from support.waiting import wait_until

PAGE = '{% if flag("new-checkout") %}new{% else %}old{% endif %} {{ flag_value("colour", "grey") }}'


def make_app(client: Client, **options: Any) -> flask.Flask:
    """The user becomes known after Downhaul's own function has run, as in every application that makes it first."""
    app = flask.Flask("shop")
    Downhaul(app, context=lambda request: {"user": flask.g.user}, client=client, **options)

    @app.before_request
    def log_in() -> None:
        flask.g.user = flask.request.args.get("user")

    @app.get("/")
    def page() -> str:
        return flask.render_template_string(PAGE)

    @app.get("/code")
    def code() -> dict[str, bool]:
        on = client.enabled("new-checkout")
        app.logger.warning("asked")
        return {"on": on}

    @app.get("/async")
    async def code_async() -> dict[str, bool]:
        return {"on": client.enabled("new-checkout")}

    @app.get("/stream")
    def stream() -> flask.Response:
        return flask.Response(flask.stream_with_context(f"{client.enabled('new-checkout')} " for _ in range(2)))

    @app.get("/fails")
    def fails() -> str:
        client.enabled("banner")
        raise RuntimeError("the till is stuck")

    return app


@pytest.fixture
def browser(client: Client) -> FlaskClient:
    return make_app(client).test_client()


@pytest.mark.parametrize(("user", "page"), [("anna", "new #00f"), ("bert", "old #00f")])
def test_templates_have_the_flag_functions(browser: FlaskClient, user: str, page: str) -> None:
    assert browser.get(f"/?user={user}").text == page


@pytest.mark.parametrize("path", ["/code", "/async"])
def test_views_evaluate_in_the_context_of_their_request(browser: FlaskClient, client: Client, path: str) -> None:
    assert browser.get(f"{path}?user=anna").json == {"on": True}
    assert browser.get(f"{path}?user=bert").json == {"on": False}
    assert client.enabled("new-checkout") is False
    assert evaluated() == {}


def test_a_streamed_response_keeps_its_request(browser: FlaskClient) -> None:
    assert browser.get("/stream?user=anna").text == "True True "
    assert evaluated() == {}


def test_a_streamed_response_is_closed_where_nobody_fetches_it(client: Client) -> None:
    app, closed = make_app(client), []

    @app.get("/endless")
    def endless() -> flask.Response:
        def parts() -> Iterator[str]:
            try:
                while True:
                    yield f"{client.enabled('acme-only', tenant='acme')} "
            finally:
                closed.append(True)

        return flask.Response(parts())

    answer = app.test_client().get("/endless", buffered=False)
    assert next(answer.iter_encoded()) == b"True "
    answer.close()
    assert closed == [True]
    assert evaluated() == {}


def test_log_records_of_a_request_have_its_flags(browser: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    browser.get("/code?user=anna")
    browser.get("/fails")
    told = {record.getMessage().split(" on ")[0]: record.feature_flags for record in caplog.records}  # type: ignore[attr-defined]
    assert told["asked"] == {"new-checkout": "on"}
    assert told["Exception"] == {"banner": "on"}


def test_a_context_function_that_fails_does_not_break_the_request(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    app = flask.Flask("shop")
    Downhaul(app, context=lambda request: flask.abort(401), client=client)
    app.get("/")(lambda: flask.render_template_string(PAGE))
    assert app.test_client().get("/").text == "old #00f"
    assert "the context function failed" in caplog.text


def test_a_request_that_ends_before_it_begins_leaves_nothing(client: Client) -> None:
    app = flask.Flask("shop")
    app.before_request(lambda: "closed")
    Downhaul(app, context=lambda request: {"user": "anna"}, client=client)
    assert app.test_client().get("/").text == "closed"
    assert client.enabled("new-checkout") is False


def test_a_view_may_be_frozen(client: Client, publish: Callable[..., None]) -> None:
    for frozen, expected in ((True, "True"), (False, "False")):
        app = make_app(client, frozen=frozen)

        @app.get("/slow")
        def slow() -> str:
            publish(banner=flag(killed=True))
            with ThreadPoolExecutor(1) as elsewhere:
                wait_until(lambda: not elsewhere.submit(client.enabled, "banner").result(), "the kill is in force")
            return str(client.enabled("banner"))

        wait_until(lambda: client.enabled("banner"), "the flag is on")
        assert app.test_client().get("/slow").text == expected
        publish()


class TestSettings:
    def test_may_be_in_the_configuration_of_the_application(self, service: FakeService) -> None:
        client = Client()
        app = flask.Flask("shop")
        app.config |= {"DOWNHAUL_URL": service.url, "DOWNHAUL_KEY": KEY, "DOWNHAUL_SERVICE": SERVICE}
        extension = Downhaul(client=client)
        extension.init_app(app)
        assert app.extensions["downhaul"] is extension
        assert client.wait_ready(20)
        client.close()

    def test_that_are_wrong_are_told(self) -> None:
        app = flask.Flask("shop")
        app.config["DOWNHAUL_URL"] = "flags.example.com"
        with pytest.raises(SettingsError, match="url must be an address"):
            Downhaul(app, client=Client())

    def test_a_coroutine_function_is_refused(self) -> None:
        async def user_of(request: object) -> dict[str, Any]:
            return {}

        with pytest.raises(TypeError, match="must not be a coroutine function"):
            Downhaul(context=user_of)


def test_the_access_log_of_gunicorn_has_the_flags(service: FakeService, tmp_path: Path) -> None:
    """Its line is written when the request is over; the recording stays in WSGI's environ."""
    (tmp_path / "shop.py").write_text(SHOP)
    port, log = free_port(), tmp_path / "access.log"
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--no-control-socket", "shop:app"]
    log_format = "%(m)s %(U)s [%({downhaul.feature_flags}e)s]"
    environ = {**os.environ, "DOWNHAUL_URL": service.url, "DOWNHAUL_KEY": KEY, "DOWNHAUL_SERVICE": SERVICE}
    with subprocess.Popen(
        [*command, "--access-logfile", str(log), "--access-logformat", log_format], cwd=tmp_path, env=environ
    ) as process:
        try:
            wait_until(lambda: _page(port) == "new", "it answers with the flag", 30)
        finally:
            process.terminate()
            process.wait(20)
    assert "GET / [new-checkout=on]" in log.read_text()


def _page(port: int) -> str:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=5).text
    except requests.ConnectionError:
        return ""


SHOP = """
from flask import Flask, render_template_string
from downhaul.integrations.flask import Downhaul

app = Flask("shop")
Downhaul(app, context=lambda request: {"user": "anna"})


@app.get("/")
def page():
    return render_template_string('{% if flag("new-checkout") %}new{% else %}old{% endif %}')
"""
