"""A server that has lost its store goes on with what it knows; whoever can ask another one does."""

from __future__ import annotations

from support.fakeservice import Connect, FakeService
from support.fakestream import heartbeat, repeating
from support.rulesets import flag
from support.waiting import wait_until


def test_when_only_the_server_of_the_stream_has_lost_the_store_another_one_is_heard(
    service: FakeService, connect: Connect
) -> None:
    old = service.snapshot
    service.only("stream", repeating(lambda _: heartbeat(old, 20.0), 0.05))
    client = connect(stream=True)
    wait_until(lambda: client.status().revision == 1, "there is a snapshot")
    wait_until(lambda: "from its store" in str(client.status().last_error), "the stream's server has lost the store")
    service.publish(2, {"new-checkout": flag(on=False)})
    wait_until(lambda: client.enabled("new-checkout") is False, "the kill is heard from another one")
    service.only("stream", None)
    wait_until(lambda: (client.status().state, client.status().link) == ("ready", "stream"), "it streams from there")


def test_when_every_server_has_lost_the_store_streams_are_kept(service: FakeService, connect: Connect) -> None:
    service.store_age_s = 20.0
    client = connect(stream=True)
    wait_until(lambda: client.status().link == "stream", "it streams")
    polls = len(service.of("snapshot"))
    wait_until(lambda: len(service.of("snapshot")) >= polls + 3, "it asks whether another one knows better")
    assert len(service.of("stream")) == 1
    assert client.status().state == "stale"
