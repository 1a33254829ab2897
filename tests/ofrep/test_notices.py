"""Streams of notices: the tokens that open them, room for browsers, and pages of other origins."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from downhaul_server.services import streams as streams_module
from downhaul_server.services.notices import WINDOW_S
from support.api import FLAGS
from support.ofrep import EVALUATE, Asked, flag, open_asked
from support.waiting import wait_until
from werkzeug.test import TestResponse

ORIGIN = "https://shop.example.com"


def path_of(asked: Asked, by: str = "client") -> str:
    """The address of the stream, as the answer for all flags has it."""
    (told,) = asked.all(by=by).json["eventStreams"]
    return str(told["url"].removeprefix("http://localhost"))


def opened(asked: Asked, path: str, method: str = "GET", **headers: str) -> TestResponse:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return asked.client.app.test_client(use_cookies=False).open(path, method=method, headers=given, buffered=False)


def status(asked: Asked, path: str) -> int:
    """Without waiting for anything that the stream may say."""
    return opened(asked, path, "HEAD").status_code


class TestTokens:
    def test_a_token_is_good_for_this_hour_and_the_next(self, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
        path, etag, now = path_of(asked), asked.all(by="client").headers["ETag"], time.time()
        statuses = {}
        for hours in (0, 1, 2, 50, -2):
            monkeypatch.setattr(asked.client.services.notices, "_wall", lambda hours=hours: now + hours * WINDOW_S)
            statuses[hours] = status(asked, path)
            # Who is told 304 keeps the address, so in another window nobody is.
            assert asked.all(by="client", If_None_Match=etag).status_code == (304 if hours == 0 else 200)
        assert statuses == {0: 200, 1: 200, 2: 401, 50: 401, -2: 401}

    def test_within_an_hour_the_address_stays_as_long_as_the_flags_do(self, asked: Asked) -> None:
        assert path_of(asked) == path_of(asked)
        before = path_of(asked)
        asked.made(flag("another"))
        assert path_of(asked).partition("&")[0] == before.partition("&")[0] and path_of(asked) != before

    def test_it_ends_with_its_key(self, asked: Asked) -> None:
        asked.key("brief", "client", ["checkout"])
        path = path_of(asked, "brief")
        (key_id,) = [
            key["id"] for key in asked.client.get("/api/v1/keys?limit=500").json["items"] if key["name"] == "brief"
        ]
        asked.client.post(f"/api/v1/keys/{key_id}/rotate", {})
        assert status(asked, path) == 200  # the key before the rotation is good for a while, and so is what it opened
        asked.client.delete(f"/api/v1/keys/{key_id}/previous")
        assert status(asked, path) == 401

    def test_no_part_of_it_can_be_made_up(self, asked: Asked) -> None:
        path = path_of(asked)
        token = path.partition("token=")[2].partition("&")[0]
        prefix, kind, key_id, window, seal = token.split("_")
        other = path_of(asked, "sdk").partition("token=")[2].split("_")[2]
        for wrong in (
            (prefix, kind, other, window, seal),
            (prefix, kind, key_id, f"{int(window, 16) + 1:x}", seal),
            (prefix, kind, key_id, window, seal[:-1] + ("0" if seal[-1] != "0" else "1")),
        ):
            assert status(asked, f"/ofrep/v1/events?token={'_'.join(wrong)}") == 401

    def test_tokens_that_have_expired_are_no_refused_attempts(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        noted: list[str] = []
        monkeypatch.setattr(asked.client.services.audit, "refused", lambda *about: noted.append(about[1]))
        path, now = path_of(asked), time.time()
        assert status(asked, "/ofrep/v1/events?token=made-up") == 401 and len(noted) == 1
        monkeypatch.setattr(asked.client.services.notices, "_wall", lambda: now + 3 * WINDOW_S)
        assert status(asked, path) == 401 and len(noted) == 1


def test_streams_of_a_revoked_key_end(asked: Asked) -> None:
    asked.key("ending", "client", ["checkout"])
    with opened(asked, path_of(asked, "ending")) as stream:
        pieces = iter(stream.response)
        assert next(pieces).startswith(b":")
        (key_id,) = [
            key["id"] for key in asked.client.get("/api/v1/keys?limit=500").json["items"] if key["name"] == "ending"
        ]
        asked.client.delete(f"/api/v1/keys/{key_id}")
        assert b"retry: " in b"".join(pieces)


def test_a_life_sign_is_no_event(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "TICK_S", 0.001)
    with opened(asked, path_of(asked)) as stream:
        pieces = iter(stream.response)
        assert [next(pieces) for _ in range(3)] == [b": heartbeat\n\n"] * 3


def test_browsers_never_take_the_room_of_instances(tmp_path: Path) -> None:
    with open_asked(tmp_path, max_streams=4) as asked:
        path = path_of(asked)
        held = [opened(asked, path) for _ in range(2)]
        for stream in held:
            next(iter(stream.response))
        # Who finds no room comes back by itself, and sooner than its provider gives the stream up.
        full = opened(asked, path)
        assert full.status_code == 200 and b"retry: 25000" in full.data
        instance = opened(asked, path_of(asked, "sdk"))
        assert next(iter(instance.response)) == b": heartbeat\n\n"
        held[0].close()
        wait_until(lambda: b"retry" not in next(iter(opened(asked, path).response)), "there is room again")


class TestOrigins:
    def preflight(self, asked: Asked, origin: str = ORIGIN) -> TestResponse:
        asking = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        return asked.client.app.test_client().options(f"{EVALUATE}/plain", headers=asking)

    def test_every_page_may_ask_unless_told_otherwise(self, asked: Asked) -> None:
        told = self.preflight(asked)
        assert told.status_code == 200 and told.headers["Access-Control-Allow-Origin"] == "*"
        assert {"authorization", "x-api-key", "content-type", "if-none-match"} <= {
            name.strip().lower() for name in told.headers["Access-Control-Allow-Headers"].split(",")
        }
        assert "POST" in told.headers["Access-Control-Allow-Methods"]
        for answer in (asked.all(Origin=ORIGIN), asked.one("nope", Origin=ORIGIN), asked.all(by=None, Origin=ORIGIN)):
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert {"ETag", "Retry-After"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        etag = asked.all().headers["ETag"]
        assert asked.all(If_None_Match=etag).headers["Access-Control-Allow-Origin"] == "*"

    def test_or_only_those_that_are_named(self, tmp_path: Path) -> None:
        with open_asked(tmp_path, ofrep_origins=(ORIGIN,)) as asked:
            answer = asked.all(Origin=ORIGIN)
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN and "Origin" in answer.headers["Vary"]
            for origin in ("https://evil.example.com", "null", f"{ORIGIN}.evil.com", "http://shop.example.com"):
                refused = asked.all(Origin=origin)
                assert refused.status_code == 200  # it is the browser that keeps it from the page
                assert "Access-Control-Allow-Origin" not in refused.headers and "Origin" in refused.headers["Vary"]
                assert "Access-Control-Allow-Origin" not in self.preflight(asked, origin).headers

    def test_the_rest_of_the_api_is_for_pages_of_its_own_origin(self, asked: Asked) -> None:
        for path in (FLAGS, "/sdk/v1/snapshot?service=checkout", "/readyz"):
            answer = asked.client.app.test_client().options(
                path, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
            )
            assert "Access-Control-Allow-Origin" not in answer.headers
