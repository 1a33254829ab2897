"""Which service, and which token: the environment, files and profiles."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest
from support.cli import TOKEN, FakeService, Shell

EMPTY = {"items": [], "next": None}


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    return tmp_path / "config" / "downhaul" / "profiles.toml"


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch):
    """What a program writes to stdin."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def keep(shell: Shell, type_in, name: str, url: str, token: str = TOKEN) -> None:
    type_in(token + "\n")
    assert shell("profile", "set", name, "--url", url).code == 0


def test_without_a_token_nobody_is_asked(shell: Shell) -> None:
    result = shell("flags", "list", "checkout")

    assert result.code == 6
    assert "DOWNHAUL_TOKEN" in result.err
    assert "profile set" in result.err


def test_a_token_comes_from_a_file(
    service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("dh_api_from_file\n")
    monkeypatch.delenv("DOWNHAUL_TOKEN")
    monkeypatch.setenv("DOWNHAUL_TOKEN_FILE", str(file))
    service.will_answer(EMPTY)

    shell("services", "list")

    assert service.last.headers["Authorization"] == "Bearer dh_api_from_file"


@pytest.mark.parametrize("content", [None, b"", b"two words", b"\xff\xfe"])
def test_a_token_file_that_holds_none_is_told_by_name(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("DOWNHAUL_TOKEN_FILE", str(file))

    result = shell("services", "list")

    assert result.code == 6
    assert str(file) in result.err


def test_a_wrong_token_is_never_repeated(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNHAUL_TOKEN", "secret with spaces")

    result = shell("services", "list")

    assert result.code == 6
    assert "secret" not in result.err


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://x:99999", "http://a b", "http://user:pw@x", "http://x/?a=b"]
)
def test_what_is_no_address_is_wrong_usage(shell: Shell, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DOWNHAUL_TOKEN", TOKEN)
    monkeypatch.setenv("DOWNHAUL_URL", url)

    assert shell("services", "list").code == 2


def test_an_address_may_end_with_a_slash_and_have_a_path(
    service: FakeService, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOWNHAUL_URL", f"{service.url}/flags/")
    service.will_answer(EMPTY)

    shell("services", "list")

    assert service.last.path == "/flags/api/v1/services"


def test_the_first_profile_is_used_at_once(service: FakeService, shell: Shell, type_in, monkeypatch) -> None:
    monkeypatch.delenv("DOWNHAUL_TOKEN")
    monkeypatch.delenv("DOWNHAUL_URL")
    keep(shell, type_in, "work", service.url, "dh_api_of_the_profile")
    service.will_answer(EMPTY)

    assert shell("services", "list").code == 0
    assert service.last.headers["Authorization"] == "Bearer dh_api_of_the_profile"


def test_profiles_are_for_their_owner_alone(shell: Shell, type_in, profiles: Path) -> None:
    keep(shell, type_in, "work", "http://x")

    assert stat.S_IMODE(profiles.stat().st_mode) == 0o600
    assert [each.name for each in profiles.parent.iterdir()] == ["profiles.toml"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_profile_file_that_others_can_reach_is_refused(shell: Shell, type_in, profiles: Path, mode: int) -> None:
    keep(shell, type_in, "work", "http://x")
    profiles.chmod(mode)

    result = shell("services", "list")

    assert result.code == 1
    assert f"chmod 600 {profiles}" in result.err
    assert f"{mode:04o}" in result.err


def test_tokens_of_profiles_are_never_shown(shell: Shell, type_in) -> None:
    keep(shell, type_in, "work", "http://x")

    for result in (shell("profile", "list"), shell("profile", "list", "--json")):
        assert "work" in result.out and "http://x" in result.out
        assert TOKEN not in result.out


def test_a_named_profile_wins_over_the_environment(
    service: FakeService,
    shell: Shell,
    type_in,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(shell, type_in, "work", service.url, "dh_api_work")
    monkeypatch.setenv("DOWNHAUL_URL", "http://127.0.0.1:1")
    service.will_answer(EMPTY)

    assert shell("services", "list", "--profile", "work").code == 0
    monkeypatch.setenv("DOWNHAUL_PROFILE", "work")
    assert shell("services", "list").code == 0
    assert {asked.headers["Authorization"] for asked in service.asked} == {"Bearer dh_api_work"}


def test_the_environments_token_wins_over_the_active_profile(service: FakeService, shell: Shell, type_in) -> None:
    keep(shell, type_in, "work", "http://127.0.0.1:1", "dh_api_work")
    service.will_answer(EMPTY)

    assert shell("services", "list").code == 0
    assert service.last.headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_profiles_token_is_not_sent_to_another_address(
    service: FakeService,
    shell: Shell,
    type_in,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(shell, type_in, "work", "http://127.0.0.1:1")
    monkeypatch.delenv("DOWNHAUL_TOKEN")

    result = shell("services", "list")

    assert result.code == 2
    assert service.asked == []
    assert "DOWNHAUL_URL" in result.err


def test_profiles_are_chosen_and_removed(shell: Shell, type_in) -> None:
    keep(shell, type_in, "one", "http://one")
    keep(shell, type_in, "two", "http://two")

    assert shell("profile", "use", "two").code == 0
    assert [each["name"] for each in shell("profile", "list", "--json").json if each["active"]] == ["two"]
    assert shell("profile", "remove", "two").code == 0
    assert [each["name"] for each in shell("profile", "list", "--json").json] == ["one"]
    assert shell("services", "list").code == 6


@pytest.mark.parametrize("arguments", [["use", "x"], ["remove", "x"]])
def test_a_profile_that_does_not_exist_is_not_found(shell: Shell, arguments: list[str]) -> None:
    assert shell("profile", *arguments).code == 4
    assert shell("services", "list", "--profile", "x").code == 4


def test_an_empty_token_makes_no_profile(shell: Shell, type_in, profiles: Path) -> None:
    type_in("")

    assert shell("profile", "set", "work", "--url", "http://x").code == 6
    assert not profiles.exists()


@pytest.mark.parametrize(
    "content", ["not toml [", "profiles = 3", "[profiles.x]\nurl = 1\ntoken = 2", "profiles.x = 1"]
)
def test_a_file_that_holds_no_profiles_is_told_by_name(shell: Shell, profiles: Path, content: str) -> None:
    profiles.parent.mkdir(parents=True)
    profiles.write_text(content)
    profiles.chmod(0o600)

    result = shell("services", "list")

    assert result.code == 1
    assert str(profiles) in result.err
