"""OpenFeature's own clients against the real server: two workers of gunicorn under gevent, real Redis, real sockets."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from downhaul_server import rates
from limits import parse
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode, TargetingKeyMissingError
from playwright.sync_api import sync_playwright
from support import node
from support.api import open_client
from support.browser import chromium
from support.ofrep import PAYMENTS_FLAGS, flag, flags
from support.redis import FakeRedis
from support.server import Server
from support.waiting import wait_until
from werkzeug.serving import make_server

pytestmark = [pytest.mark.redis, pytest.mark.slow]

ADA = EvaluationContext("ada", {"plan": "pro"})


@dataclass
class Shop:
    """A server with flags of every kind, and keys by name."""

    server: Server
    keys: dict[str, str]

    def kill(self, name: str) -> None:
        self.server.made(f"services/checkout/flags/{name}/kill", {"reason": "a test"})

    def restore(self, name: str) -> None:
        self.server.made(f"services/checkout/flags/{name}/restore", {"reason": "a test"})

    def make(self, document: dict[str, Any]) -> None:
        self.server.made("services/checkout/flags", document)

    def all(self, by: str = "client", **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.keys[by]}", **options.pop("headers", {})}
        body = {"context": {"targetingKey": "ada"}}
        return requests.post(f"{self.server.url}/ofrep/v1/evaluate/flags", json=body, headers=headers, timeout=30)

    def stream(self, **headers: str) -> requests.Response:
        """One, as a browser opens it: with nothing but the address."""
        (told,) = self.all().json()["eventStreams"]
        return requests.get(told["url"], headers=headers, stream=True, timeout=30)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Server(tmp_path_factory.mktemp("shop") / "data") as server:
        for service in ("checkout", "payments"):
            server.made("services", {"key": service})
        paying = {"attribute": "plan", "op": "in", "values": ["pro"]}
        server.made("segments", {"key": "paying", "when": paying})
        server.made(PAYMENTS_FLAGS.removeprefix("/api/v1/"), flag("ledger", client=False))
        for each in flags():
            server.made("services/checkout/flags", each)
        shop = Shop(server, {})
        for name, kind, services in (
            ("sdk", "sdk", ["checkout"]),
            ("both", "sdk", ["*"]),
            ("client", "client", ["checkout"]),
        ):
            document = {"kind": kind, "name": name, "environment": "production", "services": services}
            shop.keys[name] = server.made("keys", document)["token"]
        yield shop


def of_python(shop: Shop, by: str = "sdk") -> OFREPProvider:
    return OFREPProvider(shop.server.url, headers_factory=lambda: {"Authorization": f"Bearer {shop.keys[by]}"})


class TestPython:
    def test_every_type_has_its_value_reason_and_variant(self, shop: Shop) -> None:
        provider = of_python(shop)
        found = {
            "plain": provider.resolve_boolean_details("plain", False, ADA),
            "rules": provider.resolve_boolean_details("rules", False, ADA),
            "needs": provider.resolve_boolean_details("checkout/needs", False, ADA),
            "text": provider.resolve_string_details("text", "", ADA),
            "whole": provider.resolve_integer_details("whole", 0, ADA),
            "broken": provider.resolve_float_details("broken", 0.0, ADA),
            "point": provider.resolve_float_details("point", 0.0, ADA),
            "object": provider.resolve_object_details("object", {}, ADA),
            "off": provider.resolve_boolean_details("off", True, ADA),
        }
        assert {name: (each.value, str(each.reason), each.variant) for name, each in found.items()} == {
            "plain": (True, "STATIC", "on"),
            "rules": (True, "TARGETING_MATCH", "on"),
            "needs": (True, "STATIC", "on"),
            "text": ("#f00", "STATIC", "one"),
            "whole": (10, "STATIC", "one"),
            "broken": (10.0, "STATIC", "one"),
            "point": (10.0, "STATIC", "one"),
            "object": ({"limits": [1, 2.0]}, "STATIC", "one"),
            "off": (False, "DISABLED", "off"),
        }
        assert found["rules"].flag_metadata == {"rule": "pro"}

    def test_a_kill_arrives_and_says_so(self, shop: Shop) -> None:
        shop.make(flag("risky"))
        shop.kill("risky")
        wait_until(lambda: not of_python(shop).resolve_boolean_details("risky", True, ADA).value, "it is killed")
        found = of_python(shop).resolve_boolean_details("risky", True, ADA)
        assert (str(found.reason), found.flag_metadata) == ("DISABLED", {"killed": True})

    def test_a_key_for_all_services_names_them(self, shop: Shop) -> None:
        assert of_python(shop, "both").resolve_boolean_details("payments/ledger", False, ADA).value is True

    def test_what_goes_wrong_has_its_error(self, shop: Shop) -> None:
        provider, nobody = of_python(shop), EvaluationContext(None, {})
        assert provider.resolve_boolean_details("plain", False, nobody).value is True
        with pytest.raises(TargetingKeyMissingError, match="user"):
            provider.resolve_boolean_details("share", False, nobody)
        with pytest.raises(Exception, match="there is no flag nope") as missing:
            provider.resolve_boolean_details("nope", False, ADA)
        assert missing.value.error_code is ErrorCode.FLAG_NOT_FOUND  # type: ignore[attr-defined]
        with pytest.raises(Exception, match="context: missing") as empty:
            provider.resolve_boolean_details("plain", False, None)
        assert empty.value.error_code is ErrorCode.INVALID_CONTEXT  # type: ignore[attr-defined]
        stranger = OFREPProvider(shop.server.url, headers_factory=lambda: {"X-API-Key": "nonsense"})
        with pytest.raises(Exception, match="unauthorized"):
            stranger.resolve_boolean_details("plain", False, ADA)

    def test_who_has_guessed_too_often_keeps_away_as_long_as_it_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(rates.LIMITS, "key", parse("1 per minute"))
        with open_client(FakeRedis(), tmp_path) as client, _serving(client.app) as url:
            provider = OFREPProvider(url, headers_factory=lambda: {"X-API-Key": "nonsense"})
            for message in ("unauthorized", "Rate limited", "paused"):
                with pytest.raises(Exception, match=message):
                    provider.resolve_boolean_details("plain", False, ADA)


@contextmanager
def _serving(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_nodes_provider_for_servers(shop: Shop) -> None:
    asked = [
        {"type": kind, "flag": name, "otherwise": otherwise, "context": context}
        for kind, name, otherwise, context in (
            ("Boolean", "rules", False, {"targetingKey": "ada", "plan": "pro"}),
            ("String", "checkout/text", "", {}),
            ("Number", "broken", 0, {}),
            ("Object", "object", {}, {}),
            ("Boolean", "share", True, {}),
            ("Boolean", "nope", True, {}),
            ("Boolean", "off", True, {"targetingKey": "ada"}),
        )
    ]
    found = node.run("server.cjs", shop.server.url, shop.keys["sdk"], given=asked)
    assert [(each["value"], each.get("errorCode") or (each["reason"], each["variant"])) for each in found] == [
        (True, ("TARGETING_MATCH", "on")),
        ("#f00", ("STATIC", "one")),
        (10, ("STATIC", "one")),
        ({"limits": [1, 2]}, ("STATIC", "one")),
        (True, "TARGETING_KEY_MISSING"),
        (True, "FLAG_NOT_FOUND"),
        (False, ("DISABLED", "off")),
    ]


def test_nodes_provider_for_browsers_hears_of_a_kill(shop: Shop) -> None:
    shop.make(flag("banner"))
    with node.running("web.cjs", shop.server.url, shop.keys["client"]) as web:
        flags_there = web.next("Ready")["flags"]
        assert flags_there["banner"]["value"] is True and "secret" not in flags_there
        web.tell({"type": "Boolean", "flag": "share", "otherwise": False})
        assert web.next("Details")["details"]["reason"] == "SPLIT"
        web.tell({"context": {"targetingKey": "ada", "plan": "pro"}})
        assert web.next("Context")["flags"]["rules"]["reason"] == "TARGETING_MATCH"
        shop.kill("banner")
        changed = web.next("ConfigurationChanged")
        assert changed["flagsChanged"] == ["banner"]
        web.tell({"type": "Boolean", "flag": "banner", "otherwise": True})
        details = web.next("Details")["details"]
        assert (details["value"], details["reason"], details["flagMetadata"]) == (False, "DISABLED", {"killed": True})
        # A change that is nothing to this user is fetched too, and not sent.
        rule = {"when": {"attribute": "user", "op": "in", "values": ["eve"]}, "serve": {"variant": "off"}}
        shop.server.call("PATCH", "/api/v1/services/checkout/flags/plain/environments/production", {"rules": [rule]})

        def statuses() -> list[int]:
            web.tell({"type": "Boolean", "flag": "plain", "otherwise": True})
            found: list[int] = web.next("Details")["statuses"]
            return found

        wait_until(lambda: len(statuses()) > len(changed["statuses"]), "it has asked again")


class TestStream:
    def lines(self, answer: requests.Response) -> Iterator[str]:
        return answer.iter_lines(decode_unicode=True)  # type: ignore[no-any-return]

    def event(self, answer: requests.Response) -> dict[str, str]:
        """The next event that has data."""
        fields: dict[str, str] = {}
        for line in self.lines(answer):
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif not line and "data" in fields:
                return fields
        pytest.fail("the stream has ended")

    def test_it_has_the_default_name_a_stable_id_and_tells_to_fetch_anew(self, shop: Shop) -> None:
        shop.make(flag("told"))
        with shop.stream() as one, shop.stream() as other:
            assert one.headers["Content-Type"].startswith("text/event-stream")
            assert one.headers["Cache-Control"] == "no-cache" and one.headers["Transfer-Encoding"] == "chunked"
            assert one.headers["Access-Control-Allow-Origin"] == "*"
            shop.kill("told")
            first, second = self.event(one), self.event(other)
            assert first.keys() == {"id", "data"} and first["id"] == second["id"]
            data = json.loads(first["data"])
            assert data["type"] == "refetchEvaluation" and data["lastModified"] > 1_700_000_000
            assert data["etag"].split(":")[1].isdecimal()
        # Whichever worker is asked, it knows by then what the event told of.
        for _ in range(4):
            asked = f"flagConfigEtag={data['etag']}&flagConfigLastModified={data['lastModified']}"
            answer = requests.post(
                f"{shop.server.url}/ofrep/v1/evaluate/flags?{asked}",
                json={"context": {}},
                headers={"Authorization": f"Bearer {shop.keys['client']}", "Connection": "close"},
                timeout=30,
            )
            (told,) = [each for each in answer.json()["flags"] if each["key"] == "told"]
            assert told["value"] is False

    def test_what_changed_before_it_was_opened_is_told_at_once(self, shop: Shop) -> None:
        shop.make(flag("between"))
        (told,) = shop.all().json()["eventStreams"]
        shop.kill("between")
        with requests.get(told["url"], stream=True, timeout=30) as late:
            event = self.event(late)
        # Who comes back and knows it already is told nothing, but that all is well.
        with requests.get(told["url"], headers={"Last-Event-ID": event["id"]}, stream=True, timeout=30) as again:
            assert next(self.lines(again)).startswith(":")

    def test_changes_that_no_client_may_see_wake_no_client(self, shop: Shop) -> None:
        shop.make(flag("inner", client=False))
        shop.make(flag("outer"))
        with shop.stream() as stream:
            lines = self.lines(stream)
            assert next(lines).startswith(":")
            shop.kill("inner")
            shop.restore("inner")
            shop.kill("outer")
            event = self.event(stream)
        (told,) = shop.all().json()["eventStreams"]
        assert event["id"] in told["url"]  # it was the last change that it told of, so the others went by

    def test_a_wrong_token_and_a_key_in_its_place_are_401(self, shop: Shop) -> None:
        address = f"{shop.server.url}/ofrep/v1/events"
        for query in ("", "?token=", "?token=dh_stream_x", f"?token={shop.keys['client']}"):
            answer = requests.get(address + query, timeout=30)
            assert (answer.status_code, answer.content) == (401, b"")

    def test_it_opens_nothing_else(self, shop: Shop) -> None:
        (told,) = shop.all().json()["eventStreams"]
        token = told["url"].partition("token=")[2].partition("&")[0]
        for headers in ({"Authorization": f"Bearer {token}"}, {"X-API-Key": token}):
            answer = requests.post(
                f"{shop.server.url}/ofrep/v1/evaluate/flags", json={"context": {}}, headers=headers, timeout=30
            )
            assert answer.status_code == 401

    def test_no_log_has_the_token(self, shop: Shop) -> None:
        with shop.stream() as stream:
            next(self.lines(stream))
        assert "/ofrep/v1/events" in shop.server.output and "dh_stream_" not in shop.server.output


GUIDE = (Path(__file__).parents[2] / "docs" / "ofrep.md").read_text(encoding="utf-8")
FIRST_STEPS = GUIDE.split("\n## First steps\n")[1].split("\n## ")[0]
MODULES = {
    "@openfeature/core": "core/dist/esm/index.js",
    "@openfeature/web-sdk": "web-sdk/dist/esm/index.js",
    "@openfeature/ofrep-core": "ofrep-web-provider/node_modules/@openfeature/ofrep-core/index.esm.js",
    "@openfeature/ofrep-web-provider": "ofrep-web-provider/index.esm.js",
}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A shop</title><link rel="icon" href="data:,">
<script type="importmap">%s</script><p id="button">Buy</p><script type="module">%s</script></html>"""


@dataclass
class Followed:
    """The guide's first steps, taken: what each printed, and the keys that were made."""

    printed: list[str]
    keys: dict[str, str]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", FIRST_STEPS, re.DOTALL)


@pytest.fixture(scope="module")
def followed(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    """As a stranger would: typed as it stands there, one after the other."""
    folder = tmp_path_factory.mktemp("stranger")
    (typed,), (python,), in_javascript = blocks("sh"), blocks("python"), blocks("js")
    (folder / "shop.py").write_text(python)
    program = node.CLIENTS / "guide.mjs"
    script = f"""set -euo pipefail
{typed}
echo; echo ----; {sys.executable} {folder}/shop.py
echo ----; {node.node()} {program}
echo ----; echo $SERVER_KEY $CLIENT_KEY"""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    told = {**os.environ, "PATH": path, "DOWNHAUL_URL": shop.server.url, "DOWNHAUL_TOKEN": shop.server.token}
    program.write_text(in_javascript[0])
    try:
        done = subprocess.run(["bash", "-c", script], env=told, capture_output=True, text=True, timeout=110)
    finally:
        program.unlink()
    assert done.returncode == 0, done.stderr
    *printed, keys = done.stdout.split("----\n")
    return Followed(printed, dict(zip(("server", "client"), keys.split(), strict=True)))


class TestGuide:
    def test_its_first_steps_work_as_they_stand_there(self, followed: Followed) -> None:
        by_curl, by_python, by_node = followed.printed
        answer = json.loads(by_curl.strip().splitlines()[-1])
        (shown,) = blocks("json")
        assert answer == json.loads(shown)
        assert by_python == "True\ngreen\n" and by_node == "true\ngreen\n"

    @pytest.mark.browser
    @pytest.mark.parametrize("number", [1, 2], ids=["with the provider", "without a library"])
    def test_its_pages_follow_in_a_real_browser_from_another_origin(
        self, shop: Shop, followed: Followed, number: int
    ) -> None:
        program = blocks("js")[number].replace("DOWNHAUL_URL", shop.server.url)
        imports = {name: f"/node_modules/@openfeature/{path}" for name, path in MODULES.items()}
        page = PAGE % (json.dumps({"imports": imports}), program.replace("CLIENT_KEY", followed.keys["client"]))
        shop.server.call("POST", "/api/v1/services/shop/flags/button/restore", {"reason": "again"})
        with _site(page) as site, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            try:
                window = browser.new_page()
                complaints: list[str] = []
                window.on("console", lambda message: complaints.append(message.text))
                window.on("pageerror", lambda error: complaints.append(str(error)))
                window.goto(f"{site}/")
                window.wait_for_function(PAINTED % "rgb(0, 170, 0)")
                shop.server.made("services/shop/flags/button/kill", {})
                window.wait_for_function(PAINTED % "rgb(136, 136, 136)")
                assert complaints == []
            finally:
                browser.close()


PAINTED = "document.querySelector('#button').style.backgroundColor === '%s'"


class _site:  # noqa: N801 - used like a function
    """A page on an origin of its own, with the clients' folder beside it. (Chromium lets no page that is made up by
    Playwright call this machine.)"""

    def __init__(self, page: str) -> None:
        self._page = page

    def __enter__(self) -> str:
        handler = functools.partial(_Files, self._page, directory=str(node.CLIENTS))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://localhost:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Files(http.server.SimpleHTTPRequestHandler):
    def __init__(self, page: str, *args: Any, **named: Any) -> None:
        self._page = page.encode("utf-8")
        super().__init__(*args, **named)

    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self._page)

    def log_message(self, *_: Any) -> None:
        pass


def test_at_the_end_of_the_server_streams_end_in_order(shop: Shop) -> None:
    """The last of this file: it ends the server."""
    with shop.stream() as stream:
        lines = stream.iter_lines(decode_unicode=True)
        assert next(lines).startswith(":")
        shop.server.send(signal.SIGTERM)
        rest = list(lines)  # would raise where the answer was broken off
        (retry,) = [line for line in rest if line.startswith("retry: ")]
        assert 0 < int(retry.partition(" ")[2]) < 30_000
    assert shop.server.stop() == 0
