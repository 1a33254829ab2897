"""Logging in by OpenID Connect, against a provider that runs, and against all the ways in which an answer can lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from downhaul_server.services.errors import Unauthenticated
from downhaul_server.signing_in import Provider, SigningIn
from support.pages import ADMIN_TOKEN, Browserless, open_pages
from support.provider import CLIENT_ID, CLIENT_SECRET, Claims, OpenIdProvider, rsa_key
from support.redis import FakeRedis
from werkzeug.test import TestResponse

GROUPS = {
    "flag-editors": ({"role": "editor", "services": ["*"], "environments": ["*"]},),
    "flag-admins": ({"role": "admin", "services": ["*"], "environments": ["*"]},),
}


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with OpenIdProvider() as provider:
        yield provider


@pytest.fixture
def visitor(provider: OpenIdProvider, tmp_path: Path) -> Iterator[Browserless]:
    """Of a server that trusts the provider."""
    known = Provider(provider.issuer, CLIENT_ID, CLIENT_SECRET, name="Acme", groups=GROUPS)
    with open_pages(FakeRedis(), tmp_path / "data", signing_in=SigningIn(provider=known)) as visitor:
        yield visitor


def begin(visitor: Browserless, wanted: str = "/") -> str:
    """To the provider: the address there."""
    answer = visitor.get(f"/login/provider?{urlencode({'next': wanted})}")
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def back(visitor: Browserless, address: str) -> TestResponse:
    """The browser follows the provider's redirect."""
    parts = urlsplit(address)
    return visitor.get(f"{parts.path}?{parts.query}", sec_fetch_site="cross-site")


def log_in(visitor: Browserless, provider: OpenIdProvider) -> TestResponse:
    return back(visitor, provider.log_in(begin(visitor)))


def refused(answer: TestResponse, *words: str) -> None:
    """Nobody is logged in, and the page says why, with the other ways to log in."""
    assert answer.status_code in (401, 403, 503)
    assert "__Host-downhaul=" not in str(answer.headers.getlist("Set-Cookie"))
    assert 'role="alert"' in answer.text and "Log in with a token" in answer.text
    for word in words:
        assert word in answer.text


def test_somebody_logs_in_and_gets_where_they_wanted_with_the_rights_of_their_groups(
    visitor: Browserless, provider: OpenIdProvider
) -> None:
    assert "Log in with Acme" in visitor.get("/login?next=/kill").text
    answer = back(visitor, provider.log_in(begin(visitor, "/kill?x=1")))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/kill?x=1")
    actor = visitor.services.sessions.resolve(visitor.session or "")
    assert (actor.name, actor.kind, actor.role) == ("ada", "person", "editor")


def test_a_real_redirect_leads_back(visitor: Browserless, provider: OpenIdProvider) -> None:
    sent = requests.get(begin(visitor), allow_redirects=False, timeout=60)
    assert back(visitor, sent.headers["Location"]).status_code == 303


def test_the_cookie_meanwhile_tells_nothing_and_the_address_no_secret(
    visitor: Browserless, provider: OpenIdProvider
) -> None:
    answer = visitor.get("/login/provider")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-downhaul-sign-in=")
    assert all(part in cookie for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"))
    asked = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
    assert asked["code_challenge_method"] == "S256" and "code_verifier" not in asked
    assert CLIENT_SECRET not in answer.headers["Location"]
    assert all(value not in cookie for value in (asked["state"], asked["nonce"], asked["code_challenge"]))


def test_rights_follow_the_groups_at_each_log_in(visitor: Browserless, provider: OpenIdProvider) -> None:
    log_in(visitor, provider)
    first = visitor.session or ""
    provider.groups = ["flag-admins", "flag-editors", "something else"]
    log_in(visitor, provider)
    assert visitor.services.sessions.resolve(visitor.session or "").role == "admin"
    with pytest.raises(Unauthenticated):
        visitor.services.sessions.resolve(first)


def test_groups_that_only_userinfo_tells(visitor: Browserless, provider: OpenIdProvider) -> None:
    provider.in_userinfo = True
    assert log_in(visitor, provider).status_code == 303


def test_userinfo_of_somebody_else_is_not_believed(visitor: Browserless, provider: OpenIdProvider) -> None:
    provider.in_userinfo, provider.userinfo = True, {"sub": "somebody else"}
    refused(log_in(visitor, provider), "cannot be trusted")


@pytest.mark.parametrize("groups", [None, [], ["something else"], ["FLAG-EDITORS"]])
def test_without_a_group_that_counts_nobody_comes_in(
    visitor: Browserless, provider: OpenIdProvider, groups: list[str] | None
) -> None:
    provider.groups = groups
    refused(log_in(visitor, provider), "None of your groups")
    assert visitor.services.people.list(visitor.bootstrap).items == []


LIES: dict[str, Claims] = {
    "another nonce": {"nonce": "stolen"},
    "no nonce": {"nonce": None},
    "for another client": {"aud": "another"},
    "for several, and meant for another": {"aud": [CLIENT_ID, "another"], "azp": "another"},
    "by another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "expired": {"exp": 1},
    "never expires": {"exp": None},
    "from the future": {"iat": 2**33},
    "not valid yet": {"nbf": 2**33},
    "nobody": {"sub": None},
    "no text as subject": {"sub": 7},
    "of another access token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.replace(" ", "-"))
def test_a_token_that_was_not_made_for_this_is_not_believed(
    visitor: Browserless, provider: OpenIdProvider, lie: str
) -> None:
    changed = {name: value for name, value in LIES[lie].items() if value is not None}
    dropped = {name for name, value in LIES[lie].items() if value is None}
    provider.alter = lambda claims: {k: v for k, v in (claims | changed).items() if k not in dropped}
    refused(log_in(visitor, provider), "cannot be trusted")


def _foreign(provider: OpenIdProvider, claims: Claims) -> str:
    return provider.signed(claims, rsa_key("first", "somebody else"))


def _unknown(provider: OpenIdProvider, claims: Claims) -> str:
    return provider.signed(claims, rsa_key("nobody's"))


def _bent(provider: OpenIdProvider, claims: Claims) -> str:
    head, _, signature = provider.signed(claims).split(".")
    return ".".join((head, provider.signed(claims | {"groups": ["flag-admins"]}).split(".")[1], signature))


FORGERIES: dict[str, Any] = {
    "alg none": OpenIdProvider.unsigned,
    "HS256 with the public key": OpenIdProvider.signed_with_public_key,
    "another's key of the same name": _foreign,
    "an unknown key": _unknown,
    "other claims under the signature": _bent,
    "no token at all": lambda provider, claims: "nonsense",
}


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda name: name.replace(" ", "-"))
def test_a_token_with_a_wrong_signature_is_not_believed(
    visitor: Browserless, provider: OpenIdProvider, forgery: str
) -> None:
    provider.sign = FORGERIES[forgery]
    refused(log_in(visitor, provider), "cannot be trusted")


def test_keys_that_the_provider_rotates_are_learned(
    visitor: Browserless, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("downhaul_server.services.oidc.KEYS_S", 0.0)
    assert log_in(visitor, provider).status_code == 303
    provider.key = rsa_key("second")
    provider.published.append(provider.key)
    assert log_in(visitor, provider).status_code == 303


def test_unknown_keys_do_not_make_us_ask_all_the_time(visitor: Browserless, provider: OpenIdProvider) -> None:
    provider.sign = _unknown
    for _ in range(3):
        log_in(visitor, provider)
    assert provider.asked.count(("GET", "/keys")) == 1


def test_an_answer_can_be_used_once(visitor: Browserless, provider: OpenIdProvider) -> None:
    address = provider.log_in(begin(visitor))
    cookie = visitor.client.get_cookie("__Host-downhaul-sign-in")
    assert cookie is not None and back(visitor, address).status_code == 303
    replay = visitor.stranger()
    replay.wear(cookie.value, "__Host-downhaul-sign-in")
    refused(back(replay, address), "begin again")


def test_an_answer_is_for_the_browser_that_began(visitor: Browserless, provider: OpenIdProvider) -> None:
    """Log-in CSRF: somebody is given the link that logs them in as the attacker."""
    address = provider.log_in(begin(visitor))
    victim = visitor.stranger()
    refused(back(victim, address), "not begun in this browser")
    begin(victim)
    refused(back(victim, address), "not begun in this browser")


@pytest.mark.parametrize("state", ["", "another", "é"])
def test_an_answer_with_another_state_is_refused(visitor: Browserless, provider: OpenIdProvider, state: str) -> None:
    code = parse_qs(urlsplit(provider.log_in(begin(visitor))).query)["code"][0]
    refused(visitor.get(f"/login/callback?{urlencode({'code': code, 'state': state})}"), "begin again")


def test_a_stolen_code_is_worth_nothing_in_another_log_in(visitor: Browserless, provider: OpenIdProvider) -> None:
    stolen = parse_qs(urlsplit(provider.log_in(begin(visitor.stranger()))).query)["code"][0]
    own = parse_qs(urlsplit(begin(visitor)).query)["state"][0]
    answer = visitor.get(f"/login/callback?{urlencode({'code': stolen, 'state': own, 'iss': provider.issuer})}")
    refused(answer, "not accepted")


@pytest.mark.parametrize("issuer", [None, "https://another.example"])
def test_an_answer_of_another_provider_is_not_mixed_up(
    visitor: Browserless, provider: OpenIdProvider, issuer: str | None
) -> None:
    query = {k: v[0] for k, v in parse_qs(urlsplit(provider.log_in(begin(visitor))).query).items()}
    query = {k: v for k, v in (query | {"iss": issuer}).items() if v is not None}
    asked = len(provider.asked)
    refused(visitor.get(f"/login/callback?{urlencode(query)}"), "cannot be trusted")
    assert len(provider.asked) == asked, "the code was sent to nobody"


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://another.example"},
        {"token_endpoint": "http://another.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
    ],
)
def test_a_discovery_document_that_leads_elsewhere_is_not_followed(
    visitor: Browserless, provider: OpenIdProvider, metadata: Claims
) -> None:
    provider.metadata = metadata
    refused(visitor.get("/login/provider"), "cannot be trusted")


def test_what_the_provider_says_is_no_markup(visitor: Browserless, provider: OpenIdProvider) -> None:
    state = parse_qs(urlsplit(begin(visitor)).query)["state"][0]
    query = {"state": state, "error": "access_denied", "error_description": "<script>alert(1)</script>"}
    answer = visitor.get(f"/login/callback?{urlencode(query)}")
    refused(answer, "has not let you in")
    assert "<script" not in answer.text


def test_nobody_is_led_away_after_the_log_in(visitor: Browserless, provider: OpenIdProvider) -> None:
    assert back(visitor, provider.log_in(begin(visitor, "https://evil.example/"))).headers["Location"] == "/"


def test_while_the_provider_is_down_a_token_still_opens_the_door(
    visitor: Browserless, provider: OpenIdProvider
) -> None:
    address = provider.log_in(begin(visitor))
    provider.broken = True
    refused(back(visitor, address), "does not answer", "passwords and tokens work")
    assert visitor.post("/login", {"token": ADMIN_TOKEN}).status_code == 303


def test_a_provider_that_is_away_from_the_start_is_said(visitor: Browserless, provider: OpenIdProvider) -> None:
    provider.broken = True
    refused(visitor.get("/login/provider"), "does not answer")


def test_the_secret_is_in_no_text(visitor: Browserless) -> None:
    known = visitor.services.openid
    assert known is not None and CLIENT_SECRET not in repr(known.provider)


def test_nobody_fills_redis_with_log_ins_that_lead_nowhere(visitor: Browserless, provider: OpenIdProvider) -> None:
    statuses = [visitor.get("/login/provider").status_code for _ in range(31)]
    assert statuses == [303] * 30 + [429]


def test_without_a_provider_there_is_no_button(tmp_path: Path) -> None:
    with open_pages(FakeRedis(), tmp_path / "data") as alone:
        assert "Log in with single" not in alone.get("/login").text
        assert alone.get("/login/provider").status_code == 401
        assert alone.get("/login/callback?code=1&state=2").status_code == 401
