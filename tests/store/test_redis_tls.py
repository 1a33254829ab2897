"""TLS and passwords: for one Redis, for Sentinels and what they look after, and for a Cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from downhaul_server.settings import Settings
from downhaul_server.store import Store
from downhaul_server.store.connections import Connections
from support.redis import RealRedis, free_port
from support.store import FLAG, change
from support.tls import Certificate, make_certificate
from support.topology import SLOTS, Sentinel
from support.waiting import wait_until

pytestmark = pytest.mark.redis

PASSWORD, OF_SENTINELS = "hush%40", "two"
"""The first as a URL has it: `hush@`."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def encrypted(certificate: Certificate, port: int) -> dict[str, str]:
    """Settings of a Redis or a Sentinel that listens for TLS there."""
    return {
        "tls-port": str(port),
        "tls-cert-file": str(certificate.path),
        "tls-key-file": str(certificate.key),
        "tls-ca-cert-file": str(certificate.path),
        "tls-auth-clients": "no",
        "tls-replication": "yes",
    }


@pytest.fixture(params=["single", "sentinel", "cluster"])
def url(request: pytest.FixtureRequest, certificate: Certificate, tmp_path: Path) -> Iterator[str]:
    """Of a Redis that wants a password and speaks TLS, without the option that names who vouches for it."""
    port, kind = free_port(), request.param
    more = {"cluster-enabled": "yes", "tls-cluster": "yes", "cluster-port": str(free_port())}
    options = encrypted(certificate, port) | (more if kind == "cluster" else {})
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    redis = RealRedis(tmp_path / "redis", *arguments).start()
    with redis.client() as client:
        if kind == "cluster":
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
            wait_until(lambda: b"cluster_state:ok" in _info(client), "the Cluster is whole")
        client.config_set("requirepass", PASSWORD.replace("%40", "@"))
    sentinel_port = free_port()
    lines = [f"{name} {value}" for name, value in encrypted(certificate, sentinel_port).items()]
    sentinel = Sentinel(
        tmp_path / "sentinel", port, *lines, "sentinel auth-pass downhaul hush@", f"requirepass {OF_SENTINELS}"
    )
    if kind == "sentinel":
        sentinel.start()
    yield {
        "single": f"rediss://:{PASSWORD}@127.0.0.1:{port}/0?",
        "sentinel": f"rediss+sentinel://:{PASSWORD}@127.0.0.1:{sentinel_port}/downhaul?sentinel_password={OF_SENTINELS}&",
        "cluster": f"rediss+cluster://:{PASSWORD}@127.0.0.1:{port}?",
    }[kind]
    sentinel.stop()
    redis.kill()


def test_it_is_used_with_its_password_and_its_certificate_is_checked(
    url: str, certificate: Certificate, tmp_path: Path
) -> None:
    (folder := tmp_path / "data").mkdir()
    connections = Connections.to(f"{url}ssl_ca_certs={certificate.path}", block_s=0.05)
    with Store.open(Settings(data_dir=folder), connections=connections) as store:
        wait_until(lambda: store.health()["state"] == "following", "it follows")
        assert store.commit(change(FLAG)).revision == 2
    for wrong in (url, f"{url}ssl_ca_certs={certificate.path}".replace(PASSWORD, "other")):
        unwelcome = Connections.to(wrong)
        with pytest.raises(Exception, match=r"(?i)certificate|password|knows of a primary|cannot be connected|invalid"):
            unwelcome.writes.ping()
        unwelcome.close()


def _info(client: object) -> bytes:
    found = client.execute_command("CLUSTER", "INFO")  # type: ignore[attr-defined]
    return found if isinstance(found, bytes) else f"cluster_state:{found['cluster_state']}".encode()
