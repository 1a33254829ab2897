"""Sessions: how long they live, that they end everywhere, and that they outlive an outage of Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from downhaul_server.services import sessions as module
from downhaul_server.services import tokens
from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from downhaul_server.services.sessions import MOST_OF_ONE, Sessions
from downhaul_server.settings import Settings
from downhaul_server.signing_in import SigningIn
from downhaul_server.store import Commit, Store
from support.redis import FakeRedis, RealRedis
from support.services import ADMIN, ADMIN_TOKEN, actor, opened
from support.waiting import wait_until

HOUR = 3600


class Clock:
    """The wall clock."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    chosen = Settings(data_dir=tmp_path)
    with Store.open(chosen, connections=FakeRedis().connections()) as store:
        yield store


@pytest.fixture
def sessions(store: Store, clock: Clock) -> Sessions:
    return Sessions(store, SigningIn(), ADMIN_TOKEN, wall=clock)


def start(sessions: Sessions, who: Actor = ADMIN) -> str:
    return sessions.start(who, address="192.0.2.7", agent="a browser")


def over(sessions: Sessions, session: str) -> bool:
    try:
        sessions.resolve(session)
    except Unauthenticated:
        return True
    return False


def test_the_id_has_256_bits_and_redis_does_not_know_it(sessions: Sessions, store: Store) -> None:
    session = start(sessions)
    assert len(session) == 43 and start(sessions) != session
    assert session not in str(store.sessions.all())
    assert ADMIN_TOKEN not in str(store.sessions.all())


def test_one_that_is_not_used_ends(sessions: Sessions, clock: Clock) -> None:
    session = start(sessions)
    clock.now += 8 * HOUR - 1
    assert sessions.resolve(session, active=False)
    clock.now += 1
    assert over(sessions, session)


def test_one_that_is_used_goes_on_and_ends_all_the_same(sessions: Sessions, clock: Clock) -> None:
    session = start(sessions)
    for _ in range(3):
        clock.now += 7 * HOUR
        assert sessions.resolve(session).name == "admin"
    clock.now += 3 * HOUR
    assert over(sessions, session), "24 hours after the log-in"


def test_what_a_page_does_by_itself_is_no_use(sessions: Sessions, clock: Clock) -> None:
    session = start(sessions)
    for _ in range(8):
        clock.now += HOUR - 1
        sessions.resolve(session, active=False)
    clock.now += 8
    assert over(sessions, session)


@pytest.mark.parametrize("session", ["", "x", "a" * 43, "\x00", "é", "\ud800", "../" * 20])
def test_what_was_made_up_is_none(sessions: Sessions, session: str) -> None:
    assert over(sessions, session)


def test_another_administrators_token_ends_the_sessions_of_the_old_one(store: Store, sessions: Sessions) -> None:
    session = start(sessions)
    assert over(Sessions(store, SigningIn(), "another-token"), session)
    assert over(Sessions(store, SigningIn(), None), session)


def test_the_oldest_makes_room(sessions: Sessions, clock: Clock) -> None:
    held = []
    for _ in range(MOST_OF_ONE + 1):
        clock.now += 1
        held.append(start(sessions))
    assert over(sessions, held[0]) and not over(sessions, held[1])


def test_what_has_expired_is_swept_away(sessions: Sessions, store: Store, clock: Clock) -> None:
    start(sessions)
    clock.now += 25 * HOUR
    start(sessions)
    assert len(store.sessions.all()) == 1


def test_one_that_was_ended_is_not_brought_back_by_its_use(sessions: Sessions, store: Store, clock: Clock) -> None:
    session = start(sessions)
    other = Sessions(store, SigningIn(), ADMIN_TOKEN, wall=clock)
    other.end(session)
    clock.now += 120
    sessions.resolve(session)  # it may believe for some seconds that it is still there
    assert store.sessions.all() == {}


def test_who_may_see_nothing_gets_none(sessions: Sessions) -> None:
    with pytest.raises(Forbidden):
        start(sessions, Actor.single("pager", "token", "killer", token_id="1"))


def test_only_ones_own_can_be_ended_by_their_short_id(sessions: Sessions) -> None:
    session = start(sessions)
    (listed,) = sessions.page("admin", None, current=session)
    assert listed["current"] and len(listed["id"]) == 16
    for holder, key, public_id in (
        ("person", "1", listed["id"]),
        ("admin", None, listed["id"][:8]),
        ("admin", None, ""),
    ):
        with pytest.raises(NotFound):
            sessions.revoke(holder, key, public_id)
    sessions.revoke("admin", None, listed["id"])
    assert over(sessions, session)


def test_ended_in_one_process_it_ends_in_all_within_seconds(tmp_path: Path) -> None:
    redis = FakeRedis()
    with opened(redis, tmp_path / "one") as one, opened(redis, tmp_path / "two") as two:
        session = one.sessions.start(ADMIN, address=None, agent="")
        assert two.sessions.resolve(session)
        one.sessions.end(session)
        wait_until(lambda: over(two.sessions, session), "the other process knows")


def test_ended_without_a_word_it_ends_when_redis_is_asked_again(
    sessions: Sessions, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start(sessions)
    store.sessions.remove(store.sessions.all())
    assert not over(sessions, session)
    monkeypatch.setattr(module, "CONFIRM_S", 0.0)
    assert over(sessions, session)


def test_a_disabled_person_is_out_in_every_process_within_seconds(tmp_path: Path) -> None:
    redis = FakeRedis()
    with opened(redis, tmp_path / "one") as one, opened(redis, tmp_path / "two") as two:
        made = one.people.create(ADMIN, {"login": "ada", "grants": [{"role": "viewer"}]})
        person, _ = one.logins.authenticate("ada", made["password"])
        session = one.sessions.start(person, address=None, agent="")
        wait_until(lambda: not over(two.sessions, session), "the other process knows the person")
        one.people.patch(ADMIN, made["id"], {"disabled": True})
        assert over(one.sessions, session)
        wait_until(lambda: over(two.sessions, session), "the other process knows")


@pytest.mark.redis
def test_while_redis_is_away_known_sessions_go_on_and_others_are_told_why(
    real: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONFIRM_S", 0.0)
    with opened(real, tmp_path / "one") as one, opened(real, tmp_path / "two") as two:
        session = one.sessions.start(ADMIN, address=None, agent="")
        wait_until(lambda: bool(two.sessions._known), "the other process has heard of it")
        real.kill()
        wait_until(lambda: one.health()["state"] == "away", "the outage is seen")
        for services in (one, two):
            assert services.sessions.resolve(session).name == "admin", "though it never asked for it before"
        with pytest.raises(Unavailable):
            one.sessions.resolve("a" * 43)
        with pytest.raises(Unavailable):
            one.sessions.start(ADMIN, address=None, agent="")
        with pytest.raises(Unavailable):
            one.sessions.end(session)


@pytest.mark.redis
def test_a_process_that_starts_knows_those_that_are_there(real: RealRedis, tmp_path: Path) -> None:
    with opened(real, tmp_path / "one") as one:
        session = one.sessions.start(ADMIN, address=None, agent="")
    with opened(real, tmp_path / "two") as two:
        real.kill()
        assert two.sessions.resolve(session).name == "admin"


def test_a_session_of_a_token_may_what_the_token_may_now(services: Services) -> None:
    key = services.keys.create(ADMIN, {"kind": "api", "name": "ci", "role": "editor", "services": ["checkout"]})
    holder = services.authenticate(key["token"])
    assert isinstance(holder, Actor)
    session = services.sessions.start(holder, address=None, agent="")
    found = services.sessions.resolve(session, address="192.0.2.7")
    assert (found.grants, found.token_id, found.address) == (holder.grants, key["id"], "192.0.2.7")
    services.keys.revoke(ADMIN, key["id"])
    assert over(services.sessions, session)


def test_nobody_starts_a_session_for_a_key_that_is_gone(services: Services) -> None:
    with pytest.raises(Unauthenticated):
        services.sessions.start(actor("editor"), address=None, agent="")


def test_a_session_ends_with_the_very_token_that_it_began_with(services: Services) -> None:
    """Of a key that was rotated two are good for a while."""
    made = services.keys.create(ADMIN, {"kind": "api", "name": "ci", "role": "editor"})
    address = f"key/{made['id']}"
    old = dict(services.sessions._store.view.get(address).body)  # type: ignore[union-attr]
    older, newer = made["token"], "the new one"
    holder = services.authenticate(older)
    assert isinstance(holder, Actor)
    before = services.sessions.start(holder, address=None, agent="", token=older)
    fresh = {"hash": tokens.digest(newer), "previous_hash": old["hash"]}

    def rotated(previous_expires: str) -> None:
        writes = {address: old | fresh | {"previous_expires": previous_expires}}
        services.sessions._store.commit(Commit(action="key.rotate", actor=ADMIN.to_json(), writes=writes))

    rotated("2999-01-01T00:00:00.000Z")
    late = services.sessions.start(holder, address=None, agent="", token=older)
    new = services.sessions.start(holder, address=None, agent="", token=newer)
    assert not any(over(services.sessions, session) for session in (before, late, new))
    rotated("2001-01-01T00:00:00.000Z")
    assert [over(services.sessions, session) for session in (before, late, new)] == [True, True, False]
