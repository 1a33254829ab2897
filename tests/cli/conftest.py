from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import TOKEN, FakeService, Shell, fake_service


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own settings, and a home of one's own."""
    for name in ("URL", "TOKEN", "TOKEN_FILE", "PROFILE"):
        monkeypatch.delenv(f"DOWNHAUL_{name}", raising=False)
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "_DOWNHAUL_COMPLETE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    """A service that the environment names, with a token that it accepts."""
    with fake_service() as fake:
        monkeypatch.setenv("DOWNHAUL_URL", fake.url)
        monkeypatch.setenv("DOWNHAUL_TOKEN", TOKEN)
        yield fake
