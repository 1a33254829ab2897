"""What the landing page advises works: its lines are run as they stand there."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support.server import Server

pytestmark = pytest.mark.redis

BIN = Path(sys.executable).parent


def test_the_first_steps_work_when_they_are_followed(lasting_server: Server, tmp_path: Path) -> None:
    page = requests.get(f"{lasting_server.url}/welcome", timeout=5).text
    setting_up, program, killing = (
        html.unescape(each) for each in re.findall(r"<code>([^<]*\n?[^<]*)</code></pre>", page)
    )
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "DOWNHAUL_URL": lasting_server.url}

    setting_up = setting_up.replace("DOWNHAUL_TOKEN=...", f"DOWNHAUL_TOKEN={lasting_server.token}")
    made = _run(["bash", "-ec", setting_up], environ)
    (key,) = re.findall(r"dh_sdk_\S+", made)

    instance = {**environ, "DOWNHAUL_KEY": key, "DOWNHAUL_SERVICE": "shop"}
    assert _run([sys.executable, "-c", program], instance) == "True\n"
    _run(["bash", "-ec", killing], {**environ, "DOWNHAUL_TOKEN": lasting_server.token})
    assert _run([sys.executable, "-c", program], instance) == "False\n"


def test_the_links_lead_somewhere(lasting_server: Server) -> None:
    page = requests.get(f"{lasting_server.url}/welcome", timeout=5).text
    links = re.findall(r'href="(/[^"]*)"', page)
    assert {"/api/v1/docs", "/readyz", "/metrics"} <= set(links)
    assert {lasting_server.get(link) for link in links} == {200}


def _run(command: list[str], environ: dict[str, str]) -> str:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout
