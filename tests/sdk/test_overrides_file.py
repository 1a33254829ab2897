"""The second way to kill a flag: a file on the machine, which wins over everything."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from downhaul.client import Client
from downhaul.overrides import OverridesError, OverridesFile
from support.fakeservice import Connect, FakeService, never
from support.rulesets import flag
from support.waiting import wait_until


def replace(path: Path, content: str) -> None:
    """As editors and deployment tools do: whole, and at once."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(content)
    os.replace(temporary, path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "overrides.json"


def test_a_flag_is_killed_by_the_file_and_comes_back_without_it(connect: Connect, file: Path) -> None:
    client = connect(overrides=file)
    assert client.wait_ready() and client.enabled("new-checkout")

    replace(file, '{"new-checkout": false}')
    wait_until(lambda: not client.enabled("new-checkout"), "the file is obeyed")
    assert client.explain("new-checkout").reason == "OVERRIDE"
    assert client.status().overrides == 1

    file.unlink()
    wait_until(lambda: client.enabled("new-checkout"), "the file is gone")


def test_the_file_is_obeyed_with_no_service_at_all(file: Path) -> None:
    file.write_text('{"new-checkout": true, "colour": "red"}')
    client = Client(overrides=file)
    try:
        wait_until(lambda: client.enabled("new-checkout"), "the file is obeyed")
        assert client.value("colour") == "red"
    finally:
        client.close()


def test_the_file_is_obeyed_while_a_request_hangs(service: FakeService, connect: Connect, file: Path) -> None:
    client = connect(overrides=file, timeout=60)
    assert client.wait_ready()
    service.behaviour = never
    asked = len(service.requests)
    wait_until(lambda: len(service.requests) > asked, "a request hangs")

    replace(file, '{"new-checkout": false}')
    wait_until(lambda: not client.enabled("new-checkout"), "the file is obeyed")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"off"', b"[" * 100_000, b" " * (1 << 21)],
    ids=["empty", "cut off", "array", "null", "not UTF-8", "text", "deep", "large"],
)
def test_a_wrong_file_changes_nothing_and_is_told(connect: Connect, file: Path, content: bytes) -> None:
    file.write_text('{"new-checkout": false}')
    client = connect(overrides=file)
    wait_until(lambda: client.wait_ready() and not client.enabled("new-checkout"), "the file is obeyed")

    file.write_bytes(content)
    wait_until(lambda: client.status().last_error, "the trouble is told")
    assert str(file) in str(client.status().last_error)
    assert client.enabled("new-checkout") is False

    replace(file, "{}")
    wait_until(lambda: client.enabled("new-checkout"), "a good file is obeyed again")
    assert client.status().last_error is None


def test_a_mounted_config_map_is_followed_when_its_link_is_swapped(connect: Connect, tmp_path: Path) -> None:
    for version, value in (("..one", True), ("..two", False)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "overrides.json").write_text(json.dumps({"new-checkout": value}))
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "overrides.json").symlink_to("..data/overrides.json")
    client = connect(overrides=tmp_path / "overrides.json")
    wait_until(lambda: client.status().overrides == 1 and client.enabled("new-checkout"), "the file is obeyed")

    (tmp_path / "..next").symlink_to("..two")
    os.replace(tmp_path / "..next", tmp_path / "..data")
    wait_until(lambda: not client.enabled("new-checkout"), "the swapped file is obeyed")


def test_a_flag_that_requires_an_overridden_flag_follows_it(service: FakeService, connect: Connect, file: Path) -> None:
    ledger, checkout = flag(), flag(requires=[{"flag": "payments/new-ledger", "variants": ["on"]}])
    service.publish(2, {"new-checkout": checkout, "payments/new-ledger": ledger})
    client = connect(overrides=file)
    changes: list[frozenset[str]] = []
    assert client.wait_ready() and client.enabled("new-checkout")
    client.on_change(changes.append)

    replace(file, '{"payments/new-ledger": false}')
    wait_until(lambda: not client.enabled("new-checkout"), "the requirement fails")
    assert client.explain("new-checkout").reason == "PREREQUISITE_FAILED"
    wait_until(lambda: changes, "the listener is told")
    assert changes == [{"new-checkout", "payments/new-ledger"}]


def test_the_file_wins_over_what_a_program_overrides(file: Path) -> None:
    file.write_text('{"new-checkout": false}')
    client = Client(overrides=file)
    try:
        wait_until(lambda: client.status().overrides, "the file is read")
        with client.override(new_checkout=True):
            assert client.enabled("new-checkout", default=True) is False
    finally:
        client.close()


def test_one_look_at_trouble_is_not_believed(file: Path) -> None:
    overrides = OverridesFile(str(file))
    file.write_text('{"a": true}')
    assert overrides.look()

    file.write_text("")  # an editor that truncates before it writes
    assert not overrides.look()
    with pytest.raises(OverridesError, match="not JSON"):
        overrides.look()

    file.unlink()
    assert not overrides.look() and dict(overrides.values) == {"a": True}
    assert overrides.look() and not overrides.values


def test_a_pipe_a_folder_and_a_forbidden_file_are_told_and_do_not_block(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(file)
    with pytest.raises(OverridesError, match="not a regular file"):
        OverridesFile(str(file)).look()
    with pytest.raises(OverridesError, match="not a regular file"):
        OverridesFile(str(tmp_path)).look()

    def refuse(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OverridesError, match="Permission denied"):
        OverridesFile(str(file)).look()


def test_one_and_true_are_two_values(connect: Connect, file: Path) -> None:
    file.write_text('{"x": 1}')
    client = connect(overrides=file)
    wait_until(lambda: client.value("x") == 1, "the file is read")
    replace(file, '{"x": true}')
    wait_until(lambda: client.value("x") is True, "the change is seen")
