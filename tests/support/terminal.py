"""The `downhaul` command in a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

COMMAND = [sys.executable, "-m", "downhaul.cli"]
WITHIN_S = 20
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal(
    *arguments: str,
    columns: int = 80,
    asked: str = "",
    typed: str = "",
    interrupted: str = "",
    out: Path | None = None,
    **environ: str,
) -> tuple[int, str]:
    """Run the command, and type when it has `asked`; gives the exit code and what was shown.

    `interrupted`: Ctrl-C comes when this is shown. `out`: stdout goes to this file, not to the terminal.
    """
    mine, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", **environ}
    stdout = os.open(out, os.O_WRONLY | os.O_CREAT) if out else os.dup(its)
    # In a session of its own it has no /dev/tty, and so reads passwords from this terminal.
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=its, stdout=stdout, stderr=its, env=environment, preexec_fn=_alone
    )
    os.close(its)
    os.close(stdout)
    shown = b""
    for piece in _pieces(mine):
        shown += piece
        if typed and asked.encode() in shown:
            os.write(mine, typed.encode())
            typed = ""
        if interrupted and interrupted.encode() in shown:
            process.send_signal(signal.SIGINT)
            interrupted = ""
    os.close(mine)
    return process.wait(WITHIN_S), shown.decode().replace("\r\n", "\n")


def takes_interrupts() -> None:
    """For a new process: a shell's background job ignores interrupts, and so would its children. Tests may run in
    one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _alone() -> None:
    os.setsid()
    takes_interrupts()


def _pieces(terminal: int) -> Iterator[bytes]:
    try:
        while piece := os.read(terminal, 65536):
            yield piece
    except OSError:  # so Linux says that the other side has been closed
        return
