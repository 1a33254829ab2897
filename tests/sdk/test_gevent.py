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
from support.waiting import wait_until

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


FORKS = """
from gevent import monkey
monkey.patch_all()
import os, time
from downhaul import flags

def until_off():
    while flags.enabled("new-checkout"):
        time.sleep(0.01)

assert flags.wait_ready(20) and flags.enabled("new-checkout")
while flags.status().link != "stream":
    time.sleep(0.01)
child = os.fork()
until_off()
os.write(1, flags.status().link.encode() + b"\\n")
if child:
    os.waitpid(child, 0)
else:
    flags.close()
    os._exit(0)
"""


def test_a_child_of_a_patched_program_is_another_process_in_everything(
    service: FakeService, certificate: Certificate
) -> None:
    """There, the parent's thread is a greenlet, and lives on in the child: it must not say a word."""
    environment = {
        **os.environ,
        "DOWNHAUL_URL": service.url,
        "DOWNHAUL_KEY": KEY,
        "DOWNHAUL_SERVICE": SERVICE,
        "REQUESTS_CA_BUNDLE": str(certificate.path),
    }
    command = [sys.executable, "-c", FORKS]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: len({each["pid"] for each in service.reports}) == 2, "parent and child report")
        service.publish(2, {"new-checkout": flag(on=False)})
        output, errors = process.communicate(timeout=20)
    assert (output, errors, process.returncode) == ("stream\nstream\n", "", 0)
    said = {(each["pid"], each["process"]) for each in service.reports}
    assert len(said) == 2, "each process has one name"
    assert sorted(each["pid"] for each in service.reports if each.get("leaving")) == sorted(pid for pid, _ in said)
    assert len(service.of("stream")) == 2
