"""The README's first flag and first kill, typed as they stand there, against a real server and a real program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from downhaul import flags
from support.guides import blocks
from support.server import Server
from support.typed import environment
from support.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.slow]

MARKED = [block for block in blocks("README.md", "sh") if block.mark.startswith("tried by tests/docs")]


def test_a_stranger_gets_from_nothing_to_a_first_kill_by_copy_and_paste(tmp_path: Path) -> None:
    lasting = [block.text for block in MARKED if "runs until it is ended" in block.mark]
    assert len(lasting) == 1
    assert len(MARKED) == 6
    with Server(tmp_path / "data") as server:
        (server.data_dir / "admin-token").write_text(server.token)
        make, write, _, kill, look, by_curl = (_here(block.text, server) for block in MARKED)
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
                env=environment(),
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
        env=environment(),
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


def test_the_line_of_code_at_the_top_runs() -> None:
    (code,) = blocks("README.md", "python")
    names = {"user_id": "u-17"}
    exec(code.text, names)  # noqa: S102 -- our own documentation
    assert names["flags"] is flags
