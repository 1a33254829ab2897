"""Each event arrives, at least once and in order, whatever happens to the receiver, to us, or to Redis."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services import hook_courier, hook_events, hook_sender
from downhaul_server.services.commit import Committer
from downhaul_server.services.container import Services
from downhaul_server.services.kill import Kill
from downhaul_server.settings import Settings
from downhaul_server.store import Store
from downhaul_server.store.recover import from_checkpoint, from_redis
from support.hooks import LOOPBACK, Receiver, receiving
from support.redis import FakeRedis, RealRedis
from support.services import ADMIN, CHECKOUT, FLAG, PAYMENTS, boolean, opened, with_flags
from support.waiting import wait_until

PROGRAM = Path(__file__).parent / "programs" / "deliverer.py"
LEASE = "{downhaul}:lease:hooks"


def change(services: Services, number: int, service: str = CHECKOUT, flag: str = FLAG) -> int:
    """Change a description; gives the revision."""
    return int(services.flags.patch(ADMIN, service, flag, {"description": f"number {number}"})["version"])


def status(services: Services, hook: dict[str, Any]) -> Any:
    return services.hooks.get(ADMIN, hook["id"])["status"]


def outcomes(services: Services, hook: dict[str, Any]) -> list[tuple[str, int]]:
    return [(each["outcome"], each["attempt"]) for each in reversed(services.hooks.deliveries(ADMIN, hook["id"]))]


def test_a_kill_is_told_at_once_signed_as_the_specification_says(
    services: Services, receiver: Receiver, hook: dict[str, Any]
) -> None:
    done = services.kill.kill(ADMIN, CHECKOUT, FLAG, reason="double charges")
    wait_until(lambda: receiver.got, "it is told")

    (got,) = receiver.got
    assert got.verified_by(hook["secret"])
    assert not got.verified_by("whsec_" + "A" * 43 + "=")
    assert got.headers["content-type"] == "application/json"
    assert "." not in got.id
    assert got.json["type"] == "flag.kill"
    assert got.json["timestamp"] == done.committed_at
    data = got.json["data"]
    assert (data["revision"], data["actor"], data["reason"]) == (done.revision, "admin", "double charges")
    assert data["summary"] == "admin killed flag checkout/new-checkout in production"
    assert data["environments"] == ["production"]
    assert [(each["kind"], each["service"], each["key"]) for each in data["documents"]] == [("flag", CHECKOUT, FLAG)]
    assert data["url"] == "https://flags.example.com/services/checkout/flags/new-checkout"


def test_events_arrive_in_order_and_each_once_while_all_is_well(
    services: Services, receiver: Receiver, hook: dict[str, Any]
) -> None:
    wanted = [change(services, number) for number in range(60)]
    wait_until(lambda: len(receiver.got) >= 60, "all are told")

    assert receiver.revisions == wanted
    assert len({got.id for got in receiver.got}) == 60
    wait_until(lambda: status(services, hook)["position"] == wanted[-1], "it is kept")
    assert status(services, hook)["pending"] == 0
    assert len(services.hooks.deliveries(ADMIN, hook["id"])) == 50


def test_a_new_hook_is_told_nothing_of_what_was_before(services: Services, receiver: Receiver) -> None:
    change(services, 1)
    services.hooks.create(ADMIN, {"name": "late", "url": receiver.url})
    wanted = change(services, 2)
    wait_until(lambda: receiver.got, "it is told")

    assert receiver.revisions == [wanted]


def test_a_hook_is_told_only_what_it_asks_for(services: Services, receiver: Receiver) -> None:
    hook = {"name": "x", "url": receiver.url, "events": ["flag.kill", "segment.*"], "services": [PAYMENTS]}
    services.hooks.create(ADMIN, hook | {"environments": ["production"]})
    services.kill.kill(ADMIN, CHECKOUT, FLAG)
    services.kill.kill(ADMIN, PAYMENTS, "new-ledger", environment="staging")
    change(services, 1, PAYMENTS, "new-ledger")
    wanted = services.kill.kill(ADMIN, PAYMENTS, "new-ledger").revision
    wait_until(lambda: receiver.got, "it is told")

    assert receiver.revisions == [wanted]


def test_of_a_bulk_kill_a_hook_is_told_what_is_its_own(services: Services, receiver: Receiver) -> None:
    services.hooks.create(ADMIN, {"name": "x", "url": receiver.url, "services": [PAYMENTS]})
    services.kill.kill_many(ADMIN, services=[CHECKOUT, PAYMENTS])
    wait_until(lambda: receiver.got, "it is told")

    assert [each["service"] for each in receiver.got[0].json["data"]["documents"]] == [PAYMENTS]
    assert "checkout" not in receiver.got[0].body.decode()


def test_what_fails_is_tried_again_with_the_same_id_and_body_before_anything_else(
    services: Services, receiver: Receiver, hook: dict[str, Any]
) -> None:
    receiver.will_answer(500, b"the disk is full", Content_Type="text/plain")
    receiver.will(lambda handler: handler.connection.close())
    receiver.will_answer(302, Location="https://example.com/")
    receiver.will_answer(200)
    first, second = change(services, 1), change(services, 2)
    wait_until(lambda: len(receiver.got) >= 5, "all are told")

    assert receiver.revisions == [first] * 4 + [second]
    assert len({(got.id, got.body) for got in receiver.got[:4]}) == 1
    assert all(got.verified_by(hook["secret"]) for got in receiver.got)
    wait_until(lambda: status(services, hook)["position"] == second, "it is kept")
    assert outcomes(services, hook) == [("failed", 1), ("failed", 2), ("failed", 3), ("delivered", 4), ("delivered", 1)]
    now = status(services, hook)
    assert now["failing_since"] is None and now["attempts"] == 0
    assert "redirects are not followed" in now["last_error"]["error"]


def test_while_it_fails_its_status_says_so(services: Services, hook: dict[str, Any], receiver: Receiver) -> None:
    receiver.will_answer(503, b"maintenance", Content_Type="text/plain", Retry_After="3600")
    change(services, 1)
    change(services, 2)
    wait_until(lambda: status(services, hook)["attempts"] == 1, "it has failed")

    now = status(services, hook)
    assert now["pending"] == 2 and not now["pending_at_least"]
    assert now["failing_since"] and now["next_attempt_at"] > now["failing_since"]
    assert now["last_error"]["error"] == "the answer was 503: maintenance"
    assert len(receiver.got) == 1  # an hour was asked for
    services.hooks.patch(ADMIN, hook["id"], {"name": "look again"})
    wait_until(lambda: len(receiver.got) == 2, "whoever changes the hook does not wait")


def test_the_pause_grows_with_full_jitter_up_to_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_courier, "BASE_S", 2.0)
    for attempt, longest in [(1, 2), (2, 4), (5, 32), (12, 3600), (1000, 3600)]:
        pauses = [hook_courier._pause(attempt, None) for _ in range(300)]
        assert max(pauses) <= longest
        assert min(pauses) < longest / 10 and max(pauses) > longest * 0.8
    assert hook_courier._pause(1, 500.0) == 500.0


def test_gone_for_good_switches_it_off(services: Services, receiver: Receiver, hook: dict[str, Any]) -> None:
    receiver.will_answer(410)
    change(services, 1)
    wait_until(lambda: not services.hooks.get(ADMIN, hook["id"])["enabled"], "it is off")

    off = services.hooks.get(ADMIN, hook["id"])
    assert "410" in off["disabled"]["reason"]
    entry = services.history.log(ADMIN, action="hook.disable").items[0]
    assert entry["actor"] == "downhaul-server" and "410" in entry["reason"]
    change(services, 2)
    receiver.will_answer(200)
    services.hooks.patch(ADMIN, hook["id"], {"enabled": True})
    wanted = change(services, 3)
    wait_until(lambda: len(receiver.got) == 2, "it is told again, from then on")
    assert receiver.got[-1].revision == wanted
    assert services.hooks.get(ADMIN, hook["id"])["disabled"] is None


def test_a_receiver_that_fails_for_days_is_switched_off(
    services: Services, receiver: Receiver, hook: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_courier, "GIVE_UP_S", 0.3)
    receiver.will_answer(500)
    change(services, 1)
    wait_until(lambda: not services.hooks.get(ADMIN, hook["id"])["enabled"], "it is off")

    assert "no event has arrived" in services.hooks.get(ADMIN, hook["id"])["disabled"]["reason"]
    assert outcomes(services, hook)[-1][0] == "given-up"
    assert status(services, hook)["last_error"]["status"] == 500


def test_an_event_that_the_receiver_will_not_have_holds_the_others_up_for_an_hour_at_most(
    services: Services, receiver: Receiver, hook: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_courier, "SKIP_AFTER_S", 0.2)
    wanted: list[int] = []

    def picky(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200 if receiver.got[-1].revision != wanted[0] else 400)
        handler.end_headers()

    receiver.will(picky)
    wanted += [change(services, 1)]
    wanted += [change(services, 2)]
    wait_until(lambda: receiver.got and receiver.got[-1].revision == wanted[1], "the next one is told")

    wait_until(lambda: status(services, hook)["position"] == wanted[1], "it is kept")
    assert status(services, hook)["skipped"] == 1
    assert [name for name, _ in outcomes(services, hook)][-2:] == ["skipped", "delivered"]


def test_a_slow_hook_holds_up_nobody(services: Services, receiver: Receiver, hook: dict[str, Any]) -> None:
    with receiving() as slow:
        slow.will_stall()
        for number in range(5):
            services.hooks.create(ADMIN, {"name": f"slow {number}", "url": slow.url})
        begun = time.monotonic()
        for number in range(3):
            services.kill.kill(ADMIN, CHECKOUT, FLAG)
            services.kill.restore(ADMIN, CHECKOUT, FLAG, reason=str(number))
        wait_until(lambda: len(receiver.got) >= 6 and len(slow.got) == 5, "the quick one is told")
        assert time.monotonic() - begun < 5


def test_an_entry_that_cannot_be_described_is_told_of_and_holds_nobody_up(
    services: Services, receiver: Receiver, hook: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: Any) -> None:
        raise KeyError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(hook_events, "_sentences", fault)
        first = change(services, 1)
        wait_until(lambda: len(receiver.got) == 1, "it is told of")
    second = change(services, 2)
    wait_until(lambda: len(receiver.got) == 2, "the next one is told")

    assert receiver.revisions == [first, second]
    assert receiver.got[0].json["data"]["summary"] == "Something happened: flag.update"
    assert receiver.got[0].json["data"]["documents"] == []


def test_a_deleted_hook_is_told_no_more(services: Services, receiver: Receiver, hook: dict[str, Any]) -> None:
    receiver.will_answer(500)
    change(services, 1)
    wait_until(lambda: receiver.got, "it is tried")
    services.hooks.delete(ADMIN, hook["id"])
    names = lambda: {thread.name for thread in threading.enumerate()}  # noqa: E731
    wait_until(lambda: f"downhaul-hook-{hook['id']}" not in names(), "nobody is at work for it")
    before = len(receiver.got)
    with receiving() as another:
        services.hooks.create(ADMIN, {"name": "another", "url": another.url})
        change(services, 2)
        wait_until(lambda: another.got, "another one is told")
    assert services._store.outbox.secrets(hook["id"]) is None

    assert len(receiver.got) == before


def test_a_rotated_secret_signs_beside_the_old_one_for_a_while(
    services: Services, receiver: Receiver, hook: dict[str, Any]
) -> None:
    second = services.hooks.rotate(ADMIN, hook["id"])["secret"]
    change(services, 1)
    wait_until(lambda: len(receiver.got) == 1, "it is told")
    assert receiver.got[0].verified_by(hook["secret"]) and receiver.got[0].verified_by(second)

    third = services.hooks.rotate(ADMIN, hook["id"])["secret"]
    change(services, 2)
    wait_until(lambda: len(receiver.got) == 2, "it is told")
    assert not receiver.got[1].verified_by(hook["secret"])
    assert receiver.got[1].verified_by(second) and receiver.got[1].verified_by(third)

    last = services.hooks.rotate(ADMIN, hook["id"], overlap=0)["secret"]
    change(services, 3)
    wait_until(lambda: len(receiver.got) == 3, "it is told")
    assert receiver.got[2].verified_by(last) and not receiver.got[2].verified_by(third)


def test_a_secret_that_was_lost_with_redis_is_told_and_can_be_replaced(
    services: Services, receiver: Receiver, hook: dict[str, Any], fake: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_courier, "_pause", lambda *_: 3600.0)
    fake.client().delete("{downhaul}:hook-secrets")
    change(services, 1)
    wait_until(lambda: status(services, hook)["last_error"], "it has failed")
    assert "rotate it" in status(services, hook)["last_error"]["error"]
    assert receiver.got == []

    secret = services.hooks.rotate(ADMIN, hook["id"])["secret"]
    wait_until(lambda: receiver.got, "it is told")
    assert receiver.got[0].verified_by(secret)


def test_a_log_that_has_lost_its_beginning_is_gone_on_with(
    services: Services, receiver: Receiver, hook: dict[str, Any], fake: FakeRedis
) -> None:
    receiver.will_answer(503, Retry_After="3600")
    lost = [change(services, number) for number in range(40)]
    wait_until(lambda: status(services, hook)["attempts"] == 1, "it has failed")
    fake.client().xtrim("{downhaul}:log", minid=f"{lost[-2]}-0", approximate=False)
    receiver.will_answer(200)
    services.hooks.patch(ADMIN, hook["id"], {"name": "go on"})
    wait_until(lambda: len(receiver.got) >= 3, "it is told what is left")

    assert receiver.revisions[-2:] == lost[-2:]
    wait_until(lambda: status(services, hook)["missed"] == 38, "it says what is lost")


def test_another_process_goes_on_when_one_ends(
    services: Services, receiver: Receiver, hook: dict[str, Any], fake: FakeRedis, tmp_path: Path
) -> None:
    first = change(services, 1)
    wait_until(lambda: receiver.got, "it is told")
    with opened(fake, tmp_path / "other", webhook_allow=LOOPBACK) as other:
        services._store.close()
        second = change(other, 2)
        wait_until(lambda: len(receiver.got) >= 2, "it is told by the other one")
        assert receiver.revisions == [first, second]


@pytest.fixture
def deliverers() -> Iterator[list[subprocess.Popen[bytes]]]:
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for process in found:
        process.kill()
        process.wait(10)


@pytest.mark.redis
@pytest.mark.slow
def test_a_process_that_is_killed_in_mid_delivery_is_followed_by_another(
    real: RealRedis, tmp_path: Path, receiver: Receiver, deliverers: list[subprocess.Popen[bytes]]
) -> None:
    with opened(real, tmp_path / "data", webhook_allow=LOOPBACK) as services:
        with_flags(services, checkout=[FLAG])
        hook = services.hooks.create(ADMIN, {"name": "x", "url": receiver.url})

    def start(name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(PROGRAM), real.url, str(tmp_path / name)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        deliverers.append(process)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        return process

    first = start("first")
    wait_until(lambda: real.client().get(LEASE), "the first one delivers")
    start("second")
    resumed = threading.Event()
    receiver.will_stall(resumed)
    receiver.will_answer(200)
    settings = Settings(data_dir=tmp_path / "data")
    with Store.open(settings, connections=real.connections()) as store:
        kill = Kill(Committer(store), "production")
        done = kill.kill(ADMIN, CHECKOUT, FLAG)
        wait_until(lambda: receiver.got, "it is under way")
        os.kill(first.pid, signal.SIGKILL)
        begun = time.monotonic()
        again = kill.restore(ADMIN, CHECKOUT, FLAG, reason="x")
        wait_until(lambda: len(receiver.got) >= 3, "the second one tells both", 20)
    resumed.set()

    assert time.monotonic() - begun < 15
    assert receiver.revisions == [done.revision, done.revision, again.revision]
    assert receiver.got[0].id == receiver.got[1].id
    assert all(got.verified_by(hook["secret"]) for got in receiver.got)
    noted = lambda: json.loads(real.client().hget("{downhaul}:hooks", hook["id"]))["revision"]  # noqa: E731
    wait_until(lambda: noted() == again.revision, "it is noted as told")


@pytest.mark.redis
@pytest.mark.slow
def test_what_happens_while_redis_is_away_does_not_get_lost(
    real: RealRedis, tmp_path: Path, receiver: Receiver
) -> None:
    with opened(real, tmp_path / "data", webhook_allow=LOOPBACK) as services:
        with_flags(services, checkout=[FLAG])
        hook = services.hooks.create(ADMIN, {"name": "x", "url": receiver.url})
        first = change(services, 1)
        wait_until(lambda: receiver.got, "it is told")
        receiver.will_answer(500)
        receiver.will_answer(500)
        second = change(services, 2)
        wait_until(lambda: len(receiver.got) >= 2, "it fails")
        real.kill()
        real.start()
        receiver.will_answer(200)
        wait_until(lambda: services.health()["state"] == "following", "Redis is back")
        third = change(services, 3)
        wait_until(lambda: receiver.got[-1].revision == third, "all is told")
        assert list(dict.fromkeys(receiver.revisions)) == [first, second, third]
        assert all(got.verified_by(hook["secret"]) for got in receiver.got)


@pytest.mark.redis
@pytest.mark.slow
def test_after_a_backup_was_restored_what_happens_anew_is_told_although_its_revisions_were_there_before(
    real: RealRedis, tmp_path: Path, receiver: Receiver
) -> None:
    with opened(real, tmp_path / "data", webhook_allow=LOOPBACK) as services:
        store = services._store
        with_flags(services, checkout=[FLAG])
        hook = services.hooks.create(ADMIN, {"name": "x", "url": receiver.url})
        change(services, 1)
        wait_until(lambda: status(services, hook)["last_delivery"], "it is told")
        real.stop()
        shutil.copytree(real.folder, tmp_path / "backup")
        real.start()
        wait_until(lambda: store.health()["state"] == "following", "Redis is back")
        lost = [change(services, number) for number in (2, 3, 4, 5)]
        wait_until(lambda: receiver.revisions[-1:] == lost[-1:], "all is told")
        wait_until(lambda: status(services, hook)["position"] == lost[-1], "it is kept")

        real.kill()
        shutil.rmtree(real.folder)
        shutil.copytree(tmp_path / "backup", real.folder)
        real.start()
        wait_until(lambda: store.health()["state"] == "diverged", "the server has noticed")
        from_redis(real.connections(), store.view, actor="grace", reason="the disk died")
        wait_until(lambda: store.health()["state"] == "following", "it follows")
        before = len(receiver.got)
        anew = [change(services, number) for number in (6, 7)]
        wait_until(lambda: len(receiver.got) >= before + 2, "it is told")

        assert max(anew) <= max(lost)
        assert receiver.revisions[before:] == anew
        assert len({got.id for got in receiver.got}) == len(receiver.got)


@pytest.mark.redis
@pytest.mark.slow
def test_after_a_checkpoint_was_restored_a_hook_asks_for_a_new_secret_and_goes_on(
    real: RealRedis, tmp_path: Path, receiver: Receiver
) -> None:
    with opened(real, tmp_path / "data", webhook_allow=LOOPBACK) as services:
        store = services._store
        with_flags(services, checkout=[FLAG])
        hook = services.hooks.create(ADMIN, {"name": "x", "url": receiver.url})
        change(services, 1)
        wait_until(lambda: receiver.got, "it is told")
        real.kill()
        real.forget_everything()
        real.start()
        wait_until(lambda: store.health()["state"] == "diverged", "the server has noticed")
        from_checkpoint(real.connections(), store.view, actor="grace", reason="the disk died")
        wait_until(lambda: store.health()["state"] == "following", "it follows")
        wanted = change(services, 2)
        wait_until(lambda: status(services, hook)["last_error"], "it has no secret")
        secret = services.hooks.rotate(ADMIN, hook["id"])["secret"]
        wait_until(lambda: len(receiver.got) == 2, "it goes on")

        assert receiver.got[1].revision == wanted and receiver.got[1].verified_by(secret)


def test_one_who_was_stopped_for_a_while_does_not_undo_what_another_has_kept(
    services: Services, fake: FakeRedis, hook: dict[str, Any]
) -> None:
    outbox, lease = services._store.outbox, services._store.lease("hooks", 60)
    wait_until(lambda: fake.client().get(LEASE), "somebody holds it")

    assert not outbox.keep(lease, hook["id"], {"revision": 1}, {"outcome": "delivered"})

    assert outbox.state(hook["id"]) != {"revision": 1}


def test_what_was_never_made_is_swept_away(
    services: Services, fake: FakeRedis, hook: dict[str, Any], tmp_path: Path
) -> None:
    outbox = services._store.outbox
    outbox.keep_secrets("0123", {"made": 1, "secrets": []})
    with opened(fake, tmp_path / "sweeper"):
        services._store.close()
        wait_until(lambda: "0123" not in outbox.known(), "it is gone")
    assert hook["id"] in outbox.known()


def test_the_excerpt_of_an_answer_is_short(services: Services, receiver: Receiver, hook: dict[str, Any]) -> None:
    receiver.will_answer(500, b"x" * 10_000, Content_Type="text/plain")
    change(services, 1)
    wait_until(lambda: status(services, hook)["last_error"], "it has failed")

    assert len(status(services, hook)["last_error"]["error"]) < hook_sender.EXCERPT + 50


def test_a_flag_that_comes_and_goes_is_told(services: Services, receiver: Receiver, hook: dict[str, Any]) -> None:
    services.flags.create(ADMIN, CHECKOUT, boolean("short-lived"))
    services.flags.delete(ADMIN, CHECKOUT, "short-lived")
    wait_until(lambda: len(receiver.got) == 2, "both are told")

    made, gone = (got.json for got in receiver.got)
    assert (made["type"], gone["type"]) == ("flag.create", "flag.delete")
    assert made["data"]["summary"] == "admin made flag checkout/short-lived"
    assert gone["data"]["url"] == f"https://flags.example.com/changes/{gone['data']['revision']}"
