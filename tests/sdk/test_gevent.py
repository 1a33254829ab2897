"""In a program that gevent has patched, the thread is a greenlet: it follows, gives up in time, and holds up nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.fakeservice import KEY, SERVICE, FakeService, never, serve_well
from support.rulesets import flag
from support.tls import Certificate, server_context

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import gevent
from downhaul import flags

def until(condition):
    with gevent.Timeout(30):
        while not condition():
            gevent.sleep(0.01)  # and the sync greenlet runs beside it

assert flags.wait_ready(20)
print("ready", flags.enabled("new-checkout"), flush=True)
until(lambda: not flags.enabled("new-checkout"))
print("off", flush=True)
until(lambda: "in time" in (flags.status().last_error or ""))
print(flags.status().state, flush=True)
until(lambda: flags.status().state == "ready")
print("again", flush=True)
"""


@pytest.fixture(params=["http", "https"])
def service(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[FakeService]:
    made = FakeService(server_context(certificate) if request.param == "https" else None)
    yield made
    made.close()


def test_a_patched_program_is_live(service: FakeService, certificate: Certificate) -> None:
    environment = {
        **os.environ,
        "DOWNHAUL_URL": service.url,
        "DOWNHAUL_KEY": KEY,
        "DOWNHAUL_SERVICE": SERVICE,
        "DOWNHAUL_POLL_INTERVAL": "0.1",
        "DOWNHAUL_TIMEOUT": "2",
        "REQUESTS_CA_BUNDLE": str(certificate.path),
    }
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready True\n"
        service.publish(2, {"new-checkout": flag(on=False)})
        assert process.stdout.readline() == "off\n"
        service.behaviour = never
        assert process.stdout.readline() == "stale\n"
        service.behaviour = serve_well
        assert process.stdout.readline() == "again\n"
        assert process.wait(10) == 0
