"""The epoch and revision of a payload are named twice: one wrong digit would make a process deaf to what comes after."""

from __future__ import annotations

import json
from typing import Any

import pytest
from downhaul.engine.checksum import checksum
from downhaul.snapshot import SnapshotError, change_snapshot, read_snapshot
from support.fakeservice import SERVICE, Connect, FakeService, answer, envelope, serve_well
from support.rulesets import flag
from support.waiting import wait_until

ON, OFF = {"new-checkout": flag()}, {"new-checkout": flag(on=False)}


def encoded(revision: int, flags: dict[str, Any], **more: Any) -> bytes:
    return json.dumps(envelope(revision, flags, **more)).encode()


def changed(base: int, revision: int, **more: Any) -> bytes:
    return encoded(revision, OFF, base=base, checksum=checksum(OFF, {}), **more)


@pytest.mark.parametrize("place", ["e1:9", "e2:1", "e1:10"])
def test_a_snapshot_that_came_as_another_one_is_refused(place: str) -> None:
    with pytest.raises(SnapshotError, match="epoch and revision is 'e1:1'"):
        read_snapshot(encoded(1, ON), SERVICE, None, place)


@pytest.mark.parametrize("revision", [1, 2, 9])
def test_a_change_that_came_as_another_one_is_refused_whichever_way_it_is_wrong(revision: int) -> None:
    current = read_snapshot(encoded(1, ON), SERVICE)
    with pytest.raises(SnapshotError, match="the change's epoch and revision"):
        change_snapshot(changed(1, revision), current, "e1:3")


def test_what_came_as_what_it_is_is_taken() -> None:
    current = read_snapshot(encoded(1, ON), SERVICE, None, "e1:1")
    assert change_snapshot(changed(1, 2), current, "e1:2").revision == 2


@pytest.mark.parametrize("etag", ['"e1:2"', 'W/"e1:2"', '"e1:2-gzip"', '"68b329da"', ""])
def test_an_etag_that_something_on_the_way_has_changed_tells_nothing(
    service: FakeService, connect: Connect, etag: str
) -> None:
    service.behaviour = answer("200 OK", encoded(2, OFF), ETag=etag)
    client = connect(stream=False)
    wait_until(lambda: client.status().revision == 2, "it is taken")


def test_a_revision_that_was_changed_on_the_way_is_not_taken(service: FakeService, connect: Connect) -> None:
    client = connect(stream=False)
    assert client.wait_ready()
    service.behaviour = answer("200 OK", encoded(4095, ON), ETag='"e1:2"')
    wait_until(lambda: "e1:4095" in str(client.status().last_error), "it is refused")
    assert client.status().revision == 1
    service.publish(3, OFF)
    service.behaviour = serve_well
    wait_until(lambda: client.enabled("new-checkout") is False, "a kill is heard afterwards")
