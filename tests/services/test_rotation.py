"""Rotation: two tokens of one key are good for a while, a third is refused; and when tokens were used last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services import keys as keys_module
from downhaul_server.services.actors import Actor, SdkKey
from downhaul_server.services.container import Services
from downhaul_server.services.documents import timestamp
from downhaul_server.services.errors import (
    Forbidden,
    InProgress,
    Invalid,
    NotFound,
    OperationConflict,
    Unauthenticated,
)
from downhaul_server.services.stream import Reason
from downhaul_server.services.usage import Usage
from downhaul_server.store import Store, StoreUnavailable
from support.redis import FakeRedis, RealRedis
from support.services import ADMIN, CHECKOUT, actor, opened
from support.streams import listen
from support.waiting import wait_until

API = {"kind": "api", "name": "pipeline", "role": "editor"}
SDK = {"kind": "sdk", "name": "tills", "environment": "production", "services": ["*"]}
DAY_S = 24 * 3600


@pytest.fixture
def made(services: Services) -> dict[str, Any]:
    return services.keys.create(ADMIN, API)


def later(seconds: float) -> str:
    return timestamp(datetime.now(UTC) + timedelta(seconds=seconds))


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(keys_module, "now", lambda: later(seconds))


class TestTwoTokens:
    def test_both_are_good_for_a_day(
        self, services: Services, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rotated = services.keys.rotate(ADMIN, made["id"])
        assert rotated["token"] != made["token"] and rotated["id"] == made["id"]
        assert later(DAY_S - 60) < rotated["previous_expires"] < later(DAY_S + 60)
        for token in (made["token"], rotated["token"]):
            holder = services.authenticate(token)
            assert isinstance(holder, Actor) and holder.token_id == made["id"] and holder.role == "editor"

        pass_time(monkeypatch, DAY_S + 1)
        assert services.authenticate(rotated["token"])
        with pytest.raises(Unauthenticated, match="rotated"):
            services.authenticate(made["token"])

    def test_every_process_knows_both(
        self, services: Services, made: dict[str, Any], fake: FakeRedis, tmp_path: Path
    ) -> None:
        rotated = services.keys.rotate(ADMIN, made["id"], overlap=60)
        with opened(fake, tmp_path / "other") as other:
            assert other.authenticate(made["token"]) and other.authenticate(rotated["token"])

    def test_without_an_overlap_the_old_one_ends_at_once(self, services: Services, made: dict[str, Any]) -> None:
        rotated = services.keys.rotate(ADMIN, made["id"], overlap=0)
        assert services.authenticate(rotated["token"])
        with pytest.raises(Unauthenticated, match="not known"):
            services.authenticate(made["token"])
        assert services.keys.rotate(ADMIN, made["id"], overlap=0)["token"]

    def test_a_third_is_refused_until_the_old_one_has_ended(
        self, services: Services, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        second = services.keys.rotate(ADMIN, made["id"], overlap=60)
        with pytest.raises(InProgress, match=f"DELETE /api/v1/keys/{made['id']}/previous"):
            services.keys.rotate(ADMIN, made["id"])
        assert services.authenticate(made["token"]) and services.authenticate(second["token"])

        pass_time(monkeypatch, 61)
        third = services.keys.rotate(ADMIN, made["id"])
        assert services.authenticate(second["token"]) and services.authenticate(third["token"])
        with pytest.raises(Unauthenticated):
            services.authenticate(made["token"])

    def test_the_old_one_can_be_ended_at_once(self, services: Services, made: dict[str, Any]) -> None:
        with pytest.raises(NotFound):
            services.keys.end_previous(ADMIN, made["id"])
        rotated = services.keys.rotate(ADMIN, made["id"])
        services.keys.end_previous(ADMIN, made["id"])
        with pytest.raises(Unauthenticated):
            services.authenticate(made["token"])
        assert services.authenticate(rotated["token"])
        assert services.keys.get(ADMIN, made["id"])["previous_expires"] <= later(1)
        with pytest.raises(NotFound):
            services.keys.end_previous(ADMIN, made["id"])
        assert services.keys.rotate(ADMIN, made["id"])["token"]

    def test_revoking_the_key_ends_both(self, services: Services, made: dict[str, Any]) -> None:
        rotated = services.keys.rotate(ADMIN, made["id"])
        services.keys.revoke(ADMIN, made["id"])
        for token in (made["token"], rotated["token"]):
            with pytest.raises(Unauthenticated):
                services.authenticate(token)

    def test_neither_outlives_the_key(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        made = services.keys.create(ADMIN, API | {"expires": later(600)})
        rotated = services.keys.rotate(ADMIN, made["id"])
        assert rotated["expires"] == rotated["previous_expires"] == made["expires"]
        pass_time(monkeypatch, 601)
        for token in (made["token"], rotated["token"]):
            with pytest.raises(Unauthenticated, match="expired"):
                services.authenticate(token)
        with pytest.raises(Invalid, match="has expired"):
            services.keys.rotate(ADMIN, made["id"])

    @pytest.mark.parametrize("overlap", [-1, 30 * DAY_S + 1])
    def test_an_overlap_has_its_limits(self, services: Services, made: dict[str, Any], overlap: int) -> None:
        with pytest.raises(Invalid) as refused:
            services.keys.rotate(ADMIN, made["id"], overlap=overlap)
        assert refused.value.errors[0][0] == ("overlap",)

    def test_only_by_whoever_could_have_made_it(self, services: Services, made: dict[str, Any]) -> None:
        for other in (actor("editor"), actor("admin", services=[CHECKOUT]), actor("admin", expires=later(60))):
            with pytest.raises(Forbidden):
                services.keys.rotate(other, made["id"])
            with pytest.raises(Forbidden):
                services.keys.end_previous(other, made["id"])
        with pytest.raises(NotFound):
            services.keys.rotate(ADMIN, "nope")


class TestSecrecy:
    def test_no_token_and_no_hash_is_told_to_anybody(self, services: Services, made: dict[str, Any]) -> None:
        rotated = services.keys.rotate(ADMIN, made["id"], operation="turn")
        document = services._store.view.get(f"key/{made['id']}")
        assert document is not None
        hidden = [
            document.body["hash"],
            document.body["previous_hash"],
            *(t.split("_")[2] for t in (made["token"], rotated["token"])),
        ]
        told = json.dumps([services.keys.list(ADMIN).items, services.history.log(ADMIN).items])
        assert all(secret and secret not in told for secret in hidden)
        services.keys.end_previous(ADMIN, made["id"])
        actions = [entry["action"] for entry in services.history.log(ADMIN, action="key").items]
        assert actions == ["key.end-previous", "key.rotate", "key.create"]

    def test_who_has_rotated_it_is_kept(self, services: Services, made: dict[str, Any]) -> None:
        services.keys.rotate(actor("admin", name="grace"), made["id"], overlap=0)
        services.keys.rotate(ADMIN, made["id"], overlap=0)
        document = services._store.view.get(f"key/{made['id']}")
        assert document is not None and list(document.body["rotated_by"]) == ["token-of-grace", None]
        assert not {"rotated_by", "made_by", "hash", "previous_hash"} & services.keys.get(ADMIN, made["id"]).keys()


class TestAgain:
    """A repeated request never shows a token that opens nothing."""

    def test_a_rotation_is_answered_with_the_same_token(self, services: Services, made: dict[str, Any]) -> None:
        first = services.keys.rotate(ADMIN, made["id"], operation="turn")
        again = services.keys.rotate(ADMIN, made["id"], operation="turn")
        assert again["token"] == first["token"] and services.authenticate(again["token"])

    @pytest.mark.parametrize("secret", [None, b"another session of the same person"])
    def test_it_is_refused_where_the_token_cannot_be_told(self, services: Services, secret: bytes | None) -> None:
        ada = replace(actor("admin", secret=b"one session"), kind="person")
        made = services.keys.create(ada, API, operation="make")
        other = replace(ada, secret=secret)
        with pytest.raises(OperationConflict, match="cannot be shown again"):
            services.keys.create(other, API, operation="make")
        services.keys.rotate(ada, made["id"], operation="turn")
        with pytest.raises(OperationConflict, match="cannot be shown again"):
            services.keys.rotate(other, made["id"], operation="turn")
        assert len(services.keys.list(ADMIN).items) == 1

    def test_whoever_has_no_secret_gets_one_that_works_and_no_second(self, services: Services) -> None:
        ada = replace(actor("admin"), kind="person")
        assert services.authenticate(services.keys.create(ada, API, operation="make")["token"])
        with pytest.raises(OperationConflict):
            services.keys.create(ada, API, operation="make")


class TestStreams:
    @pytest.fixture
    def services(self, services: Services) -> Iterator[Services]:
        yield services
        services.stop()

    def holder(self, services: Services, token: str) -> SdkKey:
        found = services.authenticate(token)
        assert isinstance(found, SdkKey)
        return found

    def test_those_of_the_old_token_end_with_it_and_no_others(self, services: Services) -> None:
        old = services.keys.create(ADMIN, SDK)
        new = services.keys.rotate(ADMIN, old["id"])
        with (
            listen(services, self.holder(services, old["token"]), CHECKOUT) as one,
            listen(services, self.holder(services, new["token"]), CHECKOUT) as other,
        ):
            one.next("snapshot")
            other.next("snapshot")
            services.keys.end_previous(ADMIN, old["id"])
            assert one.next("end").data == {"reason": "revoked"}
            assert other.stream.reason is None

    def test_also_when_it_ends_by_the_clock(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        old = services.keys.create(ADMIN, SDK)
        with listen(services, self.holder(services, old["token"]), CHECKOUT) as stream:
            stream.next("snapshot")
            services.keys.rotate(ADMIN, old["id"], overlap=60)
            assert stream.stream.reason is None
            pass_time(monkeypatch, 61)
            wait_until(lambda: stream.stream.reason is Reason.REVOKED, "it has ended")


class TestLastUsed:
    def test_a_token_that_is_used_says_so(self, services: Services, made: dict[str, Any]) -> None:
        assert services.keys.get(ADMIN, made["id"])["last_used"] is None
        services.authenticate(made["token"])
        (key,) = services.keys.list(ADMIN).items
        assert key["last_used"] == services.keys.get(ADMIN, made["id"])["last_used"]
        assert later(-60) < key["last_used"] <= later(1)

    def test_a_refused_one_does_not(self, services: Services, made: dict[str, Any]) -> None:
        services.keys.rotate(ADMIN, made["id"], overlap=0)
        with pytest.raises(Unauthenticated):
            services.authenticate(made["token"])
        assert services.keys.get(ADMIN, made["id"])["last_used"] is None

    def test_other_processes_hear_of_it_once_a_minute(
        self, services: Services, made: dict[str, Any], fake: FakeRedis, tmp_path: Path
    ) -> None:
        with opened(fake, tmp_path / "other") as other:
            other.authenticate(made["token"])
            other.keys._usage.flush()
        assert services.keys.get(ADMIN, made["id"])["last_used"]

    def test_it_is_told_when_the_process_ends(
        self, services: Services, made: dict[str, Any], fake: FakeRedis, tmp_path: Path
    ) -> None:
        with opened(fake, tmp_path / "other") as other:
            other.authenticate(made["token"])
        wait_until(lambda: services.keys.get(ADMIN, made["id"])["last_used"], "it is told")

    def test_many_uses_are_one_write_and_the_latest_counts(self, services: Services) -> None:
        store: Store = services._store
        at = [1000.0]
        usage = Usage(store, wall=lambda: at[0])
        late = Usage(store, wall=lambda: 900.0)
        for _ in range(100):
            usage.note("k")
            at[0] += 1
        late.note("k")
        usage.flush()
        late.flush()
        assert store.usage.all()["k"] == 1099
        assert late.times()["k"] == "1970-01-01T00:18:19.000Z"

    def test_keys_that_are_gone_are_swept_away(self, services: Services, made: dict[str, Any]) -> None:
        usage = services.keys._usage
        services.authenticate(made["token"])
        usage.note("gone")
        usage.flush()
        usage.sweep([made["id"]])
        assert set(services._store.usage.all()) == {made["id"]}

    @pytest.mark.redis
    def test_it_survives_redis_away(self, real: RealRedis, tmp_path: Path) -> None:
        with opened(real, tmp_path / "data") as services:
            made = services.keys.create(ADMIN, API)
            real.stop()
            assert isinstance(services.authenticate(made["token"]), Actor)
            assert services.keys.get(ADMIN, made["id"])["last_used"], "what this process has seen, it knows"
            usage = services.keys._usage
            with pytest.raises(StoreUnavailable), services._store.asking():
                usage.flush()
            real.start()
            wait_until(lambda: services.health()["state"] == "following", "Redis is followed")
            with services._store.asking():
                usage.flush()
            assert made["id"] in services._store.usage.all()
