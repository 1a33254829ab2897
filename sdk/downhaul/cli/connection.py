"""Which service to speak to, and with which token. Tokens come from the environment or the profile file, never from
an argument: arguments are seen by everybody on the machine, and stay in the shell's history."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from downhaul.cli.errors import CliError, ExitCode
from downhaul.cli.profiles import Profile, profiles_path, read_profiles

DEFAULT_URL = "http://127.0.0.1:8080"
_TOKEN = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True)
class Connection:
    """An address without a slash at its end, and the token for it."""

    url: str
    token: str = field(repr=False)


def connect(environ: Mapping[str, str], profile: str | None) -> Connection:
    """A named profile wins (`profile`, `DOWNHAUL_PROFILE`), then the token of the environment, then the active profile.

    A profile's token goes only to the profile's address. Raises CliError.
    """
    if name := profile or environ.get("DOWNHAUL_PROFILE"):
        return _of(named_profile(environ, name))
    if token := environment_token(environ):
        return Connection(check_url(environ.get("DOWNHAUL_URL") or DEFAULT_URL), token)
    profiles = read_profiles(profiles_path(environ))
    if profiles.active is None:
        raise CliError(
            "there is no token",
            ExitCode.UNAUTHORISED,
            hint="set DOWNHAUL_TOKEN or DOWNHAUL_TOKEN_FILE, or run `downhaul profile set NAME --url URL`",
        )
    return _of(_same_address(environ, profiles.active, profiles.by_name[profiles.active]))


def named_profile(environ: Mapping[str, str], name: str) -> Profile:
    """Raises CliError when there is none of that name."""
    profiles = read_profiles(profiles_path(environ)).by_name
    if name not in profiles:
        raise CliError(
            f"there is no profile {name}",
            ExitCode.NOT_FOUND,
            hint="`downhaul profile list` shows them, `downhaul profile set` makes one",
        )
    return profiles[name]


def environment_token(environ: Mapping[str, str]) -> str | None:
    """From DOWNHAUL_TOKEN or DOWNHAUL_TOKEN_FILE. Raises CliError when that file is unreadable or holds no token."""
    if token := environ.get("DOWNHAUL_TOKEN", "").strip():
        return check_token(token, "DOWNHAUL_TOKEN")
    file = environ.get("DOWNHAUL_TOKEN_FILE")
    if not file:
        return None
    try:
        return check_token(Path(file).read_text("utf-8").strip(), f"the file {file} (DOWNHAUL_TOKEN_FILE)")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CliError(
            f"the file {file} (DOWNHAUL_TOKEN_FILE) cannot be read: {cause}",
            ExitCode.UNAUTHORISED,
            hint="name a file that holds an API token",
        ) from None


def check_token(token: str, where: str) -> str:
    """The token. Raises CliError, which does not repeat it."""
    if not _TOKEN.fullmatch(token):
        raise CliError(f"{where} does not hold a token", ExitCode.UNAUTHORISED, hint="a token looks like dh_api_...")
    return token


def check_url(url: str) -> str:
    """The address without a slash at its end. Raises CliError."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not url.isascii() or not url.isprintable() or " " in url or parts.query or parts.fragment:
        raise CliError(f"{url!r} is no address", ExitCode.USAGE, hint=f"it looks like {DEFAULT_URL}")
    if parts.username is not None or parts.password is not None:
        raise CliError(
            "an address holds no name and no password", ExitCode.USAGE, hint="the token is all that is needed"
        )
    return url.rstrip("/")


def _of(profile: Profile) -> Connection:
    return Connection(check_url(profile.url), check_token(profile.token, "the profile"))


def _same_address(environ: Mapping[str, str], name: str, profile: Profile) -> Profile:
    url = environ.get("DOWNHAUL_URL", "")
    if url and url.rstrip("/") != profile.url.rstrip("/"):
        raise CliError(
            f"DOWNHAUL_URL is {url}, but the only token is that of the profile {name}, for {profile.url}",
            ExitCode.USAGE,
            hint=f"set DOWNHAUL_TOKEN for this address, or unset DOWNHAUL_URL, or say --profile {name}",
        )
    return profile
