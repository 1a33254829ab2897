"""One server for every guide that needs one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Shell
from support.server import Server
from support.typed import House, Terminal, environment


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with Server(tmp_path_factory.mktemp("house") / "data", DOWNHAUL_WEBHOOK_ALLOW="127.0.0.0/8") as server:
        (server.data_dir / "admin-token").write_text(server.token)
        yield House(server)


@pytest.fixture
def terminal(house: House, tmp_path: Path) -> Iterator[Terminal]:
    """With the address and a token set, as the guides say."""
    house.furnish()
    environ = environment(
        DOWNHAUL_URL=house.server.url,
        DOWNHAUL_TOKEN=house.token,
        DOWNHAUL_KEY=house.sdk,
        XDG_CONFIG_HOME=str(tmp_path / "config"),
    )
    with Terminal(tmp_path, environ) as terminal:
        yield terminal


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command in this process: a program takes a moment to start, and there are very many examples."""
    return Shell(capsys)
