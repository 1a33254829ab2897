"""HTTP byte by byte, for tests of clients that are slow, or stop in the middle."""

from __future__ import annotations

import io
import socket
from http.client import HTTPResponse
from typing import Any, cast

from support.server import Server

PATIENCE_S = 15.0


class _Incoming(io.BufferedReader):
    """What comes, for one answer after the other: an answer must not take with it what it has read of the next."""

    def makefile(self, *mode: Any) -> io.BufferedReader:
        """As a socket has it."""
        return self

    def close(self) -> None:
        """An answer closes it when it has been read."""


class Wire:
    """A connection to a server, on which a request may be sent in parts. Use it with `with`."""

    def __init__(self, server: Server, *, window: int | None = None) -> None:
        """`window`: how many bytes it takes before they are read."""
        self._server = server
        self._socket = socket.socket()
        self._socket.settimeout(PATIENCE_S)
        if window is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self._socket.connect(("127.0.0.1", server.port))
        self.port: int = self._socket.getsockname()[1]
        """On our side."""
        self._incoming = _Incoming(self._socket.makefile("rb", buffering=0))

    def send(self, part: bytes) -> None:
        """Some bytes of a request."""
        self._socket.sendall(part)

    def head(self, method: str, path: str, length: int = 0, token: str | None = None) -> None:
        """All of a request but its body; as the administrator, unless a token is given."""
        lines = (
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self._server.port}",
            f"Authorization: Bearer {token or self._server.token}",
            "Content-Type: application/json",
            f"Content-Length: {length}",
        )
        self.send("\r\n".join((*lines, "", "")).encode("ascii"))

    def answer(self) -> HTTPResponse:
        """The head of the answer; its body can be read. Raises OSError or http.client's errors where there is none."""
        found = HTTPResponse(cast(socket.socket, self._incoming))
        found.begin()
        return found

    def ended(self) -> bool:
        """Whether the server hangs up, rather than answers, within our patience."""
        try:
            return self._incoming.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Hang up."""
        self._incoming.detach().close()
        self._socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
