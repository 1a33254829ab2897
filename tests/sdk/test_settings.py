"""A wrong setting is refused with a sentence that names it, and never shows a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from downhaul.client import Client
from downhaul.settings import Settings, SettingsError, read_key

WRONG: list[tuple[str, Any]] = [
    ("url", "flags.example.com"), ("url", "ftp://flags.example.com"), ("url", "http://"), ("url", "http://a b"),
    ("url", "http://user:secret@flags.example.com"), ("url", "http://x?key=1"), ("url", "http://x:port"), ("url", 1),
    ("key", "with space"), ("key", ""), ("key", "schlüssel"), ("key", b"bytes"), ("key", None),
    ("key_file", ""), ("key_file", 3), ("service", "Checkout"), ("service", "-x"), ("service", "a" * 64),
    ("service", ""), ("build", ""), ("build", "a\nb"), ("instance", "x" * 201), ("region", 7), ("color", "\0"),
    ("cache_dir", ""), ("overrides", "a\0b"), ("poll_interval", 0), ("poll_interval", -1), ("poll_interval", True),
    ("poll_interval", float("nan")), ("poll_interval", "soon"), ("poll_interval", 1e9),
    ("timeout", 0), ("timeout", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_values_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} must be"):
        Settings.from_arguments({name: value})


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="there is no setting 'polling'"):
        Client(polling=3)  # type: ignore[call-arg]


def test_a_refusal_never_shows_the_key() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_arguments({"key": "dh_sdk_secret with space"})
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(Settings(key="secret"))


def test_the_environment_is_read_and_its_faults_are_told() -> None:
    settings, problems = Settings.from_environment(
        {
            "DOWNHAUL_URL": "https://flags.example.com/",
            "DOWNHAUL_KEY": " dh_sdk_x ",
            "DOWNHAUL_SERVICE": "checkout",
            "DOWNHAUL_POLL_INTERVAL": "2.5",
            "DOWNHAUL_TIMEOUT": "never",
            "DOWNHAUL_BUILD": "",
        }
    )
    assert (settings.url, settings.key, settings.poll_interval) == ("https://flags.example.com", "dh_sdk_x", 2.5)
    assert settings.complete and settings.timeout == Settings().timeout
    assert problems == ["DOWNHAUL_TIMEOUT must be a number of seconds from 0.1 to 300, not 'never'"]


def test_what_is_missing_is_told_only_to_who_wants_to_connect() -> None:
    assert Settings.from_environment({"DOWNHAUL_SERVICE": "checkout"})[1] == []
    assert Settings.from_environment({"DOWNHAUL_KEY": "k"})[1] == [
        "DOWNHAUL_URL is not set",
        "DOWNHAUL_SERVICE is not set",
    ]


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_arguments({"overrides": "flags.json"}).overrides == str(tmp_path / "flags.json")


def test_a_key_and_a_key_file_replace_each_other(tmp_path: Path) -> None:
    by_key = Settings.from_arguments({"key": "one"})
    by_file = Settings.from_arguments({"key_file": tmp_path / "key"}, by_key)
    assert by_file.key == "" and by_file.key_file
    assert Settings.from_arguments({"key": "two"}, by_file).key_file == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"", "must be a token"), (b"\xff", "not ASCII"), (b"a b", "must be")],
)
def test_a_key_file_that_is_no_use_is_told(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=words):
        read_key(Settings(key_file=str(path)))
