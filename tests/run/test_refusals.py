"""What a user can get wrong at start: one sentence, an exit code, no traceback."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from support.server import Server, command, environment

pytestmark = pytest.mark.redis


def test_a_wrong_setting(data_dir: Path) -> None:
    ended = command("run", environ=environment(data_dir, DOWNHAUL_WORKERS="many"))
    assert ended.returncode == 2
    assert ended.stderr == "downhaul-server: DOWNHAUL_WORKERS: expected an integer from 1 to 64, not 'many'\n"


@pytest.mark.parametrize("verb", ["run", "demo"])
def test_a_port_in_use(data_dir: Path, verb: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = command(verb, environ=environment(data_dir, DOWNHAUL_BIND=where))
    assert ended.returncode == 1
    assert (
        ended.stderr.splitlines()[-1] == f"downhaul-server: {where} is in use by another program: stop it, "
        "or set DOWNHAUL_BIND to another address"
    )
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("where", ["192.0.2.1:8080", "no-such-host.invalid:8080"])
def test_an_address_of_another_machine(data_dir: Path, where: str) -> None:
    ended = command("run", environ=environment(data_dir, DOWNHAUL_BIND=where))
    assert ended.returncode == 1
    assert f"cannot listen on {where}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_data_folder_in_use_by_another_server(lasting_server: Server) -> None:
    ended = command("run", environ=environment(lasting_server.data_dir, DOWNHAUL_BIND="127.0.0.1:0"))
    assert ended.returncode == 1
    assert "another Downhaul server uses the data folder" in ended.stderr
