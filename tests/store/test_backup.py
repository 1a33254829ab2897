"""A backup is whole or refused; a restore is all or nothing, and never in the place of a living store unasked."""

from __future__ import annotations

import gzip
import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.store import Store, StoreUnavailable
from downhaul_server.store import backup as backups
from downhaul_server.store.backup import BackupError
from downhaul_server.store.keys import REFUSALS_META
from downhaul_server.store.restore import restore
from support.redis import RealRedis
from support.store import FLAG, change, everything
from support.waiting import wait_until

pytestmark = pytest.mark.redis


@pytest.fixture
def served(real: RealRedis, open_store: Any) -> Store:
    """A running server with a history, a webhook's secret and a refused attempt."""
    store: Store = open_store(real)
    store.refusals.append([("known", {"what": "a kill"})])
    store.commit(change(FLAG, {"on": True}, touches=(("checkout", "production"),)))
    store.commit(change("flag/checkout/other", {"on": "Grüße"}))
    store.outbox.keep_secrets("hook-1", {"secret": "whsec"})
    store.usage.keep({"key-1": 1_790_000_000})
    return store


@pytest.fixture
def file(real: RealRedis, served: Store, tmp_path: Path) -> Path:
    """A backup of it."""
    path = tmp_path / "backup.gz"
    backups.write(real.connections(), path)
    return path


def put_back(real: RealRedis, file: Path, *, replace: bool = False, also: tuple[str, ...] = ()) -> Any:
    """As the command does it."""
    return restore(real.connections(), file, replace=replace, also_succeeds=also, actor="grace", reason="the disk died")


def lose_everything(real: RealRedis, store: Store) -> None:
    """Redis comes back empty, and the server has seen it."""
    real.kill()
    real.forget_everything()
    real.start()
    wait_until(lambda: store.health()["state"] == "diverged", "the server has noticed")


def test_what_is_backed_up_can_be_put_into_an_empty_redis(
    real: RealRedis, served: Store, file: Path, open_store: Any
) -> None:
    before, log = everything(served), served.log()
    head = backups.check(file)
    assert (head.epoch, head.revision, head.documents) == (served.view.epoch, 3, 4)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, "there are secrets in it"
    lose_everything(real, served)

    done = put_back(real, file)

    assert (done.revision, done.documents, done.replaced) == (4, 4, None)
    wait_until(lambda: served.view.epoch == done.epoch, "the running server has taken it over")
    wait_until(lambda: served.health()["state"] == "following", "it follows")
    assert done.epoch != head.epoch and served.view.succeeds == (head.epoch,)
    assert everything(served) == before
    assert served.view.version(FLAG) == 2, "versions stand, so nobody's ETag breaks"
    assert served.view.touched("checkout", "production") == 2
    newest, *others = served.log()
    assert others == log
    assert (newest.action, newest.actor["name"], newest.reason) == ("store.recover", "grace", "the disk died")
    assert served.verify_log() == []
    assert served.outbox.secrets("hook-1") == {"secret": "whsec"}
    assert served.usage.all() == {"key-1": 1_790_000_000}
    assert [each.body["what"] for each in served.refusals.newest_first()] == ["a kill"]
    assert served.commit(change(FLAG, {"on": False})).revision == 5
    assert served.refusals.append([("known", {"what": "another"})]) == [True]
    assert served.verify_log() == []
    assert everything(open_store(real)) == everything(served)
    assert not list(real.client().scan_iter("*restore*")), "nothing is left behind"


def test_a_living_store_is_left_alone_without_a_word(real: RealRedis, served: Store, file: Path) -> None:
    served.commit(change(FLAG, {"on": False}))
    with pytest.raises(BackupError, match=r"Redis holds a store .*--replace"):
        put_back(real, file)
    assert served.health()["state"] == "following" and served.view.get(FLAG).body == {"on": False}  # type: ignore[union-attr]
    assert real.client().hget("{downhaul}:meta", "revision") == b"4"


def test_with_a_word_it_goes_and_the_running_server_takes_the_backup_over(
    real: RealRedis, served: Store, file: Path
) -> None:
    lost = change(FLAG, {"on": False}, operation="a-kill")
    epoch = served.view.epoch
    assert served.commit(lost).revision == 4
    done = put_back(real, file, replace=True)
    assert (done.revision, done.replaced) == (4, epoch)
    wait_until(lambda: served.view.epoch == done.epoch, "the running server has taken it over")
    wait_until(lambda: served.health()["state"] == "following", "it follows")
    assert served.view.get(FLAG).body == {"on": True}  # type: ignore[union-attr]
    assert served.verify_log() == []
    again = served.commit(lost)
    assert (again.revision, again.replayed) == (5, False), "what was given up is not said to be done"


def test_a_server_in_an_epoch_that_the_backup_does_not_know_is_told_by_its_checkpoint(
    real: RealRedis, served: Store, file: Path
) -> None:
    later = put_back(real, file, replace=True).epoch
    wait_until(lambda: served.view.epoch == later, "it has taken the first one over")
    lose_everything(real, served)
    done = put_back(real, file, also=(later,))
    wait_until(lambda: served.view.epoch == done.epoch, "the running server has taken it over")


def test_an_empty_redis_has_nothing_to_back_up(real: RealRedis, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="Redis is empty"):
        backups.write(real.connections(), tmp_path / "backup.gz")
    assert not list(tmp_path.glob("*backup*"))


def test_a_damaged_store_is_not_backed_up_as_if_it_were_whole(real: RealRedis, served: Store, tmp_path: Path) -> None:
    real.client().xdel("{downhaul}:log", "2-0")
    with pytest.raises(Exception, match="revision 2 is missing"):
        backups.write(real.connections(), tmp_path / "backup.gz")
    assert not list(tmp_path.glob("*backup*"))


def test_a_folder_that_is_not_there_is_a_sentence(real: RealRedis, served: Store, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="cannot be written"):
        backups.write(real.connections(), tmp_path / "nowhere" / "backup.gz")


def rewritten(file: Path, edit: Any) -> None:
    """The file with other lines in it, in a gzip that is whole."""
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join(edit(lines))))


def resealed(lines: list[bytes]) -> list[bytes]:
    """With a seal that fits, as a forger would do it."""
    body = lines[:-1]
    seal = {"seal": hashlib.sha256(b"".join(body)).hexdigest(), "lines": len(body)}
    return [*body, json.dumps(seal).encode() + b"\n"]


def a_log_entry(lines: list[bytes]) -> int:
    return next(number for number, line in enumerate(lines) if line.startswith(b'["log",2'))


DAMAGES = {
    "a byte": (lambda lines: [line.replace(b"whsec", b"whsex") for line in lines], "checksum"),
    "a line lost": (lambda lines: lines[:1] + lines[2:], "checksum"),
    "the end lost": (lambda lines: lines[:-1], "not whole"),
    "an entry lost": (
        lambda lines: resealed([line for n, line in enumerate(lines) if n != a_log_entry(lines)]),
        "revision 2 is missing",
    ),
    "an entry changed": (
        lambda lines: resealed([line.replace(b"ada", b"eve") if line[2:5] == b"log" else line for line in lines]),
        "the digest",
    ),
    "a document lost": (
        lambda lines: resealed([line for line in lines if b"flag/checkout/other" not in line[:40]]),
        "what its first line says",
    ),
    "of the future": (
        lambda lines: resealed([lines[0].replace(b'"downhaul_backup":1', b'"downhaul_backup":2'), *lines[1:]]),
        "another release",
    ),
    "something else": (lambda lines: [b'{"hello": "world"}\n'] * 3, "no backup|not whole"),
}


def test_a_file_that_is_not_whole_changes_nothing(real: RealRedis, served: Store, file: Path) -> None:
    whole = file.read_bytes()
    for name, (damage, message) in DAMAGES.items():
        file.write_bytes(whole)
        rewritten(file, damage)
        with pytest.raises(BackupError, match=message):
            put_back(real, file, replace=True)
        assert served.view.epoch.encode() == real.client().hget("{downhaul}:meta", "epoch"), name
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupError, match="not whole"):
        put_back(real, file, replace=True)
    file.unlink()
    with pytest.raises(BackupError, match="no file"):
        put_back(real, file, replace=True)
    assert real.client().exists(REFUSALS_META)


def test_both_say_so_when_redis_is_away(real: RealRedis, file: Path) -> None:
    real.stop()
    with pytest.raises(StoreUnavailable):
        put_back(real, file)
    with pytest.raises(StoreUnavailable):
        backups.write(real.connections(), file)
    assert backups.check(file).revision == 3, "the one that was there stands"
