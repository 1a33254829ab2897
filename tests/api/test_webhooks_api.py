"""`/api/v1/webhooks`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.api import FLAG, Client, open_client, problem, settle
from support.hooks import LOOPBACK, Receiver, receiving
from support.redis import FakeRedis
from support.waiting import wait_until

WEBHOOKS = "/api/v1/webhooks"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with open_client(FakeRedis(), tmp_path, webhook_allow=LOOPBACK) as found:
        settle(found)
        yield found


def test_a_hook_from_its_birth_to_its_end(client: Client, receiver: Receiver) -> None:
    answer = client.post(WEBHOOKS, {"name": "on-call", "url": receiver.url, "events": ["flag.kill"]})
    made = answer.json
    where = f"{WEBHOOKS}/{made['id']}"
    assert answer.status_code == 201 and answer.headers["Location"] == where
    assert made["secret"].startswith("whsec_")

    assert client.post(f"{FLAG}/kill").status_code == 200
    wait_until(lambda: receiver.got, "it is told")
    assert receiver.got[0].verified_by(made["secret"])
    wait_until(lambda: client.get(where).json["status"]["last_delivery"], "that is kept")
    (told,) = client.get(f"{where}/deliveries?limit=10").json["items"]
    assert (told["type"], told["outcome"], told["status"]) == ("flag.kill", "delivered", 200)

    second = client.post(f"{where}/rotate", {"overlap": 60}).json["secret"]
    assert client.post(f"{where}/rotate").status_code == 200
    tried = client.post(f"{where}/test").json
    assert tried["delivered"] is True and tried["status"] == 200
    assert receiver.got[1].verified_by(second)

    changed = client.patch(where, {"enabled": False}, if_match=f'"{client.get(where).json["version"]}"')
    assert changed.status_code == 200 and changed.json["disabled"]["reason"] == "switched off by admin"
    assert changed.headers["ETag"] == f'"{changed.json["version"]}"'
    assert problem(client.patch(where, {"enabled": True}, if_match='"1"')) == (412, "version-mismatch")
    listed = client.get(WEBHOOKS).json["items"]
    assert [hook["id"] for hook in listed] == [made["id"]] and "secret" not in listed[0]
    assert client.delete(where).status_code == 204
    assert problem(client.get(where)) == (404, "not-found")


def test_what_is_wrong_is_told_with_its_place(client: Client) -> None:
    answer = client.post(WEBHOOKS, {"name": "x", "url": "https://10.0.0.1/"})
    assert problem(answer) == (422, "invalid")
    assert answer.json["errors"][0]["pointer"] == "#/url"
    assert "DOWNHAUL_WEBHOOK_ALLOW" in answer.json["detail"]
    assert problem(client.post(WEBHOOKS, {"name": "x"})) == (422, "invalid")
    assert problem(client.post(WEBHOOKS, {"name": "x", "url": "https://example.com", "events": ["?"]}))[0] == 422


@pytest.mark.parametrize("by", ["killer", "viewer", "operator", "editor", "stranger", "tester"])
def test_nobody_but_an_administrator_may(client: Client, by: str) -> None:
    made = client.post(WEBHOOKS, {"name": "x", "url": "https://hooks.example.com/"}).json
    where = f"{WEBHOOKS}/{made['id']}"
    answers = [
        client.get(WEBHOOKS, by=by),
        client.post(WEBHOOKS, {"name": "x", "url": "https://hooks.example.com/"}, by=by),
        client.get(where, by=by),
        client.patch(where, {"name": "y"}, by=by),
        client.delete(where, by=by),
        client.post(f"{where}/rotate", by=by),
        client.post(f"{where}/test", by=by),
        client.get(f"{where}/deliveries", by=by),
    ]
    assert {problem(answer) for answer in answers} == {(403, "forbidden")}
    assert "hooks.example.com" not in "".join(answer.text for answer in answers)
