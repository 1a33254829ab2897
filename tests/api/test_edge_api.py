"""`/route` and `/gate`: what proxies and pipelines ask. The one fails open, the other closed."""

from __future__ import annotations

from typing import Any

import pytest
from downhaul_server.api.routes import Routes
from downhaul_server.services.errors import Unavailable
from downhaul_server.services.snapshots import Snapshots
from downhaul_server.store.view import Freshness
from support.api import FLAG, FLAGS, STATE, Client, problem
from support.waiting import wait_until

ROUTE, GATE = "/route/v1/checkout/new-checkout", "/gate/v1/checkout/new-checkout"
COLORS = {"key": "color", "type": "string", "variants": {"blue": "b", "green": "g"}, "off_variant": "blue"}
VARIANT = "X-Downhaul-Variant"


@pytest.fixture
def on(client: Client) -> Client:
    """The flag is on, for everybody."""
    client.patch(STATE, {"on": True})
    return client


@pytest.fixture
def split(client: Client) -> Client:
    """A flag of two colours, half of the users green."""
    client.post(FLAGS, COLORS)
    shares = [{"variant": "green", "weight": 50_000}, {"variant": "blue", "weight": 50_000}]
    client.patch(f"{FLAGS}/color/environments/production", {"on": True, "otherwise": {"split": shares, "by": "user"}})
    return client


class TestRoute:
    def test_it_names_the_variant_in_a_header_and_tells_why_in_the_body(self, on: Client) -> None:
        answer = on.get(ROUTE, by="sdk")
        assert answer.status_code == 200
        assert answer.headers[VARIANT] == "on"
        assert answer.headers["X-Downhaul-Reason"] == "STATIC"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.json == {
            "service": "checkout",
            "flag": "new-checkout",
            "environment": "production",
            "variant": "on",
            "value": True,
            "reason": "STATIC",
            "rule": None,
            "error_code": None,
            "revision": on.get(FLAG).json["version"],
        }

    def test_a_kill_is_in_the_next_answer(self, on: Client) -> None:
        on.post(f"{FLAG}/kill")
        answer = on.get(ROUTE, by="sdk")
        assert (answer.headers[VARIANT], answer.headers["X-Downhaul-Reason"]) == ("off", "KILLED")

    def test_it_may_be_kept_for_an_outage_and_is_asked_for_each_time(self, split: Client) -> None:
        path = "/route/v1/checkout/color?user=7"
        first = split.get(path, by="sdk")
        assert first.headers["X-Accel-Expires"] == "@1"
        again = split.get(path, by="sdk", if_none_match=first.headers["ETag"])
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers[VARIANT] == first.headers[VARIANT]
        split.post(f"{FLAGS}/color/kill")
        assert split.get(path, by="sdk", if_none_match=first.headers["ETag"]).status_code == 200
        no_answer = split.get("/route/v1/checkout/nothing?default=blue", by="sdk")
        assert (no_answer.headers["X-Accel-Expires"], no_answer.headers["Cache-Control"]) == ("0", "no-store")

    def test_a_user_has_the_side_that_the_engine_gives_them(self, split: Client) -> None:
        sides = {}
        for number in range(40):
            user = f"user-{number}"
            answer = split.get("/route/v1/checkout/color", by="sdk", X_Downhaul_User=user)
            body = {"environment": "production", "context": {"user": user}}
            explained = split.post(f"{FLAGS}/color/explain", body).json
            assert answer.headers[VARIANT] == explained["variant"]
            sides[user] = explained["variant"]
        assert set(sides.values()) == {"blue", "green"}

    def test_a_user_who_is_not_said_or_empty_gets_the_off_variant_and_it_shows(self, split: Client) -> None:
        for path, headers in (("", {}), ("?user=", {}), ("", {"X_Downhaul_User": ""})):
            answer = split.get(f"/route/v1/checkout/color{path}", by="sdk", **headers)
            assert answer.headers[VARIANT] == "blue"
            assert answer.headers["X-Downhaul-Error"] == "TARGETING_KEY_MISSING"
        assert 'reason="TARGETING_KEY_MISSING"' in split.get("/metrics", by=None).text

    @pytest.mark.parametrize(
        ("query", "headers"),
        [
            ("?plan=pro&app_version=2.1.0", {}),
            ("", {"X-Downhaul-Attribute-Plan": "pro", "X-Downhaul-Attribute-App-Version": "2.1.0"}),
            ("?plan=free&app_version=2.1.0", {"X-Downhaul-Attribute-Plan": "pro"}),
        ],
        ids=["in the query", "in headers", "a header wins"],
    )
    def test_the_context_is_in_query_and_headers(self, client: Client, query: str, headers: dict[str, str]) -> None:
        when = {
            "all": [
                {"attribute": "plan", "op": "in", "values": ["pro"]},
                {"attribute": "app_version", "op": "semver_gte", "values": ["2.0.0"]},
            ]
        }
        rules = [{"name": "pro", "when": when, "serve": {"variant": "on"}}]
        client.patch(STATE, {"on": True, "rules": rules, "otherwise": {"variant": "off"}})
        answer = client.get(f"{ROUTE}{query}", by="sdk", **headers)
        assert (answer.headers[VARIANT], answer.json["rule"]) == ("on", "pro")
        assert client.get(ROUTE, by="sdk").headers[VARIANT] == "off"

    def test_text_beyond_ascii_is_the_same_in_query_and_header(self, client: Client) -> None:
        rules = [
            {"name": "", "when": {"attribute": "user", "op": "in", "values": ["jürgen"]}, "serve": {"variant": "on"}}
        ]
        client.patch(STATE, {"on": True, "rules": rules, "otherwise": {"variant": "off"}})
        assert client.get(f"{ROUTE}?user=j%C3%BCrgen", by="sdk").headers[VARIANT] == "on"
        as_bytes = "jürgen".encode().decode("latin-1")
        assert client.get(ROUTE, by="sdk", X_Downhaul_User=as_bytes).headers[VARIANT] == "on"
        assert client.get(ROUTE, by="sdk", X_Downhaul_User="jürgen").headers[VARIANT] == "on"

    def test_a_variants_name_is_safe_in_a_header(self, client: Client) -> None:
        variants = {"grün\r\nX-Evil: 1": "g", "blue": "b"}
        client.post(FLAGS, {"key": "odd", "type": "string", "variants": variants, "off_variant": "grün\r\nX-Evil: 1"})
        answer = client.get("/route/v1/checkout/odd", by="sdk")
        assert answer.headers[VARIANT] == "gr%C3%BCn%0D%0AX-Evil:%201"
        assert "X-Evil" not in answer.headers
        assert answer.json["variant"] == "grün\r\nX-Evil: 1"

    def test_what_is_decided_here_is_counted_as_evaluations(self, split: Client) -> None:
        served = {"blue": 0, "green": 0}
        for number in range(20):
            served[split.get(f"/route/v1/checkout/color?user={number}", by="sdk").headers[VARIANT]] += 1
        split.get("/gate/v1/checkout/color?user=1&variant=green", by="sdk")
        metrics = split.get("/metrics", by=None).text
        for variant, number in served.items():
            labels = f'flag="color",reason="SPLIT",service="checkout",variant="{variant}"'
            assert f"downhaul_routes_total{{{labels}}} {float(number)}" in metrics
        wait_until(lambda: _evaluations(split) == 21, "the evaluations have been counted")


class TestRouteFailsOpen:
    @pytest.mark.parametrize("path", ["/route/v1/checkout/nothing", "/route/v1/nothing/flag"])
    def test_where_there_is_no_such_flag_the_default_is_answered(self, client: Client, path: str) -> None:
        for query, variant in (("?default=blue", "blue"), ("", "")):
            answer = client.get(path + query, by="viewer")
            assert answer.status_code == 200
            assert answer.headers[VARIANT] == variant
            assert answer.headers["X-Downhaul-Error"] == "FLAG_NOT_FOUND"
            assert answer.json["variant"] == (variant or None)

    def test_another_services_flag_that_is_only_required_is_none_of_this_one(self, client: Client) -> None:
        client.post("/api/v1/services/payments/flags", {"key": "ledger", "type": "boolean"})
        client.patch(FLAG, {"requires": [{"flag": "payments/ledger", "variants": ["on"]}]})
        answer = client.get("/route/v1/checkout/payments%2Fledger?default=blue", by="sdk")
        assert answer.headers[VARIANT] == "blue"

    def test_before_anything_is_loaded_the_default_is_answered(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        holder = client.services.authenticate(client.tokens["sdk"])
        monkeypatch.setattr(client.services, "authenticate", lambda token: holder)
        monkeypatch.setattr(Snapshots, "view", property(_unavailable))
        answer = client.get(f"{ROUTE}?default=blue", by="sdk")
        assert (answer.status_code, answer.headers[VARIANT]) == (200, "blue")
        assert answer.headers["X-Downhaul-Error"] == "PROVIDER_NOT_READY"
        assert problem(client.get(GATE, by="sdk")) == (503, "unavailable")

    def test_while_redis_is_away_it_is_answered_from_memory_with_its_age(
        self, on: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Freshness, "age_s", 90.0)
        answer = on.get(ROUTE, by="sdk")
        assert (answer.headers[VARIANT], answer.headers["Age"]) == ("on", "90")

    def test_every_refusal_names_a_variant_too_so_that_a_visitors_header_is_never_taken(self, client: Client) -> None:
        theirs = {"X_Downhaul_Variant": "green"}
        refused = [
            client.get(f"{ROUTE}?default=blue", by=None, **theirs),
            client.get("/route/v1/payments/flag?default=blue", by="sdk", **theirs),
            client.get(f"{ROUTE}?default=blue&environment=staging", by="sdk", **theirs),
            client.get(f"{ROUTE}?default=blue", by="killer", **theirs),
            client.get("/route/v1/checkout/No%20key?default=blue", by="sdk", **theirs),
            client.post(f"{ROUTE}?default=blue", by="sdk", **theirs),
        ]
        assert [answer.status_code for answer in refused] == [401, 403, 403, 403, 404, 405]
        assert {answer.headers[VARIANT] for answer in refused} == {"blue"}
        unread = [client.get(f"{ROUTE}?user=1&user=2&default=blue", by="sdk"), client.get(f"{ROUTE}?a=%FF", by="sdk")]
        assert [(answer.status_code, answer.headers[VARIANT]) for answer in unread] == [(422, ""), (400, "")]


class TestTheShortWay:
    """A route that is decided does not go through Flask."""

    def test_it_ends_like_the_long_one(self, split: Client, capfd: pytest.CaptureFixture[str]) -> None:
        path = "/route/v1/checkout/color?user=7"
        short = split.get(path, by="sdk", x_request_id="same")
        etag = short.headers["ETag"]
        unchanged = split.get(path, by="sdk", x_request_id="same", if_none_match=etag)
        assert '"path": "/route' not in capfd.readouterr().err
        _without_the_short_way(split)
        long = split.get(path, by="sdk", x_request_id="same")
        assert (short.status_code, short.json) == (long.status_code, long.json)
        assert sorted(short.headers) == sorted(long.headers)
        long = split.get(path, by="sdk", x_request_id="same", if_none_match=etag)
        assert (unchanged.status, sorted(unchanged.headers)) == (long.status, sorted(long.headers))
        assert '"path": "/route' in capfd.readouterr().err

    def test_a_head_has_the_header_too(self, on: Client) -> None:
        assert on.call("HEAD", ROUTE, by="sdk").headers[VARIANT] == "on"


class TestGate:
    def test_it_is_open_when_the_flag_is_on_and_closed_when_it_is_not(self, client: Client) -> None:
        assert problem(client.get(GATE, by="sdk")) == (403, "gate-closed")
        client.patch(STATE, {"on": True})
        answer = client.get(GATE, by="sdk")
        assert (answer.status_code, answer.json["open"], answer.json["variant"]) == (200, True, "on")
        assert answer.headers["Cache-Control"] == "no-store"
        client.post(f"{FLAG}/kill")
        closed = client.get(GATE, by="sdk")
        assert problem(closed) == (403, "gate-closed")
        assert (closed.json["variant"], closed.json["reason"]) == ("off", "KILLED")
        assert closed.json["detail"] == "checkout/new-checkout is off in production: KILLED"

    def test_tools_that_can_only_post_may_send_what_they_like(self, on: Client) -> None:
        assert on.post(GATE, {"name": "shop", "phase": "Progressing"}, by="viewer").status_code == 200
        assert on.post(GATE, b"not JSON", by="viewer").status_code == 200

    def test_an_api_token_names_an_environment_or_means_its_own(self, client: Client) -> None:
        client.patch(f"{FLAG}/environments/staging", {"on": True})
        assert client.get(f"{GATE}?environment=staging", by="viewer").status_code == 200
        assert problem(client.get(GATE, by="viewer")) == (403, "gate-closed")
        assert client.get(GATE, by="tester").status_code == 200

    def test_a_flag_of_another_type_needs_the_variant_that_opens_it(self, split: Client) -> None:
        color = "/gate/v1/checkout/color"
        assert problem(split.get(f"{color}?user=7", by="sdk")) == (422, "invalid")
        assert problem(split.post(f"{color}?user=7", by="sdk")) == (422, "invalid")
        variant = split.get("/route/v1/checkout/color?user=7", by="sdk").headers[VARIANT]
        other = {"blue": "green", "green": "blue"}[variant]
        assert split.get(f"{color}?user=7&variant={variant}", by="sdk").status_code == 200
        assert problem(split.get(f"{color}?user=7&variant={other}", by="sdk")) == (403, "gate-closed")

    @pytest.mark.parametrize(
        ("path", "by", "expected"),
        [
            ("/gate/v1/checkout/nothing", "sdk", (404, "not-found")),
            ("/gate/v1/nothing/flag", "viewer", (404, "not-found")),
            (GATE, None, (401, "unauthenticated")),
            (GATE, "stranger", (403, "forbidden")),
            (GATE, "killer", (403, "forbidden")),
            ("/gate/v1/payments/flag", "sdk", (403, "forbidden")),
            (f"{GATE}?user=1&user=2", "sdk", (422, "invalid")),
        ],
    )
    def test_it_fails_closed(self, on: Client, path: str, by: Any, expected: tuple[int, str]) -> None:
        assert problem(on.get(path, by=by)) == expected


def _evaluations(client: Client) -> int:
    periods = client.get(f"{FLAGS}/color/evaluations").json["items"]
    return sum(sum(each["counts"].values()) for each in periods)


def _unavailable(self: Snapshots) -> Any:

    raise Unavailable("nothing is loaded yet")


def _without_the_short_way(client: Client) -> None:
    outer: Any = client.app.wsgi_app
    assert isinstance(outer._app, Routes)
    outer._app = outer._app._app
