"""The last known good on disk: for a start while the service is away."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from downhaul import adoption
from downhaul.cache import SnapshotCache
from downhaul.snapshot import read_snapshot
from support.fakeservice import SERVICE, Connect, FakeService, answer, envelope, never, serve_well
from support.rulesets import flag
from support.waiting import wait_until

OFF = {"new-checkout": flag(on=False)}


def body(revision: int, epoch: str = "e1") -> bytes:
    return json.dumps(envelope(revision, {"new-checkout": flag()}, epoch=epoch)).encode()


def cached(folder: Path) -> Path:
    (path,) = folder.glob("*.json")
    return path


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are kept soon."""
    monkeypatch.setattr(adoption, "_KEEP_AFTER_S", (0.1, 0.2))


@pytest.fixture
def kept(connect: Connect, tmp_path: Path) -> Path:
    """A cache folder that a client has used."""
    client = connect(cache_dir=tmp_path / "cache")
    assert client.wait_ready()
    wait_until(lambda: list((tmp_path / "cache").glob("*.json")), "the snapshot is kept")
    client.close()
    return tmp_path / "cache"


def test_a_start_without_the_service_uses_the_cache_and_says_that_it_is_stale(
    service: FakeService, connect: Connect, kept: Path
) -> None:
    service.behaviour = answer("503 Service Unavailable")
    os.utime(cached(kept), (os.stat(cached(kept)).st_mtime - 3600,) * 2)
    client = connect(cache_dir=kept)

    assert client.wait_ready() and client.enabled("new-checkout")
    status = client.status()
    assert (status.state, status.source, status.revision) == ("stale", "cache", 1)
    assert status.age_s is not None and 3600 <= status.age_s < 3700

    service.behaviour = serve_well
    wait_until(lambda: client.status().state == "ready", "the service confirms it")
    assert client.status().source == "service"
    assert service.of("stream")[-1].headers["last-event-id"] == "e1:1", "an unchanged snapshot is not fetched again"


def test_cached_flags_are_there_while_the_service_hangs(service: FakeService, connect: Connect, kept: Path) -> None:
    service.behaviour = never
    client = connect(cache_dir=kept, timeout=30)
    wait_until(lambda: client.enabled("new-checkout"), "the cache is used")


def test_a_newer_snapshot_takes_the_place_of_the_cached_one(service: FakeService, connect: Connect, kept: Path) -> None:
    service.publish(5, OFF)
    client = connect(cache_dir=kept)
    assert client.wait_ready()
    assert not client.enabled("new-checkout")
    wait_until(lambda: json.loads(cached(kept).read_bytes())["revision"] == 5, "the newer one is kept")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", body(1)[:-30], body(1).replace(b"true", b"false", 1)], ids=repr
)
def test_a_damaged_cache_is_not_used_and_is_repaired(
    service: FakeService, connect: Connect, kept: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cached(kept).write_bytes(content)
    service.behaviour = answer("503 Service Unavailable")
    client = connect(cache_dir=kept)
    wait_until(lambda: client.status().state == "offline", "a first attempt has ended")
    assert not client.enabled("new-checkout")
    assert "is not used" in caplog.text

    service.behaviour = serve_well
    assert client.wait_ready(10.0)
    wait_until(lambda: cached(kept).read_bytes() != content, "the cache is written anew")


def test_another_key_has_another_cache(service: FakeService, connect: Connect, kept: Path) -> None:
    service.behaviour = answer("503 Service Unavailable")
    client = connect(cache_dir=kept, key="dh_sdk_another")
    wait_until(lambda: client.status().last_error, "a first attempt has ended")
    assert client.status().source == "none"


def test_the_cache_is_private_and_holds_no_key(kept: Path) -> None:
    path = cached(kept)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert b"dh_sdk" not in path.read_bytes() and "dh_sdk" not in path.name


def test_a_folder_that_cannot_be_written_does_not_stop_the_flags(
    connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    client = connect(cache_dir=tmp_path / "file" / "cache")
    assert client.wait_ready() and client.enabled("new-checkout")
    wait_until(lambda: "cannot be kept" in caplog.text, "the trouble is logged")


def write_many(folder: str, first: int) -> None:
    cache = SnapshotCache(folder, "http://x", SERVICE, "k")
    for revision in range(first, 200, 2):
        cache.save(read_snapshot(body(revision), SERVICE), body(revision))


def test_two_processes_share_one_cache(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(str(tmp_path), first)) for first in (1, 2)]
    for writer in writers:
        writer.start()
    cache = SnapshotCache(str(tmp_path), "http://x", SERVICE, "k")
    while any(writer.is_alive() for writer in writers):
        cache.load()  # raises if it ever sees half a snapshot
    assert [writer.exitcode for writer in writers] == [0, 0]
    loaded = cache.load()
    assert loaded is not None and loaded[0].revision >= 198
    assert len(list(tmp_path.iterdir())) == 1, "no temporary file is left"


def test_an_older_snapshot_never_takes_the_place_of_a_newer_one(tmp_path: Path) -> None:
    cache = SnapshotCache(str(tmp_path), "http://x", SERVICE, "k")
    for revision, epoch, wanted in ((5, "e1", 5), (4, "e1", 5), (5, "e1", 5), (1, "e2", 1)):
        content = body(revision, epoch)
        cache.save(read_snapshot(content, SERVICE), content)
        loaded = cache.load()
        assert loaded is not None and loaded[0].revision == wanted, "only a new epoch begins anew"


def change(base: int, revision: int, flags: dict[str, Any], epoch: str = "e1") -> dict[str, Any]:
    return {"epoch": epoch, "base": base, "revision": revision, "flags": flags, "segments": {}}


CHANGES = [change(5, 6, {"a": flag()}), change(6, 9, {"a": None, "b": flag()}), change(9, 10, {"c": flag()})]


@pytest.mark.parametrize(
    ("held", "followed", "revision"), [(5, True, 10), (6, True, 10), (9, True, 10), (10, True, 10), (12, True, 12),
                                       (4, False, 4), (7, False, 7)]
)  # fmt: skip
def test_changes_are_worked_into_what_they_follow_from_and_nothing_else(
    held: int, followed: bool, revision: int, tmp_path: Path
) -> None:
    cache = SnapshotCache(str(tmp_path), "http://x", SERVICE, "k")
    cache.save(read_snapshot(body(held), SERVICE), body(held))
    assert cache.follow(CHANGES) is followed
    loaded = cache.load()  # raises if it is not whole and valid
    assert loaded is not None and loaded[0].revision == revision
    if held in (5, 6):
        assert set(loaded[0].ruleset.flags) == {"new-checkout", "b", "c"}


def test_changes_of_another_epoch_are_not_worked_in(tmp_path: Path) -> None:
    cache = SnapshotCache(str(tmp_path), "http://x", SERVICE, "k")
    assert not cache.follow(CHANGES), "there is no file"
    cache.save(read_snapshot(body(5, "e2"), SERVICE), body(5, "e2"))
    assert not cache.follow(CHANGES)
