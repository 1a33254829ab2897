"""Each file of deploy/ has somebody who looks at it: a file that nobody knows fails here. And what the drop-in of the
systemd unit speaks of are settings."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
from downhaul_server.settings import Settings

REPOSITORY = Path(__file__).parents[2]
CHECKS = (REPOSITORY / "deploy" / "check.sh").read_text()
LOOKED_AT = {
    "*.sh": "shellcheck",
    "container/Containerfile": "hadolint",
    "compose/compose.yaml": "check-jsonschema",
    "kubernetes/base/*.yaml": "kubectl kustomize",
    "kubernetes/overlays/*": "kubectl kustomize",
    "helm/downhaul/*": "helm lint",
    "prometheus/prometheus.yml": "promtool check config",
    "prometheus/*.rules*.yml": "promtool test rules",
    "systemd/*": "systemd-analyze verify",
    # Python is linted, typed and imported as all of ours is.
    "*.py": "test_container",
    "demo/*": "test_container",
    "compose/redis.conf": "test_container",
    "kubernetes/tools.txt": "setup",
    "grafana/downhaul.json": "test_watching",
}
"""Files of deploy/ -> the tool in deploy/check.sh, or the test module, that runs them."""
OTHERS = {
    "nginx/*": "tests/edge",
    "flagger/*": "tests/edge",
    "argo-rollouts/*": "tests/edge",
    "pipelines/*": "tests/edge",
}
"""Those of the edge have tests of their own."""


def tracked() -> list[str]:
    """Every file of deploy/ that is in the repository."""
    listed = subprocess.run(["git", "ls-files", "deploy"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [line.removeprefix("deploy/") for line in listed.stdout.splitlines()]


def test_every_file_is_looked_at() -> None:
    patterns = LOOKED_AT | OTHERS
    assert [path for path in tracked() if not any(fnmatch(path, pattern) for pattern in patterns)] == []


@pytest.mark.parametrize(("pattern", "by"), LOOKED_AT.items())
def test_by_somebody_who_is_there(pattern: str, by: str) -> None:
    assert any(fnmatch(path, pattern) for path in tracked()), "there is no such file"
    assert by in CHECKS or (REPOSITORY / "tests" / "deploy" / f"test_{by.removeprefix('test_')}.py").exists()


def test_the_credentials_of_the_unit_are_what_its_settings_name(tmp_path: Path) -> None:
    text = (REPOSITORY / "deploy" / "systemd" / "downhaul.service.d" / "secrets.conf").read_text()
    loaded = dict(re.findall(r"^LoadCredential=([\w-]+):(\S+)$", text, re.MULTILINE))
    named = dict(re.findall(r"^Environment=(\w+)=%d/(\S+)$", text, re.MULTILINE))
    assert set(named.values()) == set(loaded)
    values = {"admin-token": "a-token-of-the-tests-for-the-administrator", "redis-url": "redis://redis:6379/0"}
    for name, value in values.items():
        (tmp_path / name).write_text(value)
    settings = Settings.from_environment({setting: str(tmp_path / file) for setting, file in named.items()})
    assert (settings.admin_token, settings.redis_url) == tuple(values.values())
