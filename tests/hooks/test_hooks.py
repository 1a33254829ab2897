"""Webhooks as documents: who may have which, and what is never shown."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services import hooks as module
from downhaul_server.services.actors import ROLES, Actor
from downhaul_server.services.container import Services
from downhaul_server.services.errors import Forbidden, Invalid, NotFound, Overloaded, VersionMismatch
from support.hooks import Receiver
from support.redis import FakeRedis
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, actor
from support.waiting import wait_until

URL = "https://hooks.example.com/in"


def create(house: Services, by: Actor = ADMIN, /, **more: Any) -> dict[str, Any]:
    return house.hooks.create(by, {"name": "x", "url": URL, **more})


def test_a_hook_has_defaults_and_a_secret_that_is_shown_once(services: Services) -> None:
    made = create(services)

    assert {name: made[name] for name in ("format", "events", "services", "environments", "enabled", "disabled")} == {
        "format": "standard",
        "events": ["flag.*"],
        "services": ["*"],
        "environments": ["*"],
        "enabled": True,
        "disabled": None,
    }
    assert made["created_by"] == "admin"
    assert len(made["secret"]) == len("whsec_") + 44
    assert "secret" not in services.hooks.get(ADMIN, made["id"])
    assert "secret" not in services.hooks.patch(ADMIN, made["id"], {"name": "y"})
    assert "secret" not in services.hooks.list(ADMIN).items[0]


def test_a_secret_is_in_no_document_log_or_checkpoint(services: Services, fake: FakeRedis, tmp_path: Path) -> None:
    made = create(services)
    second = services.hooks.rotate(ADMIN, made["id"])["secret"]
    client = fake.client()
    kept = b"".join(client.hvals("{downhaul}:docs")) + str(client.xrange("{downhaul}:log")).encode()
    shown = json.dumps(services.history.log(ADMIN).items)
    for secret in (made["secret"], second):
        assert secret.encode() not in kept and secret not in shown
    services._store.close()
    for file in (tmp_path / "data").rglob("*"):
        assert not file.is_file() or made["secret"].encode() not in file.read_bytes()


def test_the_log_shows_addresses_without_their_secret_part_and_to_administrators_only(services: Services) -> None:
    made = create(services, url="https://hooks.slack.com/services/T0/B0/hush", format="slack")
    (item,) = services.history.log(ADMIN, action="hook").items
    assert "hush" not in json.dumps(item)
    assert item["documents"][0]["changes"][0]["after"]["url"].startswith("https://hooks.slack.com/...")
    services.hooks.patch(ADMIN, made["id"], {"url": "https://hooks.slack.com/services/T0/B0/other"})
    (newest, _) = services.history.log(ADMIN, action="hook").items
    assert [change["path"] for change in newest["documents"][0]["changes"]] == ["/url"]
    assert services.history.log(actor("approver"), action="hook").items == []
    assert services.history.log(actor("admin", services=[CHECKOUT]), service=CHECKOUT, action="hook").items == []


@pytest.mark.parametrize("role", ROLES)
def test_only_administrators_have_to_do_with_hooks(services: Services, role: str) -> None:
    hook_id = create(services)["id"]
    deeds = [
        lambda by: services.hooks.list(by),
        lambda by: services.hooks.get(by, hook_id),
        lambda by: services.hooks.deliveries(by, hook_id),
        lambda by: create(services, by),
        lambda by: services.hooks.patch(by, hook_id, {"name": "y"}),
        lambda by: services.hooks.rotate(by, hook_id),
        lambda by: services.hooks.delete(by, hook_id),
    ]
    for deed in deeds:
        if role == "admin":
            deed(actor(role))
        else:
            with pytest.raises(Forbidden):
                deed(actor(role))


def test_who_administers_one_service_has_hooks_of_that_and_sees_no_others(services: Services) -> None:
    mine = actor("admin", services=[CHECKOUT])
    other = create(services, services=[CHECKOUT, PAYMENTS])
    for services_ in (["*"], [PAYMENTS], [CHECKOUT, PAYMENTS]):
        with pytest.raises(Forbidden):
            create(services, mine, services=services_)
    made = create(services, mine, services=[CHECKOUT])

    assert [hook["id"] for hook in services.hooks.list(mine).items] == [made["id"]]
    with pytest.raises(Forbidden):
        services.hooks.get(mine, other["id"])
    with pytest.raises(Forbidden):
        services.hooks.test(mine, other["id"])
    with pytest.raises(Forbidden):
        services.hooks.patch(mine, made["id"], {"services": ["*"]})


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"name": ""}, ("name",)),
        ({"url": ""}, ("url",)),
        ({"url": "http://127.0.0.1/"}, None),
        ({"url": "http://10.0.0.1/"}, ("url",)),
        ({"url": "https://169.254.169.254/"}, ("url",)),
        ({"url": "https://me:pw@example.com/"}, ("url",)),
        ({"format": "xml"}, ("format",)),
        ({"events": []}, ("events",)),
        ({"events": ["Flag"]}, ("events",)),
        ({"events": ["[a-z]"]}, ("events",)),
        ({"events": "flag"}, ("events",)),
        ({"services": ["nope"]}, ("services", 0)),
        ({"environments": ["*", "nope"]}, ("environments", 1)),
        ({"enabled": 1}, ("enabled",)),
        ({"colour": "red"}, ("colour",)),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(
    services: Services, document: dict[str, Any], path: tuple[str | int, ...] | None
) -> None:
    if path is None:
        assert create(services, **document)["url"] == document["url"]
        return
    with pytest.raises(Invalid) as error:
        create(services, **document)
    assert error.value.errors[0][0] == path
    with pytest.raises(Invalid):
        services.hooks.patch(ADMIN, create(services)["id"], document)


def test_a_repeated_request_makes_one_hook_with_one_secret(services: Services) -> None:
    made = [services.hooks.create(ADMIN, {"name": "x", "url": URL}, operation="op-1") for _ in range(2)]

    assert made[0] == made[1]
    rotated = [services.hooks.rotate(ADMIN, made[0]["id"], operation="op-2") for _ in range(2)]
    assert rotated[0]["secret"] == rotated[1]["secret"] != made[0]["secret"]
    assert len(services.hooks.list(ADMIN).items) == 1
    assert len(services._store.outbox.secrets(made[0]["id"])["secrets"]) == 2  # type: ignore[index]


def test_a_change_that_was_meant_for_another_version_is_refused(services: Services) -> None:
    made = create(services)
    services.hooks.patch(ADMIN, made["id"], {"name": "y"}, if_match=made["version"])
    for deed in (
        lambda: services.hooks.patch(ADMIN, made["id"], {"name": "z"}, if_match=made["version"]),
        lambda: services.hooks.delete(ADMIN, made["id"], if_match=made["version"]),
    ):
        with pytest.raises(VersionMismatch):
            deed()


def test_what_is_sent_back_as_it_came_changes_nothing(services: Services) -> None:
    made = create(services)
    hook = services.hooks.get(ADMIN, made["id"])

    assert services.hooks.patch(ADMIN, made["id"], hook)["version"] == made["version"]


def test_there_is_an_end_to_how_many_there_may_be(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    create(services)
    create(services)
    with pytest.raises(Invalid, match="2 webhooks already"):
        create(services)


def test_what_is_not_there_is_not_found(services: Services) -> None:
    for deed in (services.hooks.get, services.hooks.delete, services.hooks.test, services.hooks.deliveries):
        with pytest.raises(NotFound, match="there is no webhook abc"):
            deed(ADMIN, "abc")  # type: ignore[operator]


def test_a_hook_of_a_service_that_is_gone_can_still_be_switched_off(services: Services) -> None:
    services.catalog.create_service(ADMIN, {"key": "passing"})
    made = create(services, services=["passing"])
    services.catalog.delete_service(ADMIN, "passing")

    assert services.hooks.patch(ADMIN, made["id"], {"enabled": False})["enabled"] is False


def test_switching_off_is_said_and_forgotten_when_it_is_on_again(services: Services) -> None:
    made = create(services)
    off = services.hooks.patch(ADMIN, made["id"], {"enabled": False})
    assert off["disabled"]["reason"] == "switched off by admin"
    on = services.hooks.patch(ADMIN, made["id"], {"enabled": True})
    assert on["disabled"] is None
    assert on["since"] > made["since"]


def unknown(*_: Any) -> Any:
    raise socket.gaierror


class TestTrying:
    """`test`: one event now, past the queue."""

    def test_it_says_that_it_has_arrived(self, services: Services, hook: dict[str, Any], receiver: Receiver) -> None:
        receiver.will_answer(200, b"thank you, and here is a secret", Content_Type="text/plain")
        result = services.hooks.test(ADMIN, hook["id"])

        assert (result["delivered"], result["status"], result["error"], result["answer"]) == (True, 200, None, "")
        assert receiver.got[0].verified_by(hook["secret"])
        assert receiver.got[0].json["type"] == "webhook.test"
        (told,) = services.hooks.deliveries(ADMIN, hook["id"])
        assert (told["type"], told["outcome"], told["revision"]) == ("webhook.test", "delivered", None)
        assert services.hooks.get(ADMIN, hook["id"])["status"]["last_delivery"] is None

    def test_it_says_what_came_back_instead(self, services: Services, hook: dict[str, Any], receiver: Receiver) -> None:
        receiver.will_answer(400, b"invalid_blocks" + b"x" * 500, Content_Type="text/plain")
        result = services.hooks.test(ADMIN, hook["id"])

        assert (result["delivered"], result["status"]) == (False, 400)
        assert result["answer"].startswith("invalid_blocks") and len(result["answer"]) == 200

    def test_of_what_is_not_public_it_tells_nothing(self, services: Services) -> None:
        made = services.hooks.create(ADMIN, {"name": "x", "url": "https://localhost.example:6379/"})
        services.hooks._sender._allowed = ()
        told = set()
        for resolve in (lambda *_: [(2, 1, 6, "", ("127.0.0.1", 6379))], unknown):
            services.hooks._sender._resolve = resolve
            result = services.hooks.test(ADMIN, made["id"])
            assert result["status"] is None and result["answer"] == ""
            assert "no address that is public" in result["error"] and "127.0.0.1" not in result["error"]
            told.add(result["error"])

        assert len(told) == 1  # a name that is not there sounds like one that is

    def test_of_many_at_once_some_wait_for_their_turn(
        self, services: Services, hook: dict[str, Any], receiver: Receiver
    ) -> None:
        resumed = threading.Event()
        receiver.will_stall(resumed)
        threads = [threading.Thread(target=services.hooks.test, args=(ADMIN, hook["id"])) for _ in range(module.TESTS)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(receiver.got) == module.TESTS, "all are under way")
        with pytest.raises(Overloaded):
            services.hooks.test(ADMIN, hook["id"])
        resumed.set()
        for thread in threads:
            thread.join(10)

    def test_a_hook_that_is_off_can_be_tried(
        self, services: Services, hook: dict[str, Any], receiver: Receiver
    ) -> None:
        services.hooks.patch(ADMIN, hook["id"], {"enabled": False})
        services.kill.kill(ADMIN, CHECKOUT, FLAG)

        assert services.hooks.test(ADMIN, hook["id"])["delivered"]
        assert [got.json["type"] for got in receiver.got] == ["webhook.test"]
