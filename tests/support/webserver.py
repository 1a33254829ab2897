"""The processes of a server's web server: one master, and its workers."""

from __future__ import annotations

from pathlib import Path

from support.server import Server


def master_of(server: Server) -> int:
    """The process that the supervisor has started."""
    (found,) = (pid for pid in _all(server) if _parent(pid) == server.pid)
    return found


def workers_of(server: Server) -> set[int]:
    """The processes that serve."""
    every = _all(server)
    return {pid for pid in every if _parent(pid) in every}


def _all(server: Server) -> set[int]:
    return {pid for pid, line in server.processes().items() if "downhaul_server.serve" in line}


def _parent(pid: int) -> int:
    try:
        # The name in parentheses may hold anything; what follows it does not.
        return int(Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[1])
    except OSError:
        return 0
