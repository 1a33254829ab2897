"""`/account`: one's password, and where one is logged in."""

from __future__ import annotations

import pytest
from downhaul_admin import agents
from downhaul_server.services.errors import Unauthenticated
from support.pages import Browserless

OLD, NEW = "seven wild geese over Reykjavik", "nine slow trains to Vladivostok"


@pytest.fixture
def ada(visitor: Browserless) -> Browserless:
    """Somebody who has chosen a password, logged in twice; the second browser is `visitor`."""
    made = visitor.services.people.create(visitor.bootstrap, {"login": "ada", "grants": [{"role": "editor"}]})
    visitor.services.logins.change_password("ada", made["password"], OLD)
    browser = visitor.stranger()
    for one in (browser, visitor):
        assert one.post("/login", {"login": "ada", "password": OLD}).status_code == 303
    return browser


def change(browser: Browserless, current: str = OLD, new: str = NEW, again: str | None = None) -> int:
    form = {"current": current, "new": new, "again": new if again is None else again}
    return browser.post("/account/password", form).status_code


def test_it_says_who_one_is_and_what_one_may(ada: Browserless) -> None:
    page = ada.get("/account").text
    assert "ada" in page and "<strong>editor</strong> every service, every environment" in page
    assert "(this one)" in page and page.count('id="session-') == 2
    assert (ada.session or "x") not in page


def test_a_new_password_ends_every_other_session_and_gives_this_one_another_id(
    ada: Browserless, visitor: Browserless
) -> None:
    before = ada.session or ""
    assert change(ada) == 303
    assert ada.session != before and ada.get("/account").status_code == 200
    assert visitor.get("/account").status_code == 303
    with pytest.raises(Unauthenticated):
        ada.services.sessions.resolve(before)
    assert visitor.post("/login", {"login": "ada", "password": OLD}).status_code == 401
    assert visitor.post("/login", {"login": "ada", "password": NEW}).status_code == 303


def test_a_password_needs_the_old_one_and_has_to_be_good(ada: Browserless, visitor: Browserless) -> None:
    assert change(ada, current="guess") == 422
    assert change(ada, new="password1234") == 422
    assert change(ada, new="short") == 422
    assert change(ada, new=OLD) == 422
    assert change(ada, again="another one, that I mistyped") == 422
    assert visitor.get("/account").status_code == 200, "nothing has changed"
    page = ada.post("/account/password", {"current": "my guess!", "new": NEW, "again": NEW}).text
    assert "This is not your password." in page and NEW not in page and "my guess!" not in page


def test_somebody_at_an_open_screen_cannot_guess_the_password(ada: Browserless) -> None:
    assert [change(ada, current=f"guess {n}") for n in range(11)][-1] == 429


def test_one_other_session_is_ended(ada: Browserless, visitor: Browserless) -> None:
    others = [s for s in ada.services.people.sessions(ada.bootstrap, _id(ada), current=ada.session) if not s["current"]]
    assert ada.post(f"/account/sessions/{others[0]['id']}/end").status_code == 303
    assert visitor.get("/account").status_code == 303
    assert ada.get("/account").status_code == 200


def test_all_others_are_ended(ada: Browserless, visitor: Browserless) -> None:
    assert ada.post("/account/sessions/end").status_code == 303
    assert visitor.get("/account").status_code == 303
    assert ada.get("/account").text.count('id="session-') == 1


def test_nobody_ends_anothers_session_here(ada: Browserless) -> None:
    stranger = ada.by("admin", name="grace")
    for session in ada.services.people.sessions(ada.bootstrap, _id(ada)):
        assert stranger.post(f"/account/sessions/{session['id']}/end").status_code == 404
    assert ada.get("/account").status_code == 200


def test_the_first_administrator_has_no_password_to_change(visitor: Browserless) -> None:
    visitor.sign_in("bootstrap")
    page = visitor.get("/account").text
    assert "administrator" in page and 'name="current"' not in page
    assert visitor.post("/account/password", {"current": "x", "new": NEW, "again": NEW}).status_code == 403


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/142.0 Safari/537.36 Edg/142.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8.5.0", "curl"),
        ("<script>", "<script>"),
        ("", "a browser that does not say what it is"),
    ],
)
def test_browsers_have_names(agent: str, said: str) -> None:
    assert agents.name(agent) == said


def _id(browser: Browserless) -> str:
    found = {person["login"]: person["id"] for person in browser.services.people.list(browser.bootstrap).items}
    return str(found["ada"])
