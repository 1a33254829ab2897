"""The sockets that we listen on, opened before anything is started, so that a port in use is told in one sentence."""

from __future__ import annotations

import errno
import os
import socket
import time

BACKLOG = 2048
PATIENCE_S = 3.0
"""A server that was killed a moment ago needs this long to let go of its port."""
PAUSE_S = 0.1
GONE_MS = 30_000
"""A client that has acknowledged nothing of what was sent to it for so long is gone, though it never said so."""


class ListenError(Exception):
    """We cannot listen there. One sentence that says where, why, and what to set."""


def listen(host: str, port: int, *, setting: str = "DOWNHAUL_BIND", patience_s: float = PATIENCE_S) -> socket.socket:
    """A listening socket on the first address of `host`; port 0 lets the system choose. Raises ListenError."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return _open(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise ListenError(_sentence(host, port, setting, error)) from error
        time.sleep(PAUSE_S)


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Host and port that it really has."""
    host, port = listener.getsockname()[:2]
    return host, port


def url_of(listener: socket.socket) -> str:
    """Where a client on this machine finds it: `http://127.0.0.1:8080`, also when it listens on every address."""
    host, port = address_of(listener)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _open(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Connections have it from their listener. Without it a stream to a machine that is gone lives on for long.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_MS)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _sentence(host: str, port: int, setting: str, error: OSError) -> str:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use by another program: stop it, or set {setting} to another address"
    reason = error.strerror or os.strerror(error.errno or 0)
    return f"cannot listen on {where} ({reason}): set {setting} to an address of this machine"
