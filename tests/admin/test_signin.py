"""Logging in and out: by token, with which cookie, and where it leads."""

from __future__ import annotations

import pytest
from support.pages import ADMIN_TOKEN, Browserless


def test_the_administrators_token_opens_a_session(visitor: Browserless) -> None:
    answer = visitor.post("/login", {"token": ADMIN_TOKEN, "next": "/flags?x=1"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/flags?x=1")
    assert visitor.services.sessions.resolve(visitor.session or "").kind == "admin"


def test_the_cookie_is_bound_to_this_host_and_hidden_from_scripts(visitor: Browserless) -> None:
    cookie = visitor.post("/login", {"token": ADMIN_TOKEN}).headers["Set-Cookie"]
    name, *attributes = cookie.split("; ")
    assert name.startswith("__Host-downhaul=") and len(name.partition("=")[2]) == 43
    assert set(attributes) == {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}


def test_a_wrong_token_is_refused_and_not_repeated(visitor: Browserless) -> None:
    answer = visitor.post("/login", {"token": "dh_api_a-secret-that-is-wrong"})
    assert answer.status_code == 401
    assert "not known here" in answer.text and "a-secret-that-is-wrong" not in answer.text
    assert visitor.session is None


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "\\/evil.example", "javascript:alert(1)",
               "/\t/evil.example", "http:evil.example", "evil", ""],
)  # fmt: skip
def test_nobody_is_led_away_by_the_log_in(visitor: Browserless, target: str) -> None:
    assert visitor.post("/login", {"token": ADMIN_TOKEN, "next": target}).headers["Location"] == "/"
    assert visitor.get(f"/login?next={target}").headers["Location"] == "/"


def test_a_session_id_that_somebody_has_planted_is_not_taken_over(visitor: Browserless) -> None:
    visitor.wear("planted-by-an-attacker-planted-by-an-attack")
    visitor.post("/login", {"token": ADMIN_TOKEN})
    first = visitor.session
    assert first != "planted-by-an-attacker-planted-by-an-attack"
    visitor.post("/login", {"token": ADMIN_TOKEN})
    assert visitor.session != first, "the id changes at each log-in"


def test_logging_out_ends_the_session_and_not_only_the_cookie(visitor: Browserless) -> None:
    visitor.sign_in("editor")
    kept = visitor.session or ""
    assert visitor.post("/logout").headers["Location"] == "/login"
    assert visitor.session is None
    visitor.wear(kept)
    assert visitor.get("/login").status_code == 200, "nobody is logged in any more"


def test_without_tls_nobody_logs_in_from_elsewhere(visitor: Browserless) -> None:
    elsewhere = visitor.stranger("flags.example.com")
    assert "not encrypted" in elsewhere.get("/login").text
    answer = elsewhere.post("/login", {"token": ADMIN_TOKEN})
    assert answer.status_code == 403 and "Set-Cookie" not in answer.headers


def test_a_password_that_was_given_is_changed_at_the_first_log_in(visitor: Browserless) -> None:
    first = visitor.services.people.create(visitor.bootstrap, {"login": "ada", "grants": [{"role": "viewer"}]})
    given, new = first["password"], "seven wild geese over Reykjavik"
    answer = visitor.post("/login", {"login": "ada", "password": given, "next": "/kill"})
    assert answer.status_code == 200 and "Choose a password" in answer.text and visitor.session is None
    form = {"login": "ada", "password": given, "new": new, "again": new, "next": "/kill"}
    for wrong in ({"again": "another"}, {"new": "password1234", "again": "password1234"}, {"new": "x", "again": "x"}):
        refused = visitor.post("/login/password", form | wrong)
        assert refused.status_code == 422 and "Choose a password" in refused.text and new not in refused.text
    assert visitor.post("/login/password", form).headers["Location"] == "/kill"
    assert visitor.services.sessions.resolve(visitor.session or "").name == "ada"


def test_a_wrong_password_says_no_more_than_that(visitor: Browserless) -> None:
    visitor.services.people.create(visitor.bootstrap, {"login": "ada"})
    answers = [visitor.post("/login", {"login": login, "password": "secret?"}) for login in ("ada", "bob")]
    assert {answer.status_code for answer in answers} == {401}
    assert all("The login or the password is wrong." in answer.text for answer in answers)
    assert all("secret?" not in answer.text for answer in answers)


def test_what_was_typed_as_login_is_kept_and_is_no_markup(visitor: Browserless) -> None:
    answer = visitor.post("/login", {"login": '"><script>', "password": "x"})
    assert "<script" not in answer.text and "&#34;&gt;&lt;script&gt;" in answer.text


def test_who_may_see_nothing_cannot_log_in(visitor: Browserless) -> None:
    key = {"kind": "api", "name": "pager", "role": "killer"}
    token = visitor.services.keys.create(visitor.bootstrap, key)["token"]
    answer = visitor.post("/login", {"token": token})
    assert answer.status_code == 403 and "for killing alone" in answer.text


def test_an_sdk_key_is_not_for_people(visitor: Browserless) -> None:
    key = {"kind": "sdk", "name": "checkout", "environment": "production", "services": ["*"]}
    token = visitor.services.keys.create(visitor.bootstrap, key)["token"]
    assert visitor.post("/login", {"token": token}).status_code == 401


def test_a_session_ends_with_the_key_that_it_began_with(visitor: Browserless) -> None:
    key = visitor.services.keys.create(visitor.bootstrap, {"kind": "api", "name": "ci", "role": "editor"})
    visitor.post("/login", {"token": key["token"]})
    assert visitor.services.sessions.resolve(visitor.session or "").name == "ci"
    visitor.services.keys.revoke(visitor.bootstrap, key["id"])
    assert visitor.get("/login").status_code == 200


def test_failed_log_ins_are_in_our_log_and_in_the_audit_without_what_was_typed(
    visitor: Browserless, caplog: pytest.LogCaptureFixture
) -> None:
    visitor.services.people.create(visitor.bootstrap, {"login": "ada"})
    for login in ("ada", "typed-my-password-here"):
        visitor.post("/login", {"login": login, "password": "guess-in-vain"})
    said = caplog.text
    assert "log-in refused" in said and "'login': 'ada'" in said
    assert "typed-my-password-here" not in said and "guess-in-vain" not in said


def test_who_logged_in_how_and_from_where_is_in_our_log_and_no_secret(
    visitor: Browserless, caplog: pytest.LogCaptureFixture
) -> None:
    visitor.post("/login", {"token": ADMIN_TOKEN})
    assert "'how': 'token'" in caplog.text and "'remote': '127.0.0.1'" in caplog.text
    assert ADMIN_TOKEN not in caplog.text and (visitor.session or "x") not in caplog.text
