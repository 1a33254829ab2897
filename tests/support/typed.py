"""A terminal into which a test types what the documentation says, and the server that it speaks of."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Timer
from typing import Any

import requests
from support.guides import Block
from support.server import Server

PATIENCE_S = 120.0
PRELUDE = """
set -euo pipefail
shopt -s expand_aliases
uuidgen() { cat /proc/sys/kernel/random/uuid; }
curl() { case " $*" in *" -f"* | *" --fail"*) command curl "$@" ;; *) command curl --fail-with-body "$@" ;; esac; }
"""
"""What fails ends it, also a request that is refused; aliases are what a person at a terminal has."""


def environment(**more: str) -> dict[str, str]:
    """This machine's, without settings of its own, and with this Python's programs first."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DOWNHAUL_")}
    return {**ours, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **more}


class Terminal:
    """One bash: what a block exports, defines or makes is there for the next one. Use it with `with`."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        command: Sequence[str] = ("bash", "--noprofile", "--norc"),
        typed: tuple[Path, str] | None = None,
        patience: float = PATIENCE_S,
    ) -> None:
        """`typed`: the file that takes what is typed, and its path as the command sees it."""
        self.folder = folder
        self._typed = typed or (folder / ".typed", str(folder / ".typed"))
        self._patience = patience
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=dict(environ),
        )
        self.type(PRELUDE)

    def type(self, text: str) -> str:
        """What it prints, errors too. Every line has to succeed."""
        assert self._process.stdin and self._process.stdout
        file, seen_as = self._typed
        file.write_text(text + "\n")
        self._process.stdin.write(f'. "{seen_as}" </dev/null; echo; echo "-- done --"\n')
        self._process.stdin.flush()
        said: list[str] = []
        watchdog = Timer(self._patience, self._process.kill)
        watchdog.start()
        try:
            for line in self._process.stdout:
                if line == "-- done --\n":
                    return "".join(said)[:-1]
                said.append(line)
        finally:
            watchdog.cancel()
        raise AssertionError(f"this failed:\n{text}\n\nIt said:\n{''.join(said)}")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()


class House:
    """A running server with the services, environments and flags that the guides speak of."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._asked = 0
        self.token = self.key({"kind": "api", "name": "ada", "role": "admin"})
        self.approver = self.key({"kind": "api", "name": "an approver", "role": "approver"})
        self.sdk = self.key({"kind": "sdk", "name": "sdk", "environment": "production", "services": ["*"]})

    def furnish(self) -> None:
        """Everything that is spoken of is there, however the last example has left it."""
        self._have("environments", {"key": "staging"})
        for service in ("checkout", "payments"):
            self._have("services", {"key": service})
            self._have(f"services/{service}/flags", {"key": "new-checkout", "type": "boolean", "tags": ["payments"]})
            self.server.call("POST", f"/api/v1/services/{service}/flags/new-checkout/restore", {"reason": "furnished"})
        self._have("services/payments/flags", {"key": "new-ledger", "type": "boolean"})
        when = {"attribute": "beta", "op": "in", "values": [True]}
        self._have("segments", {"key": "beta", "when": when})

    def key(self, body: dict[str, object]) -> str:
        token: str = self.server.made("keys", body)["token"]
        return token

    def clear(self, *, service: bool = True) -> None:
        """The service checkout has no flag, or is not there at all."""
        for flag in self.server.call("GET", "/api/v1/services/checkout/flags").json().get("items", ()):
            assert self.server.call("DELETE", f"/api/v1/services/checkout/flags/{flag['key']}").ok
        if service:
            self.server.call("DELETE", "/api/v1/services/checkout")

    def version(self, path: str) -> int:
        """Of a document: what `If-Match` takes."""
        found: int = self.server.call("GET", f"/api/v1/{path}").json()["version"]
        return found

    def have_shop(self) -> None:
        """The service shop, with what nginx asks for."""
        self._have("services", {"key": "shop"})
        for flag in ("new-version", "go-on"):
            self._have("services/shop/flags", {"key": flag, "type": "boolean"})
            on = {"on": True, "otherwise": {"variant": "on"}}
            assert self.server.call("PATCH", f"/api/v1/services/shop/flags/{flag}/environments/production", on).ok

    def leave(self, service: str, process: str) -> None:
        """The last report of a process."""
        body = {"service": service, "process": process, "instance": "gone", "sdk": "go/0.3", "link": "poll"}
        headers = {"Authorization": f"Bearer {self.sdk}"}
        report = {**body, "epoch": None, "revision": None, "leaving": True}
        answer = requests.post(f"{self.server.url}/sdk/v1/report", json=report, headers=headers, timeout=20)
        assert answer.ok, answer.text

    def ask_for_review(self) -> str:
        """The id of a review by the owner of `token`, of a change that nobody has asked for yet."""
        self._asked += 1
        change = {"state": {"on": True, "rollout": self._asked / 10}}
        place = {"service": "checkout", "flag": "new-checkout", "environment": "production"}
        answer = requests.post(
            f"{self.server.url}/api/v1/reviews",
            json={**place, "change": change, "reason": "a guide asks"},
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=20,
        )
        assert answer.ok, answer.text
        found: str = answer.json()["id"]
        return found

    def open_review(self) -> dict[str, Any]:
        """The newest that waits."""
        found: dict[str, Any] = self.server.call("GET", "/api/v1/reviews?status=open").json()["items"][0]
        return found

    def unprotect(self) -> None:
        path = "/api/v1/environments/production?reason=the+next+guide+begins"
        assert self.server.call("PATCH", path, {"protected": False, "approvals": 0}).ok

    def here(self, block: Block | str) -> str:
        """The text for this server in place of the guides' ones."""
        text = block if isinstance(block, str) else block.text
        for address in ("http://127.0.0.1:8080", "https://flags.example.com"):
            text = text.replace(address, self.server.url)
        for token in ("dh_admin_...", "dh_api_..."):
            text = text.replace(token, self.token)
        return text

    def _have(self, path: str, body: dict[str, object]) -> None:
        answer = self.server.call("POST", f"/api/v1/{path}", body)
        assert answer.status_code in (200, 201, 409), answer.text
