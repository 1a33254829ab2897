"""The README's first flag and first kill, typed as they stand there, against a real server and a real program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.server import Server
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- tried by tests/docs(: runs until it is ended)? -->\n```sh\n(.*?)```", re.DOTALL)


def test_a_stranger_gets_from_nothing_to_a_first_kill_by_copy_and_paste(tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    lasting = [text for lasts, text in blocks if lasts]
    assert len(lasting) == 1
    assert len(blocks) == 6
    with Server(tmp_path / "data") as server:
        (server.data_dir / "admin-token").write_text(server.token)
        make, write, _, kill, look, by_curl = (_here(text, server) for _, text in blocks)
        prepared = make.split("downhaul services")[0]
        typed(make, server)
        typed(write, server)
        output = tmp_path / "output"
        with open(output, "wb") as file:
            program = subprocess.Popen(
                [
                    "bash",
                    "-c",
                    prepared + "exec " + _here(lasting[0], server).replace("DOWNHAUL_KEY", "env DOWNHAUL_KEY", 1),
                ],
                env=_environ(),
                stdout=file,
                stderr=file,
                cwd=tmp_path,
            )
        try:
            wait_until(lambda: "the new basket" in output.read_text(), "the program has the flag", 20)
            killed = typed(kill, server)
            assert "is killed in production" in killed and "Confirmed by" in killed
            wait_until(lambda: output.read_text().endswith("the old basket\n"), "the kill has landed", 20)
            told = typed(prepared + look, server)
            assert "KILLED" in told
            assert "SPLIT" in told
            assert '"confirmed":true' in typed(by_curl, server)
        finally:
            program.terminate()
            program.wait(10)


def typed(text: str, server: Server) -> str:
    """What it prints. Every line has to succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        env=_environ(),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=server.data_dir,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _here(text: str, server: Server) -> str:
    """The text for the test's server in place of the one of `make run`."""
    text = text.replace("source .venv/bin/activate\n", "").replace("http://127.0.0.1:8080", server.url)
    return text.replace(".data/", f"{server.data_dir}/")


def _environ() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DOWNHAUL_")}
    return {**ours, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
