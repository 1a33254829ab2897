"""Keys: a token is shown once, is worth what its document says, and nothing from the moment it is revoked."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services import keys as keys_module
from downhaul_server.services import tokens
from downhaul_server.services.actors import Actor, Grant, SdkKey
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, Invalid, NotFound, OperationConflict, Unauthenticated
from support.redis import FakeRedis
from support.services import ADMIN, ADMIN_TOKEN, actor, opened

SDK = {"kind": "sdk", "name": "tills", "environment": "production", "services": ["checkout"]}
API = {"kind": "api", "name": "pipeline", "role": "editor", "services": ["checkout"], "environments": ["staging"]}
SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


class TestCreate:
    def test_an_sdk_key(self, services: Services) -> None:
        made = services.keys.create(ADMIN, SDK)
        token = made.pop("token")
        assert made == {
            **SDK,
            "id": made["id"],
            "created_at": made["created_at"],
            "created_by": "admin",
            "last_used": None,
        }
        assert services.keys.get(ADMIN, made["id"]) == made
        mark = hashlib.sha256(token.encode()).hexdigest()[:16]
        assert services.authenticate(token) == SdkKey(made["id"], "tills", "production", frozenset({"checkout"}), mark)

    def test_an_api_token(self, services: Services) -> None:
        made = services.keys.create(ADMIN, API | {"expires": SOON})
        holder = services.authenticate(made["token"])
        assert isinstance(holder, Actor)
        assert (holder.name, holder.kind, holder.role) == ("pipeline", "token", "editor")
        assert holder.grants == (Grant("editor", frozenset({"checkout"}), frozenset({"staging"})),)
        assert holder.token_id == made["id"] and holder.expires == made["expires"]

    def test_it_reaches_everything_unless_told_otherwise(self, services: Services) -> None:
        made = services.keys.create(ADMIN, {"kind": "api", "name": "all", "role": "viewer"})
        assert (made["services"], made["environments"], made["expires"]) == (["*"], ["*"], None)

    def test_the_token_is_kept_nowhere(self, services: Services) -> None:
        token = services.keys.create(ADMIN, API, operation="first")["token"]
        secret = token.split("_")[2]
        assert secret not in json.dumps(services.keys.list(ADMIN).items)
        assert secret not in json.dumps(services.history.log(ADMIN).items)
        client = services._store._connections.writes
        dump = [client.dump(key) for key in client.keys("*")]
        assert dump and all(secret.encode() not in (part or b"") for part in dump)

    @pytest.mark.parametrize(
        ("document", "path"),
        [
            ({"kind": "magic"}, ("kind",)),
            (SDK | {"role": "admin"}, ("role",)),
            (SDK | {"environment": "moon"}, ("environment",)),
            ({"kind": "sdk", "name": "x"}, ("environment",)),
            (SDK | {"services": ["checkout", "nowhere"]}, ("services", 1)),
            (SDK | {"name": ""}, ("name",)),
            (API | {"environments": ["moon"]}, ("environments", 0)),
            (API | {"role": "king"}, ("role",)),
            (API | {"expires": "2020-01-01T00:00:00Z"}, ("expires",)),
            (API | {"expires": "tomorrow"}, ("expires",)),
        ],
    )
    def test_faults_are_told_with_their_place(
        self, services: Services, document: dict[str, Any], path: tuple[str | int, ...]
    ) -> None:
        with pytest.raises(Invalid) as refused:
            services.keys.create(ADMIN, document)
        assert [place for place, _ in refused.value.errors] == [path]


class TestMight:
    """Nobody makes a key that is mightier than their own, or sees or revokes one."""

    @pytest.mark.parametrize(
        ("limits", "document"),
        [
            ({"services": ["payments"]}, API),
            ({"services": ["payments"]}, SDK),
            ({"services": ["checkout"]}, API | {"services": ["*"]}),
            ({"environments": ["production"]}, API),
            ({"environments": ["staging"]}, SDK),
            ({"expires": "2026-01-01T00:00:00.000Z"}, API),
        ],
    )
    def test_scopes(self, services: Services, limits: dict[str, Any], document: dict[str, Any]) -> None:
        limited = actor("admin", **limits)
        with pytest.raises(Forbidden):
            services.keys.create(limited, document)
        made = services.keys.create(ADMIN, document)
        assert services.keys.list(limited).items == []
        with pytest.raises(Forbidden):
            services.keys.get(limited, made["id"])
        with pytest.raises(Forbidden):
            services.keys.revoke(limited, made["id"])

    def test_within_the_limits(self, services: Services) -> None:
        limited = actor("admin", services=["checkout"], environments=["staging"])
        made = services.keys.create(limited, API)
        assert [key["id"] for key in services.keys.list(limited).items] == [made["id"]]
        assert [key["id"] for key in services.keys.list(limited, kind="sdk").items] == []

    @pytest.mark.parametrize("role", ["viewer", "operator", "editor", "approver"])
    def test_keys_are_for_administrators(self, services: Services, role: str) -> None:
        for call in (
            lambda: services.keys.create(actor(role), API),
            lambda: services.keys.list(actor(role)),
            lambda: services.keys.get(actor(role), "0123"),
            lambda: services.keys.revoke(actor(role), "0123"),
        ):
            with pytest.raises(Forbidden):
                call()


class TestAgain:
    def test_a_repeated_request_is_answered_with_the_same_token(self, services: Services) -> None:
        first = services.keys.create(ADMIN, API, operation="make-it")
        assert services.keys.create(ADMIN, API, operation="make-it") == first
        assert len(services.keys.list(ADMIN).items) == 1

    def test_another_request_is_refused(self, services: Services) -> None:
        services.keys.create(ADMIN, API, operation="make-it")
        with pytest.raises(OperationConflict):
            services.keys.create(ADMIN, SDK, operation="make-it")

    def test_another_client_has_ids_of_its_own(self, services: Services) -> None:
        first = services.keys.create(ADMIN, API, operation="make-it")
        second = services.keys.create(actor("admin", secret=b"hers"), API, operation="make-it")
        assert second["token"] != first["token"] and second["id"] != first["id"]


class TestAuthenticate:
    def test_the_first_administrator(self, services: Services) -> None:
        holder = services.authenticate(ADMIN_TOKEN)
        assert isinstance(holder, Actor)
        assert (holder.kind, holder.role, holder.token_id) == ("admin", "admin", None)

    def test_revoked_at_once(self, services: Services) -> None:
        made = services.keys.create(ADMIN, API)
        assert services.authenticate(made["token"])
        services.keys.revoke(ADMIN, made["id"])
        with pytest.raises(Unauthenticated, match="not known"):
            services.authenticate(made["token"])
        with pytest.raises(NotFound):
            services.keys.revoke(ADMIN, made["id"])

    def test_by_every_process(self, services: Services, fake: FakeRedis, tmp_path: Path) -> None:
        made = services.keys.create(ADMIN, SDK)
        with opened(fake, tmp_path / "other") as other:
            assert other.authenticate(made["token"])

    def test_expired(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        made = services.keys.create(ADMIN, API | {"expires": SOON})
        monkeypatch.setattr(keys_module, "now", lambda: made["expires"])
        with pytest.raises(Unauthenticated, match="expired"):
            services.authenticate(made["token"])

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda token: "",
            lambda token: "nonsense",
            lambda token: "ünïcødé \udcff",
            lambda token: token[:-1],
            lambda token: token + "0",
            lambda token: token.replace("dh_api", "dh_sdk"),
            lambda token: token.upper(),
            lambda token: f"{token}\n",
            lambda token: token[:10] + ("A" if token[10] != "A" else "B") + token[11:],
        ],
    )
    def test_anything_else_is_refused_and_not_repeated(self, services: Services, spoil: Any) -> None:
        token = services.keys.create(ADMIN, API)["token"]
        with pytest.raises(Unauthenticated) as refused:
            services.authenticate(spoil(token))
        assert token not in str(refused.value)

    def test_a_mistyped_token_costs_no_look_up(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        token = services.keys.create(ADMIN, API)["token"]
        monkeypatch.setattr(tokens, "digest", lambda _: pytest.fail("it was looked up"))
        with pytest.raises(Unauthenticated):
            services.authenticate(token[:-1] + ("0" if token[-1] != "0" else "1"))

    def test_a_whole_token_that_nobody_made(self, services: Services) -> None:
        with pytest.raises(Unauthenticated):
            services.authenticate(tokens.make("sdk", bytes(32)))


class TestToken:
    def test_its_form(self) -> None:
        token = tokens.make("sdk", bytes(range(32)))
        prefix, kind, secret, checksum = token.split("_")
        assert (prefix, kind) == ("dh", "sdk")
        assert len(secret) == 43 and secret.isalnum() and len(checksum) == 8
        assert tokens.is_whole(token)

    def test_different_seeds_make_different_tokens(self) -> None:
        made = {tokens.make("api", tokens.seed(None, None, "")) for _ in range(100)}
        assert len(made) == 100
