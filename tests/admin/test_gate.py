"""Who gets past the gate: nobody without a session, nothing that another site sends, and every page says how."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from downhaul_server import browsers, rates
from downhaul_server.services.errors import TooMany
from downhaul_server.signing_in import SigningIn
from support.pages import ADMIN_TOKEN, Browserless, open_pages
from support.redis import FakeRedis, RealRedis

PUBLIC = {
    "/login",
    "/login/password",
    "/login/provider",
    "/login/callback",
    "/logout",
    "/welcome",
    "/static/admin/<path:filename>",
}
ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
]


def rules(visitor: Browserless, kind: str) -> list[tuple[str, str]]:
    """(method, address) of every page that is declared so."""
    app = visitor.app
    found = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if rule.endpoint.startswith("downhaul_admin.") and getattr(view, "downhaul_authentication", None) == kind:
            path = re.sub(r"<(\w+:)?\w+>", "something", re.sub(r"<int:\w+>", "1", rule.rule))
            found += [(method, path) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}]
    return found


def test_every_page_says_who_may_see_it_and_only_these_are_public(visitor: Browserless) -> None:
    views = visitor.app.view_functions
    pages = [rule for rule in visitor.app.url_map.iter_rules() if rule.endpoint.startswith("downhaul_admin.")]
    kinds = {rule.rule: getattr(views[rule.endpoint], "downhaul_authentication", None) for rule in pages}
    assert None not in kinds.values()
    assert {rule for rule, kind in kinds.items() if kind == "public"} == PUBLIC
    assert set(kinds.values()) == {"public", "session"}


def test_without_a_session_every_other_page_leads_to_the_log_in(visitor: Browserless) -> None:
    for method, path in rules(visitor, "session"):
        answer = visitor.get(path) if method == "GET" else visitor.post(path)
        assert answer.status_code == 303, (method, path)
        assert answer.headers["Location"].startswith("/login?next="), (method, path)


def test_every_form_is_refused_when_another_site_sends_it(visitor: Browserless) -> None:
    visitor.sign_in("bootstrap")
    for kind in ("session", "public"):
        for method, path in rules(visitor, kind):
            for origin in ELSEWHERE if method != "GET" else ():
                assert visitor.post(path, origin=origin).status_code == 403, (path, origin)
            if method != "GET":
                assert visitor.post(path, origin={}).status_code == 403, f"{path}: whoever has a cookie says where from"
    assert visitor.services.sessions.resolve(visitor.session or ""), "nobody was logged out"


def test_a_page_of_ours_may_say_so_by_its_origin(visitor: Browserless) -> None:
    assert visitor.post("/login", {"token": ADMIN_TOKEN}, origin={"Origin": "http://localhost"}).status_code == 303


def test_a_script_without_cookies_needs_to_say_nothing(visitor: Browserless) -> None:
    assert visitor.post("/login", {"token": ADMIN_TOKEN}, origin={}).status_code == 303


def test_what_was_wanted_is_remembered(visitor: Browserless) -> None:
    assert visitor.get("/account?x=1").headers["Location"] == "/login?next=%2Faccount%3Fx%3D1"
    form = visitor.post("/account/sessions/end", referer="http://localhost/account?tab=2")
    assert form.headers["Location"] == "/login?next=%2Faccount%3Ftab%3D2"
    for referer in ("https://evil.example/account", "http://[", "//"):
        elsewhere = visitor.post("/account/sessions/end", referer=referer)
        assert elsewhere.headers["Location"] == "/login?next=%2F"


def test_what_a_page_fetches_by_itself_is_told_and_not_led_away(visitor: Browserless) -> None:
    fragment = visitor.get("/account", hx_request="true", referer="http://localhost/account")
    assert (fragment.status_code, fragment.headers["HX-Redirect"]) == (401, "/login?next=%2Faccount")
    assert visitor.get("/account", accept="text/event-stream").status_code == 401


def test_every_answer_has_the_headers_that_keep_browsers_strict(visitor: Browserless) -> None:
    visitor.sign_in("viewer")
    for path in ("/account", "/login", "/static/admin/pages.css", "/people"):
        headers = visitor.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'" and policy["base-uri"] == "'none'"
        assert policy["form-action"] == "'self'" and "unsafe" not in str(policy) and "*" not in str(policy)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert not [name for name in headers.keys() if name.startswith("Access-Control-")]  # noqa: SIM118
        assert "Strict-Transport-Security" not in headers, "that would be a promise that we do not keep here"
    assert visitor.get("/account").headers["Cache-Control"] == "no-store"


def test_over_tls_it_is_demanded_from_now_on(tmp_path: Path) -> None:
    with open_pages(FakeRedis(), tmp_path / "data", trusted_proxies=(ip_network("127.0.0.1"),)) as visitor:
        proxied = visitor.stranger("flags.example.com")
        answer = proxied.post("/login", {"token": ADMIN_TOKEN}, x_forwarded_proto="https")
        assert answer.status_code == 303 and "Secure" in answer.headers["Set-Cookie"]
        assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]
        api = proxied.get("/api/v1/status", x_forwarded_proto="https")
        assert "Strict-Transport-Security" in api.headers
        downgraded = {"Origin": "http://flags.example.com"}
        assert proxied.post("/logout", origin=downgraded, x_forwarded_proto="https").status_code == 403


def test_nobody_but_a_trusted_proxy_says_that_it_was_tls(visitor: Browserless) -> None:
    answer = visitor.stranger("flags.example.com").post("/login", {"token": ADMIN_TOKEN}, x_forwarded_proto="https")
    assert answer.status_code == 403


def test_without_tls_only_where_the_operator_allows_it(tmp_path: Path) -> None:
    with open_pages(FakeRedis(), tmp_path / "data", signing_in=SigningIn(insecure_cookies=True)) as visitor:
        elsewhere = visitor.stranger("flags.example.com")
        cookie = elsewhere.post(
            "/login", {"token": ADMIN_TOKEN}, origin={"Origin": "http://flags.example.com"}
        ).headers["Set-Cookie"]
        assert cookie.startswith("downhaul=") and "Secure" not in cookie and "HttpOnly" in cookie


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("localhost:8080", True),
        ("downhaul.localhost", True),
        ("127.0.0.1:8080", True),
        ("127.9.9.9", True),
        ("[::1]:8080", True),
        ("localhost.evil.example", False),
        ("10.0.0.1", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_what_is_this_very_machine(host: str, local: bool) -> None:
    assert browsers.is_local({"HTTP_HOST": host}) is local


def test_whoever_guesses_passwords_is_slowed_down_and_the_owner_is_not_locked_out(visitor: Browserless) -> None:
    made = visitor.services.people.create(visitor.bootstrap, {"login": "ada", "grants": [{"role": "viewer"}]})
    statuses = [visitor.post("/login", {"login": "ada", "password": "guess"}).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    limited = visitor.post("/login", {"login": "ada", "password": made["password"]})
    assert limited.status_code == 429 and 1 <= int(limited.headers["Retry-After"]) <= 300
    assert "too many attempts" in limited.text.lower()
    form = {"login": "ada", "password": made["password"]}
    owner = visitor.client.post(
        "/login", data=form, headers={"Sec-Fetch-Site": "same-origin"}, environ_base={"REMOTE_ADDR": "192.0.2.9"}
    )
    assert owner.status_code == 200 and "Choose a password" in owner.text


def test_one_address_cannot_try_many_logins_either(visitor: Browserless) -> None:
    statuses = [visitor.post("/login", {"login": f"u{n}", "password": "x"}).status_code for n in range(21)]
    assert statuses[-2:] == [401, 429]
    assert visitor.post("/login", {"token": ADMIN_TOKEN}).status_code == 429, "it guesses that, too"


def test_guesses_at_the_same_time_are_all_counted(visitor: Browserless) -> None:
    limits = visitor.app.extensions[rates.EXTENSION]
    for _ in range(10):
        limits.begin(rates.LOG_INS, "192.0.2.7", "ada")  # none of them has been answered yet
    with pytest.raises(TooMany):
        limits.begin(rates.LOG_INS, "192.0.2.7", "ADA ")


def test_who_logs_in_all_day_is_not_limited(visitor: Browserless) -> None:
    for _ in range(25):
        assert visitor.post("/login", {"token": ADMIN_TOKEN}).status_code == 303


def test_no_address_alone_can_use_up_the_tries_of_a_login() -> None:
    for_address, for_login = rates.LIMITS["log-in"], rates.LIMITS["login"]
    hour = for_login.get_expiry()
    assert for_address.amount * hour / for_address.get_expiry() < for_login.amount


@pytest.mark.redis
def test_limits_hold_nobody_up_when_redis_is_away(real: RealRedis, tmp_path: Path) -> None:
    with open_pages(real, tmp_path / "data") as visitor:
        real.kill()
        answer = visitor.post("/login", {"token": ADMIN_TOKEN})
        assert answer.status_code == 503 and "Redis" in answer.text
        status = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        assert visitor.client.get("/api/v1/status", headers=status).status_code == 200
        wrong = [visitor.post("/login", {"token": "guess"}).status_code for _ in range(21)]
        assert wrong[0] == 401 and wrong[-1] == 429, "guessing is slowed down all the same"
