"""Where webhooks may not go, whatever a name says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from downhaul_server.services import hook_sender
from downhaul_server.services.hook_addresses import is_public, parsed
from downhaul_server.services.hook_sender import NotSent, Sender
from support.hooks import LOOPBACK, Receiver, receiving
from support.tls import Certificate, make_certificate, server_context

PRIVATE = [
    *(
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
    ),
    *("100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:100.64.0.1"),
    *("fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "2002:7f00:1::"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2001::1", "100::1", "3fff::1", "5f00::1"),
]
PUBLIC = [
    "1.1.1.1",
    "93.184.215.14",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_nobodys_on_the_internet_is_not_public(address: str) -> None:
    assert not is_public(parsed(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_other_addresses_are_public(address: str) -> None:
    assert is_public(parsed(address))


def resolving(*answers: str, asked: list[str] | None = None) -> Any:
    """A resolver that gives these addresses, one set a question."""

    def resolve(host: str, port: int, *_: Any) -> list[Any]:
        if asked is not None:
            asked.append(host)
        kind = socket.AF_INET6 if ":" in answers[0] else socket.AF_INET
        return [(kind, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers]

    return resolve


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_leads_to_such_an_address_is_not_sent_to(
    address: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("it has connected"))

    with pytest.raises(NotSent) as error:
        Sender(resolve=resolving(address)).post(f"{scheme}://hooks.example.com/in", b"{}", {})

    assert address not in str(error.value)
    assert "DOWNHAUL_WEBHOOK_ALLOW" in str(error.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "localhost", "[::1]"])
def test_no_way_to_write_this_machine_gets_through(host: str, receiver: Receiver) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(NotSent):
            Sender().post(f"{scheme}://{host}:{receiver.port}/", b"{}", {})
    assert receiver.got == []


def test_a_name_that_leads_elsewhere_when_it_is_asked_again_is_asked_once(receiver: Receiver) -> None:
    """DNS rebinding: public when it is checked, this machine when it is connected to."""
    asked: list[str] = []
    connected: list[Any] = []

    def resolve(host: str, port: int, *rest: Any) -> list[Any]:
        asked.append(host)
        address = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(place: Any, *_: Any, **__: Any) -> socket.socket:
        connected.append(place)
        raise ConnectionRefusedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "create_connection", connect)
        with pytest.raises(NotSent):
            Sender(resolve=resolve).post(f"https://hooks.example.com:{receiver.port}/", b"{}", {})

    assert (asked, connected) == (["hooks.example.com"], [("93.184.215.14", receiver.port)])
    assert receiver.got == []


def test_of_several_addresses_only_the_checked_ones_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []

    def connect(place: Any, *_: Any, **__: Any) -> socket.socket:
        connected.append(place[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(NotSent, match="refuses connections"):
        Sender(resolve=resolving("10.0.0.1", "1.1.1.1", "127.0.0.1", "8.8.8.8")).post("https://x.example/", b"", {})

    assert connected == ["1.1.1.1", "8.8.8.8"]


def test_an_allowed_address_is_sent_to_under_its_name(receiver: Receiver) -> None:
    sender = Sender(LOOPBACK, resolve=resolving("127.0.0.1"))

    assert sender.post(f"http://hooks.internal:{receiver.port}/in?a=b", b"{}", {}).status == 200

    assert receiver.got[0].headers["host"] == f"hooks.internal:{receiver.port}"
    assert receiver.got[0].path == "/in?a=b"


def test_an_allowed_ipv4_network_covers_its_mapped_addresses() -> None:
    assert Sender(LOOPBACK).fault("http://[::ffff:127.0.0.1]/") is None
    assert Sender((ip_network("10.0.0.0/8"),)).fault("http://127.0.0.1/") is not None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://hooks.example.com/", "https://"),
        ("hooks.example.com", "https://"),
        ("https://", "https://"),
        ("https:///path", "https://"),
        ("https://me:secret@hooks.example.com/", "user name"),
        ("https://me@hooks.example.com/", "user name"),
        ("https://hooks.example.com:0/", "ASCII"),
        ("https://hooks.example.com:99999/", "cannot be read"),
        ("https://[::1", "cannot be read"),
        ("https://hooks.example.com/#part", "fragment"),
        ("https://hooks.example.com/a b", "spaces"),
        ("https://hooks.example.com/\r\nX-Injected: 1", "spaces"),
        ("https://hööks.example.com/", "ASCII"),
        ("https://169.254.169.254/latest/meta-data", "no address that is public"),
        ("http://1.1.1.1/", "plain http"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_when_it_is_kept(url: str, told: str) -> None:
    fault = Sender().fault(url)

    assert fault is not None and told in fault
    with pytest.raises(NotSent):
        Sender().post(url, b"", {})


class TestAnswers:
    """What the other side may do to us."""

    def post(self, receiver: Receiver, total_s: float = 15.0) -> hook_sender.Answer:
        return Sender(LOOPBACK, total_s=total_s).post(receiver.url, b"{}", {"X": "y"})

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(self, receiver: Receiver, status: int) -> None:
        receiver.will_answer(status, Location="http://127.0.0.1:1/", Retry_After="1")

        assert self.post(receiver).status == status
        assert len(receiver.got) == 1

    def test_proxies_of_the_environment_are_not_used(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")

        assert self.post(receiver).delivered

    def test_of_a_long_answer_little_is_read_and_less_is_kept(self, receiver: Receiver) -> None:
        def talk(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(500)
            handler.send_header("Content-Type", "text/plain")
            handler.end_headers()
            try:
                while True:
                    handler.wfile.write(b"\x1b[31m blah" * 10_000)
            except OSError:
                pass

        receiver.will(talk)

        answer = self.post(receiver)

        assert answer.status == 500
        assert len(answer.excerpt) == hook_sender.EXCERPT and "\x1b" not in answer.excerpt

    def test_what_is_no_text_is_not_kept(self, receiver: Receiver) -> None:
        receiver.will_answer(500, b"\x00\x01", Content_Type="application/octet-stream")

        assert self.post(receiver).excerpt == ""

    def test_who_never_answers_is_given_up(self, receiver: Receiver) -> None:
        receiver.will_stall()

        with pytest.raises(NotSent, match="did not answer in time"):
            self.post(receiver, total_s=0.2)

    @pytest.mark.parametrize("piece", [b"HTTP/1.1 100 Continue\r\n\r\n", b"X"])
    def test_who_answers_bit_by_bit_is_given_up_too(self, receiver: Receiver, piece: bytes) -> None:
        def drip(handler: BaseHTTPRequestHandler) -> None:
            try:
                while not receiver.ended.wait(0.02):
                    handler.wfile.write(piece)
                    handler.wfile.flush()
            except OSError:
                pass

        receiver.will(drip)
        begun = time.monotonic()

        with pytest.raises(NotSent):
            self.post(receiver, total_s=0.5)
        assert time.monotonic() - begun < 5

    def test_what_is_not_http_is_told_so(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def greet() -> None:
                client, _ = listener.accept()
                with client:
                    client.recv(65536)
                    client.sendall(b"220 mail.internal ESMTP secret-banner\r\n")

            threading.Thread(target=greet, daemon=True).start()
            with pytest.raises(NotSent, match="not HTTP") as error:
                Sender(LOOPBACK).post(f"http://127.0.0.1:{listener.getsockname()[1]}/", b"", {})
        assert "banner" not in str(error.value)

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("120", 120.0), ("0", 0.0), ("999999999", 86_400.0), ("soon", None), ("-5", None), ("1e9", None)],
    )
    def test_how_long_to_wait_is_read(self, receiver: Receiver, text: str, seconds: float | None) -> None:
        receiver.will_answer(503, Retry_After=text)

        assert self.post(receiver).retry_after_s == seconds

    def test_how_long_to_wait_may_be_a_date(self, receiver: Receiver) -> None:
        receiver.will_answer(503, Retry_After="Wed, 21 Oct 2065 07:28:00 GMT")
        receiver.will_answer(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")

        assert [self.post(receiver).retry_after_s for _ in range(2)] == [86_400.0, 0.0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(Path(tmp_path_factory.mktemp("tls")))


class TestTls:
    @pytest.fixture
    def secure(self, certificate: Certificate) -> Iterator[Receiver]:
        with receiving(server_context(certificate)) as found:
            yield found

    def test_a_certificate_that_nobody_vouches_for_is_refused(self, secure: Receiver) -> None:
        with pytest.raises(NotSent, match="certificate"):
            Sender(LOOPBACK).post(secure.url, b"", {})
        assert secure.got == []

    def test_a_certificate_is_checked_for_the_name_and_not_for_the_address(
        self, secure: Receiver, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hook_sender.certifi, "where", lambda: str(certificate.path))

        assert Sender(LOOPBACK).post(secure.url, b"", {}).status == 200
        named = secure.url.replace("127.0.0.1", "hooks.example.com")
        with pytest.raises(NotSent, match="certificate"):
            Sender(LOOPBACK, resolve=resolving("127.0.0.1")).post(named, b"", {})
        assert len(secure.got) == 1

    def test_who_never_shakes_hands_is_given_up(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(NotSent, match="in time"):
            Sender(LOOPBACK, total_s=0.3).post(f"https://127.0.0.1:{listener.getsockname()[1]}/", b"", {})
