"""What the SDK is told: by environment variables, or by arguments in code. Values are checked here and nowhere else."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypedDict

_SERVICE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_KEY = re.compile(r"[!-~]{1,512}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


class SettingsError(ValueError):
    """A setting has a wrong value. The message names the setting and what was expected; it never holds the key."""


class Arguments(TypedDict, total=False):
    """The keyword arguments of `Client` and `configure`, each the lower-case form of its environment variable."""

    url: str
    key: str
    key_file: str
    service: str
    build: str
    instance: str
    region: str
    color: str
    cache_dir: str | os.PathLike[str]
    overrides: str | os.PathLike[str]
    file: str | os.PathLike[str]
    poll_interval: float
    timeout: float
    stream: bool


class Settings(NamedTuple):
    """Checked settings. `poll_interval` and `timeout` (of one whole request) are in seconds; paths are absolute.

    `stream`: whether changes are streamed; without, they are only polled. `file`: flags in place of a service's.
    """

    url: str = ""
    key: str = ""
    key_file: str = ""
    service: str = ""
    build: str = ""
    instance: str = ""
    region: str = ""
    color: str = ""
    cache_dir: str = ""
    overrides: str = ""
    file: str = ""
    poll_interval: float = 5.0
    timeout: float = 10.0
    stream: bool = True

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any], base: Settings | None = None) -> Settings:
        """`base` (default: nothing set) with `arguments` over it. Raises SettingsError at the first wrong one."""
        values = {name: _check(name, name, value) for name, value in arguments.items()}
        if "key" in values:  # an explicit key takes the place of a file named earlier, and the other way round
            values.setdefault("key_file", "")
        elif "key_file" in values:
            values["key"] = ""
        if "file" in values and "url" in values:
            raise SettingsError("file must be given without url: it takes the place of a service")
        if "file" in values:  # likewise
            values["url"] = ""
        elif "url" in values:
            values["file"] = ""
        return cls(**{**(base.as_dict() if base else {}), **values})

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
        """The settings in `environ`, and one sentence for each that is wrong and is therefore left out."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name in cls._fields:
            variable = f"DOWNHAUL_{name.upper()}"
            if text := environ.get(variable, "").strip():
                try:
                    values[name] = _check(name, variable, text)
                except SettingsError as error:
                    problems.append(str(error))
        if "file" in values and "url" in values:  # a kill must be heard wherever there is a service to hear it from
            del values["file"]
            problems.append("DOWNHAUL_FILE must be given without DOWNHAUL_URL: it takes the place of a service")
        settings = cls(**values)
        return settings, problems + [f"DOWNHAUL_{name.upper()} is not set" for name in settings.missing()]

    @property
    def complete(self) -> bool:
        """Whether there is a service to talk to."""
        return bool(self.url and self.service and (self.key or self.key_file))

    def missing(self) -> list[str]:
        """What is still needed to talk to the service, by name; nothing if neither an address nor a key was given."""
        needed = {"url": self.url, "key": self.key or self.key_file, "service": self.service}
        if not (needed["url"] or needed["key"]):  # a service name alone is no wish to talk to anybody
            return []
        return [name for name, value in needed.items() if not value]

    def as_dict(self) -> dict[str, Any]:
        return self._asdict()

    def __repr__(self) -> str:
        """Everything but the key, which belongs into no log."""
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if name != "key")
        return f"Settings({', '.join(shown)})"


def _check(name: str, label: str, value: Any) -> Any:
    check = _CHECKS.get(name)
    if check is None:
        raise TypeError(f"there is no setting {name!r}; there are {', '.join(_CHECKS)}")
    return check(label, value)


def _text(pattern: re.Pattern[str], expected: str) -> Callable[[str, Any], str]:
    def check(label: str, value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise SettingsError(f"{label} must be {expected}")  # the value stays out: it may be a key
        return value

    return check


def _url(label: str, value: Any) -> str:
    from urllib.parse import urlsplit  # takes a tenth of the whole import, and tests of users' code name no address

    expected = f"{label} must be an address like https://flags.example.com"
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"{expected}: {error}") from None
    if parts.scheme not in ("http", "https") or not host or re.search(r"\s", value):
        raise SettingsError(expected)
    if parts.username or parts.password:
        raise SettingsError(f"{expected}, with no user or password in it: the key has a setting of its own")
    if parts.query or parts.fragment:
        raise SettingsError(f"{expected}, with no query and no fragment")
    return str(value).rstrip("/")


def _path(label: str, value: Any) -> str:
    if not isinstance(value, str | os.PathLike) or not str(value) or "\0" in str(value):
        raise SettingsError(f"{label} must be a path")
    # Absolute, because the thread that uses it may outlive a chdir (daemons do that).
    return os.path.abspath(os.path.expanduser(os.fspath(value)))


def _local_file(label: str, value: Any) -> str:
    path = _path(label, value)
    if not path.lower().endswith(_LOCAL_ENDINGS):
        raise SettingsError(f"{label} must be a path that ends in {', '.join(_LOCAL_ENDINGS)}")
    return path


_LOCAL_ENDINGS = (".toml", ".yaml", ".yml", ".json")


def _switch(label: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    found = _SWITCHES.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        raise SettingsError(f"{label} must be 1 or 0, not {value!r}")
    return found


_SWITCHES: Mapping[str, bool] = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}


def _seconds(low: float, high: float) -> Callable[[str, Any], float]:
    def check(label: str, value: Any) -> float:
        try:
            seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
        except ValueError:
            seconds = -1.0
        if not low <= seconds <= high:
            raise SettingsError(f"{label} must be a number of seconds from {low:g} to {high:g}, not {value!r}")
        return seconds

    return check


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "url": _url,
    "key": _text(_KEY, "a token of printable ASCII characters without spaces"),
    "key_file": _path,
    "service": _text(_SERVICE, "a service key: lower-case letters, digits and hyphens, at most 63"),
    "build": _text(_NAME, "1 to 200 characters without control characters"),
    "instance": _text(_NAME, "1 to 200 characters without control characters"),
    "region": _text(_NAME, "1 to 200 characters without control characters"),
    "color": _text(_NAME, "1 to 200 characters without control characters"),
    "cache_dir": _path,
    "overrides": _path,
    "file": _local_file,
    "poll_interval": _seconds(0.05, 3600),
    "timeout": _seconds(0.1, 300),
    "stream": _switch,
}


def read_key(settings: Settings) -> str:
    """The key itself, read from its file if it is in one. Raises SettingsError if there is none to be read."""
    if not settings.key_file:
        return settings.key
    try:
        with open(settings.key_file, encoding="ascii") as file:
            return str(_CHECKS["key"]("the key in " + settings.key_file, file.read(4096).strip()))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not ASCII text"
        raise SettingsError(f"the key cannot be read from {settings.key_file}: {reason}") from None
