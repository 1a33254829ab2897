"""Arguments and options that several commands share, and how their texts are read."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from downhaul.cli.session import Session
from downhaul.cli.strict_json import loads

Command = Callable[..., Any]

_SERVICE = r"[a-z0-9][a-z0-9-]{0,62}"
_FLAG = r"[a-z0-9][a-z0-9._-]{0,99}"
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class FlagName:
    """`service/key`."""

    service: str
    key: str

    def __str__(self) -> str:
        return f"{self.service}/{self.key}"


class Key(click.ParamType[str]):
    """A key, checked here because it becomes a part of an address: `..` would lead to another document."""

    def __init__(self, name: str, pattern: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not self._pattern.fullmatch(value):
            self.fail(f"{value!r} is no {self.name}: small letters, digits and hyphens.", param, ctx)
        return value


class FlagType(click.ParamType[FlagName]):
    """SERVICE/FLAG."""

    name = "service/flag"

    def convert(self, value: str | FlagName, param: click.Parameter | None, ctx: click.Context | None) -> FlagName:
        if isinstance(value, FlagName):
            return value
        service, slash, key = value.partition("/")
        if not slash:
            self.fail(f"{value!r} is no flag: name it as SERVICE/FLAG, such as checkout/new-checkout.", param, ctx)
        if not re.fullmatch(_SERVICE, service) or not re.fullmatch(_FLAG, key):
            self.fail(f"{value!r} is no flag: SERVICE/FLAG, in small letters, digits, hyphens and dots.", param, ctx)
        return FlagName(service, key)


_KINDS: dict[type, str] = {dict: "JSON object", list: "JSON array"}


class JsonType(click.ParamType[Any]):
    """JSON from a file, from stdin (`-`), or on the spot when it begins with a bracket."""

    name = "file|-|json"

    def __init__(self, expected: type) -> None:
        self._expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        source, text = self._read(value, param, ctx)
        try:
            document = loads(text)
        except ValueError as error:
            self.fail(f"{source} is not JSON: {error}", param, ctx)
        if not isinstance(document, self._expected):
            self.fail(f"{source} holds no {_KINDS[self._expected]}.", param, ctx)
        return document

    def _read(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if value.lstrip().startswith(("{", "[")):
            return "the text", value
        source = "stdin" if value == "-" else value
        try:
            return source, sys.stdin.read() if value == "-" else Path(value).read_text("utf-8")
        except OSError as error:
            self.fail(f"{source} cannot be read: {error.strerror}", param, ctx)
        except UnicodeDecodeError:
            self.fail(f"{source} is not UTF-8 text", param, ctx)


class PercentType(click.ParamType[int | float]):
    """0 to 100, with up to three decimals and perhaps a percent sign."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        try:
            number = Decimal(str(value).removesuffix("%").strip())
        except InvalidOperation:
            self.fail(f"{value!r} is no percentage.", param, ctx)
        if not number.is_finite() or not 0 <= number <= 100 or number != round(number, 3):
            self.fail(f"{value!r} is not between 0 and 100, with up to three decimals.", param, ctx)
        return int(number) if number == int(number) else float(number)


class MomentType(click.ParamType[str]):
    """A time as RFC 3339, a date, or how long ago: `90s`, `30m`, `2h`, `7d`, `1w`."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            moment = self._moment(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: 2h, 7d, 2026-11-23, or 2026-11-23T22:07:00Z.", param, ctx)
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

    def _moment(self, value: str) -> datetime:
        if ago := _AGO.fullmatch(value):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class WaitType(click.FloatRange):
    """Seconds to wait for a fleet."""

    def __init__(self) -> None:
        super().__init__(0, LONGEST_WAIT_S)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds: float = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is no number of seconds.", param, ctx)
        return seconds


class WaitingCommand(click.Command):
    """Takes a `--wait` without a number also in front of an argument, which would else be taken for its value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        following = [*args[1:end], ""]
        options = [
            f"--wait={DEFAULT_WAIT_S}" if word == "--wait" and not _is_number(after) else word
            for word, after in zip(args[:end], following, strict=False)
        ]
        return super().parse_args(ctx, options + args[end:])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


LONGEST_WAIT_S = 60
DEFAULT_WAIT_S = 10.0

FLAG = FlagType()
SERVICE = Key("service", _SERVICE)
SERVICE_OR_ALL = Key("service", rf"\*|{_SERVICE}")
ENVIRONMENT = Key("environment", _SERVICE)
SEGMENT = Key("segment", _FLAG)
REVIEW = Key("review", r"[0-9a-f]{1,64}")
KEY_ID = Key("key", r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
LINK_ID = Key("kill link", r"[0-9a-f]{1,64}")
HOOK_ID = Key("webhook", r"[0-9a-f]{1,64}")
ENVIRONMENT_OR_ALL = Key("environment", rf"\*|{_SERVICE}")
PROFILE = Key("profile", r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
OBJECT = JsonType(dict)
ARRAY = JsonType(list)
PERCENT = PercentType()
MOMENT = MomentType()
SECONDS = WaitType()


def common(command: Command) -> Command:
    """`--json` and `--profile`, which every command has; the command gets the Session as its first argument."""
    for option in (_profile, _json):
        command = option(command)
    return click.make_pass_decorator(Session)(command)


def _take_json(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    ctx.ensure_object(Session).as_json |= given


def _take_profile(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
    if name is not None:
        ctx.ensure_object(Session).profile = name


def _take_all(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    ctx.meta["downhaul.all"] = given


def _unless_all(ctx: click.Context, _: click.Parameter, limit: int) -> int | None:
    return None if ctx.meta["downhaul.all"] else limit


_json = click.option(
    "--json", is_flag=True, expose_value=False, callback=_take_json, help="Write JSON on stdout, for programs."
)
_profile = click.option(
    "--profile", type=PROFILE, expose_value=False, callback=_take_profile, help="Use this profile's service and token."
)

environment = click.option(
    "-e",
    "--environment",
    type=ENVIRONMENT,
    help="The environment; left out: the token's only one, else the default one.",
)
needed_environment = click.option(
    "-e", "--environment", type=ENVIRONMENT, required=True, help="The environment in which to change it."
)
limit = click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many; left out: all.")
NEWEST = 50
"""Entries of the log: it grows for ever, and the newest come first."""


def newest(command: Command) -> Command:
    """`--limit` and `--all` of what is shown newest first; the command gets `limit`, None for all."""
    everything = click.option(
        "--all", "everything", is_flag=True, is_eager=True, expose_value=False, callback=_take_all, help="All of them."
    )
    some = click.option(
        "--limit",
        type=click.IntRange(1),
        metavar="N",
        default=NEWEST,
        show_default=True,
        callback=_unless_all,
        help="So many.",
    )
    return everything(some(command))


reason = click.option("--reason", help="Why, for the log.")
version = click.option(
    "--if-version",
    "version",
    type=click.IntRange(1),
    metavar="N",
    help="Refuse (exit code 5) when it is no longer at this version.",
)
wait = click.option(
    "--wait",
    type=SECONDS,
    is_flag=False,
    flag_value=DEFAULT_WAIT_S,
    metavar="[SECONDS]",
    help="Wait until every process has applied it, at most so many seconds (10 when not said); else exit code 3.",
)
yes = click.option("--yes", is_flag=True, help="Do not ask.")


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal; where nobody can answer, `--yes` is demanded."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Say --yes where nobody can answer.")
    click.confirm(question, abort=True, err=True)


def given(**values: Any) -> dict[str, Any]:
    """Only what was given: without None and without empty tuples; tuples become lists."""
    chosen = {name: value for name, value in values.items() if value is not None and value != ()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}
