"""`kubectl port-forward`, as the API server answers it: SPDY/3.1 (draft-mbelshe-httpbis-spdy) on a connection that was
upgraded. The newer way, SPDY within WebSocket, is refused, and kubectl takes this one.

For each connection kubectl opens two streams, `error` and `data`, whose headers name the port of the pod.
"""

from __future__ import annotations

import socket
import struct
import threading
import zlib
from collections.abc import Mapping

SYN_STREAM, SYN_REPLY, RST_STREAM, PING = 1, 2, 3, 6
FIN = 1
_CONTROL = 0x80030000
_HEADERS_AT = 10
"""In SYN_STREAM, after two ids of streams and a priority."""

_WORDS = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length
content-location content-md5 content-range content-type date etag expect expires from host if-match
if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma
proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
user-agent vary via warning www-authenticate method get status 200~OK version HTTP/1.1 url public set-cookie
keep-alive origin
"""
_REST = (
    b"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritativ"
    b"e Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 I"
    b"nternal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec"
    b" 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xm"
    b"l,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset="
    b"iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(w)) + w.replace(b"~", b" ") for w in _WORDS.encode().split()) + _REST
"""What both sides know before the first header: section 2.6.10.1 of the draft."""


class Forwarding:
    """One upgraded connection. `ports` is where the ports of the pod are on this machine."""

    def __init__(self, connection: socket.socket, ports: Mapping[int, int]) -> None:
        self._connection = connection
        self._ports = ports
        self._lock = threading.Lock()
        self._read = zlib.decompressobj(zdict=DICTIONARY)
        self._write = zlib.compressobj(zdict=DICTIONARY)
        self._errors: dict[str, int] = {}
        self._open: dict[int, socket.socket] = {}

    def run(self) -> None:
        """Until kubectl goes."""
        upgrade = "Upgrade: SPDY/3.1\r\nConnection: Upgrade\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n"
        self._connection.sendall(f"HTTP/1.1 101 Switching Protocols\r\n{upgrade}".encode())
        with self._connection.makefile("rb") as incoming:
            while len(head := incoming.read(8)) == 8:
                first, second = struct.unpack(">II", head)
                self._take(first, second >> 24, incoming.read(second & 0xFFFFFF))
        for each in self._open.values():
            each.close()

    def _take(self, first: int, flags: int, body: bytes) -> None:
        if first == _CONTROL | SYN_STREAM:
            self._begin(struct.unpack(">I", body[:4])[0], self._headers(body[_HEADERS_AT:]))
        elif first == _CONTROL | PING:
            self._send(_CONTROL | PING, 0, body)
        elif not first >> 31 and first in self._open:
            self._pass_on(self._open[first], body, last=bool(flags & FIN))

    def _begin(self, stream: int, headers: Mapping[str, str]) -> None:
        with self._lock:
            nothing = self._write.compress(bytes(4)) + self._write.flush(zlib.Z_SYNC_FLUSH)
        self._send(_CONTROL | SYN_REPLY, 0, struct.pack(">I", stream) + nothing)
        request = headers["requestid"]
        if headers["streamtype"] == "error":
            self._errors[request] = stream
            return
        error, port = self._errors.pop(request), int(headers["port"])
        try:
            self._open[stream] = socket.create_connection(("127.0.0.1", self._ports[port]), timeout=20)
        except (KeyError, OSError):
            self._send(error, FIN, f"nothing listens on port {port} of the pod".encode())
            self._send(stream, FIN, b"")
            return
        threading.Thread(target=self._pass_back, args=(stream, error), daemon=True).start()

    def _pass_on(self, pod: socket.socket, data: bytes, *, last: bool) -> None:
        try:
            pod.sendall(data)
            if last:
                pod.shutdown(socket.SHUT_WR)
        except OSError:
            """It is gone: the other direction ends the stream."""

    def _pass_back(self, stream: int, error: int) -> None:
        pod = self._open[stream]
        pod.settimeout(None)
        try:
            while data := pod.recv(65536):
                self._send(stream, 0, data)
            self._send(error, FIN, b"")
            self._send(stream, FIN, b"")
        except OSError:
            """One of the two is gone, and nobody is left who could be told."""

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._read.decompress(block)
        (pairs,) = struct.unpack(">I", plain[:4])
        texts, at = [], 4
        for _ in range(2 * pairs):
            (length,) = struct.unpack(">I", plain[at : at + 4])
            texts.append(plain[at + 4 : at + 4 + length].decode())
            at += 4 + length
        return dict(zip(texts[::2], texts[1::2], strict=True))

    def _send(self, first: int, flags: int, body: bytes) -> None:
        with self._lock:
            self._connection.sendall(struct.pack(">II", first, flags << 24 | len(body)) + body)
