"""Redis away: all that is read goes on, all that is written is refused clearly and soon, and then it works again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services import tokens
from downhaul_server.services.actors import Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Invalid, Unavailable
from downhaul_server.settings import Settings
from downhaul_server.store import Store
from support.redis import RealRedis
from support.services import ADMIN, ADMIN_TOKEN, CHECKOUT, FLAG, boolean, opened, sdk_key, with_flags
from support.waiting import wait_until

pytestmark = pytest.mark.redis


def test_reads_go_on_and_writes_are_refused(real: RealRedis, tmp_path: Path) -> None:
    with opened(real, tmp_path / "data") as services:
        with_flags(services, checkout=[FLAG])
        token = services.keys.create(ADMIN, {"kind": "api", "name": "ci", "role": "editor"})["token"]
        before = services.snapshots.get(sdk_key(), CHECKOUT)
        real.kill()

        assert services.snapshots.get(sdk_key(), CHECKOUT) is before
        assert services.flags.get(ADMIN, CHECKOUT, FLAG)["key"] == FLAG
        assert services.catalog.list_environments(ADMIN).items
        assert isinstance(services.authenticate(token), Actor)
        assert services.evaluate.explain(ADMIN, CHECKOUT, FLAG, environment=None, context={})["reason"] == "DISABLED"
        for write in (
            lambda: services.kill.kill(ADMIN, CHECKOUT, FLAG),
            lambda: services.flags.create(ADMIN, CHECKOUT, boolean("beta"), operation="once"),
            lambda: services.flags.patch(ADMIN, CHECKOUT, FLAG, {"owner": "ada"}),
            lambda: services.flags.patch(ADMIN, CHECKOUT, FLAG, {}),
            lambda: services.history.log(ADMIN),
        ):
            _refused_soon(write)
        with pytest.raises(Invalid):
            services.flags.patch(ADMIN, CHECKOUT, FLAG, {"off_variant": "x"})

        real.start()
        wait_until(lambda: services.health()["state"] == "following", "the store is followed again")
        assert services.kill.kill(ADMIN, CHECKOUT, FLAG).changed


def _refused_soon(call: Any) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable):
        call()
    assert time.monotonic() - started < 15, "and not as long as a client of Redis tries again"


def test_a_server_that_never_saw_redis_serves_nobody(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, admin_token=ADMIN_TOKEN)
    with Store.open(settings, redis_url="redis://127.0.0.1:1/0") as store:
        services = Services(store, settings)
        assert isinstance(services.authenticate(ADMIN_TOKEN), Actor)
        assert services.health()["state"] == "loading"
        for call in (
            lambda: services.flags.get(ADMIN, CHECKOUT, FLAG),
            lambda: services.snapshots.get(sdk_key(), CHECKOUT),
            lambda: services.authenticate(tokens.make("sdk", bytes(32))),
            lambda: services.kill.kill(ADMIN, CHECKOUT, FLAG),
        ):
            with pytest.raises(Unavailable):
                call()
