"""Epoch and revision of a payload are named twice: one wrong digit would make a process deaf to what comes after."""

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
    assert change_snapshot(changed(1, 2), current, "e1:2")[0].revision == 2


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


def test_nobody_goes_back_to_an_epoch_that_operators_have_given_up(service: FakeService, connect: Connect) -> None:
    client = connect(stream=False)
    assert client.wait_ready()
    service.publish(1, OFF, epoch="e2", succeeds=["e1"])
    wait_until(lambda: client.status().epoch == "e2", "the decision is heard of")
    service.publish(7, ON)
    wait_until(lambda: "e1; e2, which succeeds it" in str(client.status().last_error), "an old server is not believed")
    assert client.enabled("new-checkout") is False
    assert client.status().state == "stale"
    service.publish(1, ON, epoch="e3", succeeds=["e2", "e1"])
    wait_until(lambda: client.status().epoch == "e3" and client.enabled("new-checkout"), "the next decision counts")


def test_an_epoch_that_nobody_has_decided_about_is_taken_as_it_comes(service: FakeService, connect: Connect) -> None:
    client = connect(stream=False)
    for epoch in ("e1", "e2", "e1"):
        service.publish(1, ON, epoch=epoch)
        wait_until(lambda epoch=epoch: client.status().epoch == epoch, "it is taken")


@pytest.mark.parametrize("succeeds", ["e1", [1], {"e1": 1}, None])
def test_epochs_that_are_none_are_refused(succeeds: Any) -> None:
    with pytest.raises(SnapshotError, match="succeeds"):
        read_snapshot(encoded(1, ON, epoch="e2", succeeds=succeeds), SERVICE)
