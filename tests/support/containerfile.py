"""A reader of our Containerfile, and a builder without a container engine: COPY and RUN of one stage, in a folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CONTAINERFILE = REPOSITORY / "deploy" / "container" / "Containerfile"


class BuildError(Exception):
    """A RUN has failed; with what it said."""


@dataclass
class Stage:
    """What stands between two FROMs."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The arguments of each of these instructions."""
        return [arguments for name, arguments in self.steps if name == instruction]

    def environment(self) -> dict[str, str]:
        """What ENV says."""
        return dict(pair.split("=", 1) for arguments in self.all("ENV") for pair in arguments.split())


def stages() -> dict[str, Stage]:
    """Of our Containerfile, by their names, with arguments put in."""
    text = re.sub(r"\\\n\s*", "", CONTAINERFILE.read_text())
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, rest = line.split(maxsplit=1)
        rest = re.sub(r"\$\{(\w+)\}", lambda match: arguments.get(match[1], match[0]), rest)
        if name == "ARG" and not found:
            key, value = rest.split("=", 1)
            arguments[key] = value
        elif name == "FROM":
            base, alias = rest.split(" AS ")
            found.append(Stage(alias, base))
        else:
            found[-1].steps.append((name, rest))
    return {stage.name: stage for stage in found}


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the repository from the build."""
    verdict = False
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        if fnmatch(path, pattern) or path == pattern or path.startswith(f"{pattern}/"):
            verdict = not wanted
    return verdict


def build(stage: Stage, root: Path, environ: dict[str, str]) -> None:
    """Carry out the stage's COPY and RUN with `root` for `/`; what it copies from other stages is left out.

    Raises BuildError.
    """
    place = root
    for name, arguments in stage.steps:
        if name == "WORKDIR":
            place = _in(root, arguments)
            place.mkdir(parents=True, exist_ok=True)
        elif name == "COPY" and not arguments.startswith("--from"):
            *sources, target = arguments.split()
            _copy(sources, _in(root, target) if target.startswith("/") else place / target, target.endswith("/"))
        elif name == "RUN":
            command = [str(_in(root, part)) if part.startswith("/") else part for part in json.loads(arguments)]
            done = subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True, timeout=300)
            if done.returncode != 0:
                raise BuildError(f"{arguments}: {done.stdout}{done.stderr}")


def _in(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _copy(sources: list[str], target: Path, into: bool) -> None:
    for source in sources:
        assert not ignored(source), f".dockerignore keeps {source} out"
        found = REPOSITORY / source
        if found.is_dir():
            shutil.copytree(
                found, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            place = target / found.name if into else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, place)


def clean_environment() -> dict[str, str]:
    """What a build step is told: nothing of ours, only where programs and packages come from."""
    kept = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "HTTPS_PROXY", "https_proxy")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or (name.startswith("UV_") and name != "UV_PROJECT_ENVIRONMENT")
    }
