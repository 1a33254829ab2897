"""The guides for machines without containers, typed as they stand into a Debian that has just been installed.

One machine, one story, told by the tests from top to bottom: the service by systemd, with its own Redis and then with
a given one, its log, and nginx in front of it. A user types who is nobody special, but may `sudo`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import pytest
from support.guides import ROOT, Block, blocks
from support.machine import AS_READERS_DO, USER, Machine
from support.typed import Terminal
from support.waiting import wait_until

pytestmark = pytest.mark.machine

DEPLOYING, EDGE, WATCHING = "docs/deploying.md", "docs/edge.md", "docs/watching.md"
PASSWORD = "a-password-of-the-reader"
REDIS = f"requirepass {PASSWORD}\nappendonly yes\nappendfsync always\nmaxmemory-policy noeviction\n"
FILLED_IN = {
    "PASSWORD": PASSWORD,
}
"""What the guides leave to the reader. Everything else is typed as it stands."""
HERE = {**AS_READERS_DO, "/etc/hosts": "127.0.0.1 localhost machine flags.example.com\n"}
"""The name in the guide is the reader's own, and leads here."""
SERVICE = "http://127.0.0.1:8080"
PUBLIC = "https://flags.example.com"
CERTIFICATE = """
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=flags.example.com \\
  -addext subjectAltName=DNS:flags.example.com -keyout flags.key -out flags.pem
sudo cp flags.pem /usr/local/share/ca-certificates/flags.crt
sudo update-ca-certificates
"""
INSTALLING, SAVING, SECRETS, RESTORING = (block for block in blocks(DEPLOYING, "sh") if "sudo " in block.text)
SETTING_UP, LOOKING = blocks(EDGE, "sh")


@pytest.fixture(scope="module")
def terminal(machine: Machine) -> Iterator[Terminal]:
    for path, text in HERE.items():
        machine.write(path, text)
    with machine.terminal() as terminal:
        yield terminal


@pytest.fixture(scope="module")
def tokens() -> dict[str, str]:
    """The administrator's: the one that was `made`, then the one that was `given`."""
    return {}


def typed(terminal: Terminal, block: Block) -> str:
    text = block.text
    for theirs, ours in FILLED_IN.items():
        text = text.replace(theirs, ours)
    return terminal.type(text)


def ask(machine: Machine, path: str, token: str = "", **body: object) -> tuple[int, str]:
    """What the service answers to somebody on the machine: status and body. Status 0: nobody does."""
    words = ["curl", "-sS", "-w", "\n%{http_code}", f"{SERVICE}{path}", "-H", f"Authorization: Bearer {token}"]
    if body:
        words += ["--json", json.dumps(body)]
    answer, _, status = machine.attempt(shlex.join(words), user=USER)[1].rpartition("\n")
    return int(status), answer


def wait_ready(machine: Machine) -> None:
    wait_until(lambda: ask(machine, "/readyz")[0] == 200, f"the service is ready: {ask(machine, '/readyz')}")


def property_of(machine: Machine, name: str) -> str:
    return machine.run(f"systemctl show downhaul --property={name} --value").strip()


def workers(machine: Machine) -> set[str]:
    """The web server's children: three generations of one program."""
    web_server = f"pgrep -P {property_of(machine, 'MainPID')} -f downhaul_server.serve"
    return set(machine.run(f"pgrep -P $({web_server} || echo 0) || true").split())


def flags(machine: Machine, token: str) -> list[str]:
    status, answer = ask(machine, "/api/v1/services/checkout/flags", token)
    assert status == 200, answer
    return [flag["key"] for flag in json.loads(answer)["items"]]


def make_flag(machine: Machine, token: str, name: str) -> None:
    ask(machine, "/api/v1/services", token, key="checkout")
    status, answer = ask(machine, "/api/v1/services/checkout/flags", token, key=name, type="boolean")
    assert status == 201, answer


def test_the_service_is_installed_and_runs(machine: Machine, terminal: Terminal, tokens: dict[str, str]) -> None:
    said = typed(terminal, INSTALLING).split()
    assert machine.run("systemctl is-active downhaul").strip() == "active"
    assert machine.run("systemctl is-enabled downhaul").strip() == "enabled"
    wait_ready(machine)
    tokens["made"] = said[-1]
    assert ask(machine, "/api/v1/services", tokens["made"])[0] == 200
    make_flag(machine, tokens["made"], "new-checkout")


def test_it_is_a_user_of_its_own_that_sees_nothing_else(machine: Machine) -> None:
    pid = property_of(machine, "MainPID")
    assert machine.run(f"ps -o user= -p {pid}").strip() == "downhaul"
    assert "downhaul" not in machine.run("cut -d: -f1 /etc/passwd").split(), "it exists while the service runs"
    assert machine.run(f"ls -A /proc/{pid}/root/home") == "", "it sees no home, though there is one"
    (page,) = re.findall(
        r"systemd-analyze security downhaul` calls that ([\d.]+)\s+of 10", (ROOT / DEPLOYING).read_text()
    )
    said = machine.run("systemd-analyze security downhaul --no-pager")
    (found,) = re.findall(r"Overall exposure level for downhaul.service: ([\d.]+)", said)
    assert float(found) == pytest.approx(float(page), abs=0.2), said


def test_reload_takes_the_workers_anew_and_nothing_else(machine: Machine) -> None:
    before, pid = workers(machine), property_of(machine, "MainPID")
    assert len(before) == 2
    machine.run("systemctl reload downhaul")
    wait_until(lambda: len(now := workers(machine)) == 2 and not now & before, "other workers")
    assert property_of(machine, "MainPID") == pid
    wait_ready(machine)


def test_a_restart_keeps_the_flags(machine: Machine, tokens: dict[str, str]) -> None:
    machine.run("systemctl restart downhaul")
    wait_ready(machine)
    assert flags(machine, tokens["made"]) == ["new-checkout"]


def test_it_ends_by_itself_in_time(machine: Machine) -> None:
    """Nobody had to be killed: not by systemd, nor by the supervisor after its ten seconds."""
    machine.run("systemctl stop downhaul")
    assert property_of(machine, "Result") == "success"
    assert property_of(machine, "ActiveState") == "inactive"
    log = machine.run("journalctl -u downhaul -o cat")
    assert "timed out" not in log and "did not end in time" not in log
    assert "downhaul" not in machine.run("ps -eo user=").split(), "none of its processes is left, Redis neither"
    machine.run("systemctl start downhaul")
    wait_ready(machine)


def test_it_comes_back_after_a_crash(machine: Machine) -> None:
    pid = property_of(machine, "MainPID")
    machine.run(f"kill -9 {pid}")
    wait_until(lambda: property_of(machine, "MainPID") not in {pid, "0"}, "systemd has started it again")
    wait_ready(machine)


def test_a_given_redis_and_a_given_token(machine: Machine, terminal: Terminal, tokens: dict[str, str]) -> None:
    # "One that is looked after already": the settings of docs/running.md, and a password.
    machine.run(f"cat >> /etc/redis/redis.conf <<'END'\n{REDIS}END\nsystemctl restart redis-server")
    typed(terminal, SAVING)
    typed(terminal, SECRETS)
    tokens["given"] = machine.run("cat /etc/downhaul/admin-token").strip()
    wait_until(lambda: '"diverged"' in ask(machine, "/readyz")[1], "an empty Redis is not taken for the truth")
    typed(terminal, RESTORING)
    wait_ready(machine)
    assert ask(machine, "/api/v1/services", tokens["made"])[0] == 401
    assert flags(machine, tokens["given"]) == ["new-checkout"]
    assert machine.run(f"redis-cli --no-auth-warning -a {PASSWORD} dbsize").strip() not in {"", "0"}
    assert "redis-server" not in machine.run("ps -u downhaul -o args="), "its own one is not started"
    assert json.loads(ask(machine, "/readyz")[1])["durability"]["survives_crash"] == "every acknowledged write"
    for path in ("/etc/downhaul", "/etc/downhaul/admin-token", "/etc/downhaul/redis-url"):
        assert machine.run(f"stat -c %U {path}").strip() == "root"
        assert machine.attempt(f"cat {path}", user=USER)[0] != 0, f"only root may read {path}"


def test_a_new_token_needs_a_restart(machine: Machine, tokens: dict[str, str]) -> None:
    """systemd hands the files over when it starts the service."""
    new = "dh_admin_" + "n" * 43
    machine.run(f"echo {new} > /etc/downhaul/admin-token && systemctl reload downhaul")
    wait_ready(machine)
    assert ask(machine, "/api/v1/services", tokens["given"])[0] == 200
    machine.run("systemctl restart downhaul")
    wait_ready(machine)
    assert ask(machine, "/api/v1/services", tokens["given"])[0] == 401
    assert ask(machine, "/api/v1/services", new)[0] == 200
    tokens["given"] = new


def test_it_starts_while_redis_is_away(machine: Machine, tokens: dict[str, str]) -> None:
    machine.run("systemctl stop redis-server && systemctl restart downhaul")
    wait_ready(machine)
    assert '"degraded"' in ask(machine, "/readyz")[1]
    assert flags(machine, tokens["given"]) == ["new-checkout"]
    machine.run("systemctl start redis-server")
    wait_until(lambda: '"degraded"' not in ask(machine, "/readyz")[1], "it follows Redis again")


def test_other_settings_go_into_a_file(machine: Machine) -> None:
    (page,) = re.findall(r"`(/etc/downhaul/downhaul.env)`, one a line:\s+`(\w+=4)`", (ROOT / DEPLOYING).read_text())
    machine.run(f"echo {page[1]} >> {page[0]} && systemctl restart downhaul")
    wait_until(lambda: len(workers(machine)) == 4, "four workers")


def test_the_log_finds_a_request(machine: Machine, terminal: Terminal) -> None:
    sent = machine.run(f"curl -sS -o /dev/null -D - {SERVICE}/api/v1/services", user=USER)
    (request,) = re.findall(r"(?i)^x-request-id: (\S+)", sent, re.MULTILINE)
    (journal,) = (block.text for block in blocks(WATCHING, "sh") if "journalctl" in block.text)
    (line,) = terminal.type(journal.replace("0f3a...", request)).splitlines()
    found = json.loads(line)
    assert (found["path"], found["status"]) == ("/api/v1/services", 401)


def test_the_edge_is_set_up(machine: Machine, terminal: Terminal, tokens: dict[str, str]) -> None:
    # The reader's own certificate, which the machine trusts, and an editor with which there is nothing to change.
    terminal.type(CERTIFICATE)
    terminal.type("export EDITOR=true")
    typed(terminal, SETTING_UP)
    # "The service has to know the proxy".
    machine.run(f"echo {proxies()} >> /etc/downhaul/downhaul.env && systemctl restart downhaul")
    wait_ready(machine)
    downhaul = f"DOWNHAUL_URL={SERVICE} DOWNHAUL_TOKEN={tokens['given']} /opt/downhaul/bin/downhaul"
    terminal.type(
        f"export DOWNHAUL_KEY=$({downhaul} keys create sdk 'the fleet' -e production --service checkout --quiet)"
    )
    # "Instances get the edge's address": it answers them, with a certificate that is in order.
    assert "X-Cache: MISS" in looked(terminal)
    assert "X-Cache: HIT" in looked(terminal)


def looked(terminal: Terminal) -> str:
    return re.sub(r"(?i)x-cache", "X-Cache", typed(terminal, LOOKING))


def proxies() -> str:
    (setting,) = re.findall(r"`(DOWNHAUL_TRUSTED_PROXIES=\S+)`", (ROOT / EDGE).read_text())
    return str(setting)


def test_who_comes_through_the_edge_is_seen_as_who_they_are(machine: Machine) -> None:
    address = machine.run("hostname -I").split()[0]
    curl = f"curl -sS -o /dev/null -D - --resolve flags.example.com:443:{address} {PUBLIC}/api/v1/services"
    (request,) = re.findall(r"(?i)^x-request-id: (\S+)", machine.run(curl, user=USER), re.MULTILINE)
    assert json.loads(machine.run(f"journalctl -u downhaul -o cat | grep {request}"))["remote"] == address


def test_streams_pass_the_edge_at_once(terminal: Terminal) -> None:
    stream = f"timeout 5 curl -sN -H \"Authorization: Bearer $DOWNHAUL_KEY\" '{PUBLIC}/sdk/v1/stream?service=checkout'"
    assert "event: snapshot" in terminal.type(f"{stream} || [ $? = 124 ]")


def test_polls_go_on_while_the_service_is_down(machine: Machine, terminal: Terminal) -> None:
    machine.run("systemctl stop downhaul")
    wait_until(lambda: "X-Cache: STALE" in looked(terminal), "the entry is a second old")
    machine.run("systemctl start downhaul")
    wait_ready(machine)
    wait_until(lambda: "X-Cache: STALE" not in looked(terminal), "it is asked again")


def test_a_machine_that_is_nothing_but_an_edge(machine: Machine, terminal: Terminal) -> None:
    terminal.type("sudo cp deploy/nginx/nginx.conf /etc/nginx/ && sudo nginx -t && sudo systemctl restart nginx")
    looked(terminal)
    found = "grep '^{.*/sdk/v1/snapshot' /var/log/nginx/access.log"
    wait_until(lambda: machine.attempt(found)[0] == 0, "a line of the log")
    line = json.loads(machine.run(found))
    assert (line["path"], line["status"]) == ("/sdk/v1/snapshot", 200)
