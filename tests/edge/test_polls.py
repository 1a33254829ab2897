"""The edge in front of the service: `deploy/nginx/downhaul.conf` in a real nginx, with a real server behind it."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from downhaul.flags import Client
from support.guides import blocks
from support.nginx import Nginx
from support.server import Server
from support.tls import Certificate, make_certificate
from support.typed import Terminal, environment
from support.visitors import shopper
from support.waiting import wait_until

pytestmark = [pytest.mark.nginx, pytest.mark.redis, pytest.mark.slow]

MARK = "tried by tests/edge/test_polls.py"
SNAPSHOT, STREAM = "/sdk/v1/snapshot?service=shop", "/sdk/v1/stream?service=shop"
FLAG = "services/shop/flags/basket"


@dataclass
class Edge:
    """An nginx, the server behind it, and what is there."""

    server: Server
    nginx: Nginx
    certificate: Certificate
    port: int
    session: requests.Session

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def get(self, path: str, token: str | None = None, **headers: str) -> requests.Response:
        """Through the edge."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.session.get(self.url + path, headers=headers, timeout=30)

    def kill(self, path: str = f"/api/v1/{FLAG}/kill") -> requests.Response:
        """Through the edge, as the administrator."""
        headers = {"Authorization": f"Bearer {self.server.token}"}
        return self.session.post(self.url + path, headers=headers, timeout=30)

    def key(self, name: str, *services: str) -> dict[str, Any]:
        """An SDK key."""
        return self.server.made(
            "keys", {"kind": "sdk", "name": name, "environment": "production", "services": services}
        )

    def polled(self) -> int:
        """How many polls have reached the service."""
        lines = requests.get(f"{self.server.url}/metrics", timeout=10).text.splitlines()
        return sum(
            int(float(line.split()[-1])) for line in lines if line.startswith("downhaul_snapshot_requests_total{")
        )


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = Path(tmp_path_factory.mktemp("edge"))
    nginx = Nginx(folder / "nginx")
    certificate = make_certificate(folder)
    nginx.certificate("flags", certificate.path, certificate.key)
    with Server(folder / "data", DOWNHAUL_TRUSTED_PROXIES="127.0.0.1/32") as server:
        port = nginx.add(
            "downhaul.conf",
            "443",
            # A limit that a slow machine reaches too.
            {
                "server 127.0.0.1:8080;": f"server 127.0.0.1:{server.port};",
                "rate=50r/s": "rate=1r/s",
                "burst=200 ": "burst=5 ",
            },
        )
        server.made("services", {"key": "shop"})
        server.made("services", {"key": "other"})
        server.made(
            "services/shop/flags", {"key": "basket", "type": "boolean", "environments": {"production": {"on": True}}}
        )
        with nginx, shopper(certificate.path) as session:
            yield Edge(server, nginx, certificate, port, session)


def test_the_line_of_the_guide_tells_a_miss_a_hit_and_a_renewal(edge: Edge, tmp_path: Path) -> None:
    """docs/edge.md: `Look`."""
    (look,) = (block for block in blocks("docs/edge.md", "sh") if block.mark == MARK)
    line = look.text.replace("https://flags.example.com", edge.url).replace("service=checkout", "service=shop")
    key = edge.key("guide", "shop")["token"]
    with Terminal(tmp_path, environment(DOWNHAUL_KEY=key, CURL_CA_BUNDLE=str(edge.certificate.path))) as terminal:

        def cached() -> str:
            return re.findall(r"^x-cache: (\w+)", terminal.type(line), re.MULTILINE | re.IGNORECASE)[0]

        assert [cached(), cached()] == ["MISS", "HIT"]
        wait_until(lambda: cached() == "REVALIDATED", "the entry is renewed")


@pytest.fixture(autouse=True)
def restored(edge: Edge) -> Iterator[None]:
    yield
    answer = edge.server.call("POST", f"/api/v1/{FLAG}/restore", {"reason": "the next test"})
    assert answer.ok, answer.text


def test_many_polls_reach_the_service_as_a_few(edge: Edge) -> None:
    token = edge.key("many", "shop")["token"]
    etag = edge.get(SNAPSHOT, token).headers["ETag"]
    before, answers = edge.polled(), [edge.get(SNAPSHOT, token, **{"If-None-Match": etag}) for _ in range(200)]
    assert {answer.status_code for answer in answers} == {304}
    assert {answer.headers["ETag"] for answer in answers} == {etag}
    assert "HIT" in {answer.headers["X-Cache"] for answer in answers}
    assert edge.polled() - before < 100
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 200


def test_an_entry_that_is_old_is_asked_for_again_and_what_is_new_is_sent(edge: Edge) -> None:
    token = edge.key("fresh", "shop")["token"]
    first = edge.get(SNAPSHOT, token)
    assert first.json()["flags"]["basket"]["killed"] is False
    seen: set[str] = set()

    def revalidated() -> bool:
        seen.add(edge.get(SNAPSHOT, token, **{"If-None-Match": first.headers["ETag"]}).headers["X-Cache"])
        return "REVALIDATED" in seen

    wait_until(revalidated, "the service is asked whether it is the newest")
    edge.kill()

    def killed() -> bool:
        answer = edge.get(SNAPSHOT, token, **{"If-None-Match": first.headers["ETag"]})
        return answer.status_code == 200 and answer.json()["flags"]["basket"]["killed"] is True

    wait_until(killed, "a poll has the kill")


def test_no_token_ever_gets_what_another_ones_poll_has_left(edge: Edge) -> None:
    shop, other = edge.key("theirs", "shop")["token"], edge.key("not theirs", "other")["token"]
    assert edge.get(SNAPSHOT, shop).status_code == 200
    assert edge.get(SNAPSHOT, other).status_code == 403
    assert edge.get(SNAPSHOT).status_code == 401
    assert edge.get(SNAPSHOT, f"{shop}x").status_code == 401
    assert edge.get("/sdk/v1/snapshot?service=other", shop).status_code == 403
    assert edge.get("/sdk/v1/snapshot?service=other", other).json()["service"] == "other"
    assert edge.get(SNAPSHOT, shop).json()["service"] == "shop"


def test_while_the_service_is_away_polls_get_the_last_one_and_a_revoked_key_gets_none(edge: Edge) -> None:
    token, revoked = edge.key("kept", "shop")["token"], edge.key("revoked", "shop")
    etag = edge.get(SNAPSHOT, token).headers["ETag"]
    assert edge.get(SNAPSHOT, revoked["token"]).status_code == 200
    assert edge.server.call("DELETE", f"/api/v1/keys/{revoked['id']}").ok
    wait_until(lambda: edge.get(SNAPSHOT, revoked["token"]).status_code == 401, "the key is refused at the edge")
    with edge.server.hanging():
        wait_until(lambda: edge.get(SNAPSHOT, token).headers["X-Cache"] == "STALE", "a service that hangs is away too")
    edge.server.stop()
    try:
        wait_until(lambda: edge.get(SNAPSHOT, token).headers["X-Cache"] == "STALE", "the last one is served")
        assert edge.get(SNAPSHOT, token).json()["flags"]["basket"]["killed"] is False
        assert edge.get(SNAPSHOT, token, **{"If-None-Match": etag}).status_code == 304
        assert edge.get(SNAPSHOT, revoked["token"]).status_code == 401
        assert edge.get("/api/v1/status", edge.server.token).status_code == 502
    finally:
        edge.server.start().ready()
    assert edge.get("/readyz").status_code == 200


def test_events_pass_at_once(edge: Edge) -> None:
    token, events = edge.key("stream", "shop")["token"], []
    headers = {"Authorization": f"Bearer {token}"}
    with shopper(edge.certificate.path) as session:
        stream = session.get(edge.url + STREAM, headers=headers, stream=True, timeout=30)

        def listen() -> None:
            for line in stream.iter_lines(chunk_size=1):
                if line.startswith(b"event:"):
                    events.append(line)
                    if b"change" in line:
                        return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        wait_until(lambda: b"event: snapshot" in events, "the stream begins")
        edge.kill()
        thread.join(20)
        assert b"event: change" in events
        stream.close()


def test_the_sdk_streams_through_it_and_hears_of_a_kill(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(edge.certificate.path))
    client = Client(url=edge.url, key=edge.key("instance", "shop")["token"], service="shop")
    try:
        assert client.wait_ready(20), client.status()
        wait_until(lambda: client.status().link == "stream", "it streams")
        assert client.enabled("basket") is True
        answer = edge.kill()
        wait_until(lambda: client.enabled("basket") is False, "the kill is there")
        assert answer.status_code == 200
        waited = edge.server.call("POST", f"/api/v1/{FLAG}/kill", {"wait": 20}).json()
        assert waited["confirmed"] is True and waited["instances"] >= 1
    finally:
        client.close()


def test_who_asks_too_often_is_held_up_and_never_a_kill(edge: Edge) -> None:
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda _: edge.get("/livez").status_code, range(60)))
    assert set(statuses) == {200, 429}
    assert {edge.kill().status_code for _ in range(10)} == {200}
    assert edge.kill("/api/v1/kill").status_code == 422  # it lacks a body, and has reached the service
    token = edge.key("unlimited", "shop")["token"]
    assert {edge.get(SNAPSHOT, token).status_code for _ in range(10)} == {200}


def test_the_service_knows_the_clients_address_whatever_they_say_of_it(edge: Edge) -> None:
    wait_until(lambda: edge.get("/livez").status_code == 200, "the limit is over")
    headers = {"Authorization": f"Bearer {edge.server.token}", "X-Forwarded-For": "203.0.113.9"}
    assert edge.session.post(f"{edge.url}/api/v1/{FLAG}/kill", headers=headers, timeout=30).ok
    (entry,) = edge.server.call("GET", "/api/v1/log?action=flag.kill&limit=1").json()["items"]
    assert entry["by"]["address"] == "127.0.0.1"


def test_metrics_are_not_for_everybody_and_nothing_is_said_without_tls(edge: Edge) -> None:
    wait_until(lambda: edge.get("/metrics").status_code == 404, "the limit is over")
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as line:
        line.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 400")


def test_no_token_is_in_its_logs(edge: Edge) -> None:
    token = edge.key("secret", "shop")["token"]
    edge.get(f"{SNAPSHOT}&token={token}", token)
    edge.nginx.__exit__()
    try:
        assert any('"path":"/sdk/v1/snapshot"' in line for line in edge.nginx.lines())
        assert token not in "".join(edge.nginx.lines())
    finally:
        edge.nginx.__enter__()
    assert os.stat(edge.nginx.folder / "cache" / "downhaul").st_mode & 0o077 == 0
