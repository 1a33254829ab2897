"""What is no request, or too large a one, is refused as everything else is: with a problem document."""

from __future__ import annotations

import json
import socket

import pytest
from support.server import ADMIN_TOKEN, Server

pytestmark = pytest.mark.redis

CHUNKED = (
    b"POST /api/v1/services HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer " + ADMIN_TOKEN.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(100)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: rubbish\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rubbish\r\n\r\n", 501),
        (CHUNKED + b"no length\r\n{}", 400),
        (CHUNKED + b"1\r\n{}}}", 400),
    ],
)
def test_it_is_answered_with_a_problem_document(lasting_server: Server, sent: bytes, status: int) -> None:
    head, _, body = exchange(lasting_server, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Type: application/problem+json" in head
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["request_id"].encode() in head
    assert lasting_server.get("/readyz") == 200


def exchange(server: Server, sent: bytes) -> bytes:
    """All that comes back until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(sent)
        answer = b""
        while part := client.recv(4096):
            answer += part
        return answer
