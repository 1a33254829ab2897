"""Whatever is committed, and wherever a client was cut off: what it was told adds up to the snapshot, exactly."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from downhaul_server.services.actors import SdkKey
from downhaul_server.services.container import Services
from downhaul_server.services.errors import NotFound, ServiceError
from downhaul_server.services.snapshots import Snapshot
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.deeds import DEEDS, Deed, do
from support.redis import FakeRedis
from support.services import ADMIN, opened
from support.streams import Heard, Listener, Replica, listen
from support.waiting import wait_until

SERVICES = ("one", "two")
PLACES = tuple(itertools.product(SERVICES, ("production", "staging")))


def check(replica: Replica, snapshot: Snapshot) -> None:
    """The replica holds what a poll would give, revision and all."""
    whole = json.loads(snapshot.body)
    assert (replica.epoch, replica.revision) == (whole["epoch"], whole["revision"])
    assert meaning(replica.flags, replica.segments) == meaning(whole["flags"], whole["segments"])


def meaning(flags: Any, segments: Any) -> str:
    return json.dumps([flags, segments], sort_keys=True)


def caught_up(listener: Listener, snapshot: Snapshot) -> list[Heard]:
    """What the listener has heard, once it was told of this snapshot or a later one."""
    wait_until(lambda: any(heard.data["revision"] >= snapshot.revision for heard in listener.heard), "it has caught up")
    return listener.heard


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example is a server: making one smaller takes minutes
)
@given(deeds=st.lists(DEEDS, min_size=10, max_size=40))
def test_a_client_holds_exactly_the_snapshot_however_it_came_there(tmp_path: Path, deeds: list[Deed]) -> None:
    with opened(FakeRedis(), tmp_path / f"data{len(list(tmp_path.iterdir()))}") as services:
        keys = {environment: _settled(services, environment) for environment in ("production", "staging")}
        live = {place: listen(services, keys[place[1]], place[0]) for place in PLACES}
        held: dict[tuple[str, str], list[Snapshot]] = {place: [] for place in PLACES}
        for deed in [None, *deeds]:
            if deed is not None:
                do(services, deed)
            for place, snapshots in held.items():
                with suppress(NotFound):
                    snapshots.append(services.snapshots.get(keys[place[1]], place[0]))
        for place, snapshots in held.items():
            replica = Replica()
            for heard in caught_up(live[place], snapshots[-1]):
                replica.take(heard)
            check(replica, snapshots[-1])
            for snapshot in {each.revision: each for each in snapshots}.values():
                _resume(services, keys[place[1]], place[0], snapshot, snapshots[-1])
        services.stop()


def _settled(services: Services, environment: str) -> SdkKey:
    for service in SERVICES:
        with suppress(ServiceError):
            services.catalog.create_service(ADMIN, {"key": service})
            for flag in "ab":
                services.flags.create(ADMIN, service, {"key": flag, "type": "boolean"})
    body = {"kind": "sdk", "name": "instances", "environment": environment, "services": ["*"]}
    key = services.authenticate(services.keys.create(ADMIN, body)["token"])
    assert isinstance(key, SdkKey)
    return key


def _resume(services: Services, key: SdkKey, service: str, since: Snapshot, newest: Snapshot) -> None:
    """A client that was cut off at `since` comes back."""
    replica = Replica()
    replica.epoch, replica.revision = since.epoch, since.revision
    whole = json.loads(since.body)
    replica.take(Heard("snapshot", since.position, None, whole))
    with listen(services, key, service, last=(since.epoch, since.revision)) as listener:
        first = caught_up(listener, newest)[0]
    assert first.event == ("heartbeat" if since.revision == newest.revision else "change")
    replica.take(first)
    check(replica, newest)
