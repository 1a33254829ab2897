"""The profile file: addresses and tokens by name, readable by their owner alone.

`$XDG_CONFIG_HOME/downhaul/profiles.toml` (default `~/.config`) holds `active = "name"` and, for each name,
`[profiles.name]` with `url` and `token`.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from downhaul.cli.errors import CliError


@dataclass(frozen=True, slots=True)
class Profile:
    """One service, and the token for it."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Profiles:
    """All of them; `active` is the one that is used when none is named."""

    by_name: Mapping[str, Profile] = field(default_factory=dict)
    active: str | None = None

    def with_profile(self, name: str, profile: Profile) -> Profiles:
        """With one more, or another in its place; the first one is active at once."""
        return Profiles({**self.by_name, name: profile}, self.active or name)

    def without(self, name: str) -> Profiles:
        """Without it; when it was active, none is."""
        rest = {each: profile for each, profile in self.by_name.items() if each != name}
        return Profiles(rest, None if self.active == name else self.active)

    def using(self, name: str) -> Profiles:
        """With that one active."""
        return replace(self, active=name)


def profiles_path(environ: Mapping[str, str]) -> Path:
    """Where the file is, whether it exists or not."""
    home = environ.get("XDG_CONFIG_HOME") or ""
    # The XDG specification: a path that is not absolute is to be ignored.
    base = Path(home) if os.path.isabs(home) else Path("~/.config").expanduser()
    return base / "downhaul" / "profiles.toml"


def read_profiles(path: Path) -> Profiles:
    """What is in the file; nothing when there is none. Raises CliError: others can read it, or it is not ours."""
    try:
        with path.open("rb") as file:
            _refuse_when_open_to_others(path, os.fstat(file.fileno()).st_mode)
            return _decode(tomllib.load(file))
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CliError(
            f"{path} is not a profile file", hint="correct it or remove it, then run `downhaul profile set NAME`"
        ) from None


def write_profiles(path: Path, profiles: Profiles) -> None:
    """Replace the file whole, with mode 0600 from its first byte on. Raises CliError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".profiles-")  # mkstemp gives mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_encode(profiles))
        os.replace(temporary, path)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}") from None


def _refuse_when_open_to_others(path: Path, mode: int) -> None:
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise CliError(
            f"{path} holds tokens and can be read or written by others (mode {stat.S_IMODE(mode):04o})",
            hint=f"run `chmod 600 {path}`, and make new tokens if others may have read these",
        )


def _decode(document: Mapping[str, Any]) -> Profiles:
    profiles = {
        name: Profile(url=_text(entry["url"]), token=_text(entry["token"]))
        for name, entry in document.get("profiles", {}).items()
    }
    active = document.get("active")
    return Profiles(profiles, active if active in profiles else None)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return value


def _encode(profiles: Profiles) -> str:
    # JSON's texts are TOML's basic strings, as long as they hold printable ASCII: what is stored here does.
    lines = [f"active = {json.dumps(profiles.active)}"] if profiles.active else []
    for name, profile in profiles.by_name.items():
        lines += ["", f"[profiles.{json.dumps(name)}]"]
        lines += [f"url = {json.dumps(profile.url)}", f"token = {json.dumps(profile.token)}"]
    return "\n".join(lines).lstrip("\n") + "\n"
