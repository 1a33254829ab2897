"""`downhaul profile`: services and tokens by name, in a file that only its owner can read."""

from __future__ import annotations

import os
import sys

import click

from downhaul.cli.connection import check_token, check_url, named_profile
from downhaul.cli.options import PROFILE, common
from downhaul.cli.output import table
from downhaul.cli.profiles import Profile, Profiles, profiles_path, read_profiles, write_profiles
from downhaul.cli.session import Session


@click.group()
def profile() -> None:
    """Addresses and tokens by name.

    Instead of DOWNHAUL_URL and DOWNHAUL_TOKEN, in a file that only you can read.
    """


@profile.command("set")
@click.argument("name", type=PROFILE)
@click.option("--url", required=True, help="The address of the service.")
@common
def set_profile(session: Session, name: str, url: str) -> None:
    """Keep a service and a token; the token is asked for, or read from stdin.

    The first profile is used from then on; for others, `profile use`.
    """
    made = Profile(check_url(url), check_token(_ask_for_token(), "what you gave"))
    profiles = _read().with_profile(name, made)
    _write(profiles)
    in_use = "it is the one that is used" if profiles.active == name else f"`downhaul profile use {name}` uses it"
    session.answer(_document(name, profiles), f"The profile {name} is kept for {made.url}; {in_use}.")


@profile.command("list")
@common
def list_profiles(session: Session) -> None:
    """All profiles, without their tokens."""
    profiles = _read()
    if not profiles.by_name and not session.as_json:
        session.output.note("There are no profiles yet; make one with `downhaul profile set NAME --url URL`.")
        return
    documents = [_document(name, profiles) for name in sorted(profiles.by_name)]
    rows = [(each["name"], each["url"], "in use" if each["active"] else None) for each in documents]
    session.answer(documents, table(["NAME", "URL", ""], rows))


@profile.command("use")
@click.argument("name", type=PROFILE)
@common
def use_profile(session: Session, name: str) -> None:
    """Use this profile when none is named."""
    named_profile(os.environ, name)
    profiles = _read().using(name)
    _write(profiles)
    session.answer(_document(name, profiles), f"The profile {name} is used from now on.")


@profile.command("remove")
@click.argument("name", type=PROFILE)
@common
def remove_profile(session: Session, name: str) -> None:
    """Forget a profile and its token."""
    named_profile(os.environ, name)
    _write(_read().without(name))
    session.answer({"removed": name}, f"The profile {name} is removed.")


def _ask_for_token() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("API token", hide_input=True, err=True)).strip()
    return sys.stdin.readline().strip()


def _document(name: str, profiles: Profiles) -> dict[str, str | bool]:
    return {"name": name, "url": profiles.by_name[name].url, "active": profiles.active == name}


def _read() -> Profiles:
    return read_profiles(profiles_path(os.environ))


def _write(profiles: Profiles) -> None:
    write_profiles(profiles_path(os.environ), profiles)
