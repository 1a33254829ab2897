"""Fill a Downhaul with the demonstration's flags, over its HTTP API. What is there already is left as it is."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import requests

from downhaul_demo.catalogue import FLAGS, SEGMENTS, SERVICES, Document
from downhaul_demo.private import write_private

TIMEOUT_S = 10.0
PATIENCE_S = 20.0
PAUSE_S = 0.25


class DemoError(Exception):
    """The demonstration cannot be set up. One sentence."""


class Administrator:
    """Calls the API with the administrator's token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._session = requests.Session()
        # A proxy that is meant for the world outside must not see this.
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()

    def epoch(self) -> str:
        """The life of the store that we talk to."""
        return str(self._call("GET", "status")["epoch"])

    def create(self, path: str, document: dict[str, Any]) -> dict[str, Any] | None:
        """What was made; None when something of that name is there."""
        made: dict[str, Any] | None = self._call("POST", path, document, also=requests.codes.conflict)
        return made

    def sdk_key_works(self, key: str, service: str) -> bool:
        """Whether an SDK key is still accepted."""
        url = f"{self._url}/sdk/v1/snapshot"
        headers = {"Authorization": f"Bearer {key}"}
        with self._session.get(url, params={"service": service}, headers=headers, timeout=TIMEOUT_S) as answer:
            return answer.ok

    def _call(self, method: str, path: str, document: Any = None, also: int | None = None) -> Any:
        answer = self._insist(method, path, document)
        if answer.status_code == also:
            return None
        if not answer.ok:
            raise DemoError(f"the server answered {answer.status_code} to {method} {path}: {answer.text[:500]}")
        return answer.json()

    def _insist(self, method: str, path: str, document: Any) -> requests.Response:
        """Ask again where Redis cannot take a change just now, as on a machine that is starting many things at once."""
        again_until = time.monotonic() + PATIENCE_S
        headers = {} if document is None else {"Idempotency-Key": secrets.token_hex(16)}
        while True:
            try:
                answer = self._session.request(
                    method, f"{self._url}/api/v1/{path}", json=document, headers=headers, timeout=TIMEOUT_S
                )
            except requests.RequestException as error:
                raise DemoError(f"the server does not answer {method} {path}: {error}") from error
            if answer.status_code != requests.codes.unavailable or time.monotonic() > again_until:
                return answer
            time.sleep(PAUSE_S)


def seed(administrator: Administrator, folder: Path, environment: str) -> None:
    """Make what is missing, once in the store's life: a demo flag that somebody deleted stays deleted.

    `folder` keeps the note that it was done; in `environment` flags are as in production. Raises DemoError.
    """
    note = folder / "seeded"
    epoch = administrator.epoch()
    if note.exists() and note.read_text("ascii") == epoch:
        return
    for key, name in SERVICES.items():
        administrator.create("services", {"key": key, "name": name})
    for segment in SEGMENTS:
        administrator.create("segments", segment)
    for service in SERVICES:
        for flag in FLAGS[service]:
            administrator.create(f"services/{service}/flags", _with_state_in(flag, environment))
    note.write_text(epoch, "ascii")


def _with_state_in(flag: Document, environment: str) -> Document:
    states = flag.get("environments", {})
    if "production" not in states:
        return flag
    return {**flag, "environments": {**states, environment: states["production"]}}


def sdk_key_file(administrator: Administrator, folder: Path, service: str, environment: str) -> Path:
    """A private file with an SDK key of this service, made when there is none that works. Raises DemoError."""
    path = folder / f"{service}.key"
    if path.exists() and administrator.sdk_key_works(path.read_text("ascii").strip(), service):
        return path
    document = {"kind": "sdk", "name": f"demo {service}", "environment": environment, "services": [service]}
    made = administrator.create("keys", document)
    if made is None:
        raise DemoError(f"the server refused to make an SDK key for {service}")
    write_private(path, made["token"])
    return path
