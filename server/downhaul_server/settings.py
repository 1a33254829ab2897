"""Every setting of the server: read once from the environment, checked at start, immutable afterwards.

A setting is an environment variable; an empty one counts as absent. A secret may come from a file (`NAME_FILE`).
A wrong value raises `SettingsError`, which names the variable and what was expected, so a typo never starts a server.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from downhaul_server import redis_address, signing_in
from downhaul_server.signing_in import SigningIn

T = TypeVar("T")
Network = IPv4Network | IPv6Network

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS = ("json", "console")
EVERY_ORIGIN = "*"
ENVIRONMENT_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
TOKEN_PREFIX = "dh_admin_"  # noqa: S105 - says what the secret is to whoever finds one in a log


class SettingsError(ValueError):
    """A setting is wrong. The text names the variable and what was expected; it never repeats a secret."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server was told. Made by `Settings.from_environment()`; `prepare()` then readies the data folder."""

    data_dir: Path
    """DOWNHAUL_DATA_DIR: checkpoint, embedded Redis and generated token live here; private (0700)."""
    host: str = "127.0.0.1"
    """DOWNHAUL_BIND before the last colon; an IPv6 address without its brackets."""
    port: int = 8080
    """DOWNHAUL_BIND after the last colon; 0 lets the system choose."""
    redis_url: str | None = field(default=None, repr=False)
    """DOWNHAUL_REDIS_URL(_FILE): what `redis_address.py` reads. None: run the embedded Redis."""
    admin_token: str | None = field(default=None, repr=False)
    """DOWNHAUL_ADMIN_TOKEN(_FILE): the bootstrap administrator's token. Never None after `prepare()`."""
    workers: int = 2
    """DOWNHAUL_WORKERS: server processes, 1 to 64."""
    default_environment: str = "production"
    """DOWNHAUL_DEFAULT_ENVIRONMENT: where a kill lands when neither it nor its token names an environment."""
    log_level: str = "info"
    """DOWNHAUL_LOG_LEVEL: debug, info, warning, error or critical."""
    log_format: str = "json"
    """DOWNHAUL_LOG_FORMAT: json (one object a line) or console (for people)."""
    redis_replicas: int = 0
    """DOWNHAUL_REDIS_REPLICAS: how many replicas a write waits for, 0 to 16."""
    max_body_bytes: int = 1024 * 1024
    """DOWNHAUL_MAX_BODY_BYTES: the largest request body that is read, 1 KiB to 64 MiB."""

    stream_age: float = 900.0
    """DOWNHAUL_STREAM_AGE: how long (seconds) a stream of changes lives, on average; 10 to 86400."""
    max_streams: int = 10_000
    """DOWNHAUL_MAX_STREAMS: how many streams a worker holds, 0 to 1,000,000; its connections bound them too."""
    max_streams_per_key: int = 10_000
    """DOWNHAUL_MAX_STREAMS_PER_KEY: how many of them with one key; as many as DOWNHAUL_MAX_STREAMS by default."""
    drill_every: int = 0
    """DOWNHAUL_DRILL_EVERY: seconds between two drills of an environment, up to 2592000; 0: never."""
    drill_environments: tuple[str, ...] = ()
    """DOWNHAUL_DRILL_ENVIRONMENTS: where they are run, separated by commas; the default environment when empty."""

    public_url: str | None = None
    """DOWNHAUL_PUBLIC_URL: how people reach this server in a browser, for links; without a slash at its end."""
    webhook_allow: tuple[Network, ...] = ()
    """DOWNHAUL_WEBHOOK_ALLOW: addresses (CIDRs) that webhooks may go to although they are not public."""

    ofrep_origins: tuple[str, ...] = (EVERY_ORIGIN,)
    """DOWNHAUL_OFREP_ORIGINS: whose pages may evaluate flags from a browser: origins, `*` (all) or `none`."""

    trusted_proxies: tuple[Network, ...] = ()
    """DOWNHAUL_TRUSTED_PROXIES: addresses (CIDRs) of proxies whose X-Forwarded-For is believed."""

    signing_in: SigningIn = field(default_factory=SigningIn)
    """How people log in: see `signing_in.py`."""

    @property
    def bind(self) -> str:
        """`host:port`, as gunicorn takes it (an IPv6 host in brackets)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read and check all settings. Raises SettingsError for the first wrong one. Touches no folder.

        Variables that start with DOWNHAUL_ and are not the server's (the SDK has its own) are left alone.
        """
        source = _Source(environ)
        max_streams = source.read("DOWNHAUL_MAX_STREAMS", _integer(0, 1_000_000), 10_000)
        host, port = source.read("DOWNHAUL_BIND", _address, ("127.0.0.1", 8080))
        return cls(
            data_dir=source.read("DOWNHAUL_DATA_DIR", _folder, None) or _default_data_dir(environ),
            host=host,
            port=port,
            redis_url=source.secret("DOWNHAUL_REDIS_URL", _redis_url),
            admin_token=source.secret("DOWNHAUL_ADMIN_TOKEN", _token),
            workers=source.read("DOWNHAUL_WORKERS", _integer(1, 64), 2),
            default_environment=source.read("DOWNHAUL_DEFAULT_ENVIRONMENT", _environment_key, "production"),
            log_level=source.read("DOWNHAUL_LOG_LEVEL", _one_of(LOG_LEVELS), "info"),
            log_format=source.read("DOWNHAUL_LOG_FORMAT", _one_of(LOG_FORMATS), "json"),
            redis_replicas=source.read("DOWNHAUL_REDIS_REPLICAS", _integer(0, 16), 0),
            max_body_bytes=source.read("DOWNHAUL_MAX_BODY_BYTES", _integer(1024, 64 * 1024 * 1024), 1024 * 1024),
            drill_every=source.read("DOWNHAUL_DRILL_EVERY", _integer(0, 30 * 24 * 3600), 0),
            drill_environments=source.read("DOWNHAUL_DRILL_ENVIRONMENTS", _environment_keys, ()),
            public_url=source.read("DOWNHAUL_PUBLIC_URL", _public_url, None),
            webhook_allow=source.read("DOWNHAUL_WEBHOOK_ALLOW", _networks, ()),
            ofrep_origins=source.read("DOWNHAUL_OFREP_ORIGINS", _origins, (EVERY_ORIGIN,)),
            trusted_proxies=source.read("DOWNHAUL_TRUSTED_PROXIES", _networks, ()),
            signing_in=_signing_in(source),
            stream_age=float(source.read("DOWNHAUL_STREAM_AGE", _integer(10, 86_400), 900)),
            max_streams=max_streams,
            max_streams_per_key=source.read("DOWNHAUL_MAX_STREAMS_PER_KEY", _integer(0, 1_000_000), max_streams),
        )

    def prepare(self) -> Settings:
        """Make the data folder (0700) where there is none; without an admin token, read or make `<data>/admin-token`.

        Returns settings whose `admin_token` is set. Idempotent, and safe when several processes do it at once.
        Raises SettingsError when the folder cannot be made or written.
        """
        try:
            # A folder that is there already keeps its mode: it may be a mounted volume, or be shared on purpose.
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.access(self.data_dir, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return self if self.admin_token else replace(self, admin_token=_generated_token(self.admin_token_file))
        except OSError as error:
            raise SettingsError(
                f"DOWNHAUL_DATA_DIR: expected a folder that can be made and written, {self.data_dir} is not: "
                f"{error.strerror or error}"
            ) from error

    @property
    def admin_token_file(self) -> Path:
        """Where a generated admin token is kept (mode 0600); absent when the token was set."""
        return self.data_dir / "admin-token"


class _Source:
    """The environment, read by name; every error names the variable."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self._environ.get(name, "").strip()
        return _parsed(name, text, parse) if text else default

    def secret(self, name: str, parse: Callable[[str], T]) -> T | None:
        """`NAME`, or the content of the file that `NAME_FILE` names; both at once is an error."""
        text, path = self._environ.get(name, "").strip(), self._environ.get(f"{name}_FILE", "").strip()
        if text and path:
            raise SettingsError(f"{name} and {name}_FILE are both set: expected one of them")
        if path:
            return _parsed(f"{name}_FILE", _content(f"{name}_FILE", Path(path)), parse)
        return _parsed(name, text, parse) if text else None


def _signing_in(source: _Source) -> SigningIn:
    try:
        return signing_in.read(source)
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _parsed(name: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error


def _content(name: str, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{name}: expected a file that can be read, {path} cannot: {reason}") from error
    if not text:
        raise SettingsError(f"{name}: expected a file with a value in it, {path} is empty")
    return text


def _address(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\s\[\]/]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"expected host:port such as 127.0.0.1:8080 or [::1]:8080, not {text!r}")
    return match[1] or match[2], int(match[3])


def _folder(text: str) -> Path:
    path = Path(text).expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError(f"expected a folder, {text!r} is a file")
    return path.absolute()


def _default_data_dir(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_STATE_HOME", "")
    # The XDG specification: a relative path there is invalid and to be ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "downhaul"


def _redis_url(text: str) -> str:
    redis_address.read(text)
    return text


def _token(text: str) -> str:
    if not all("!" <= letter <= "~" for letter in text):
        raise ValueError("expected printable ASCII without spaces, as an Authorization header carries it")
    return text


def _environment_key(text: str) -> str:
    if not ENVIRONMENT_KEY.fullmatch(text):
        raise ValueError(f"expected an environment's key ({ENVIRONMENT_KEY.pattern}), not {text!r}")
    return text


def _environment_keys(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_environment_key(key.strip()) for key in text.split(",") if key.strip()))


def _public_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        whole = False
    if not whole or "@" in parts.netloc or parts.query or parts.fragment or not text.isascii() or " " in text:
        raise ValueError("expected the address of this server in a browser, such as https://flags.example.com")
    return text.rstrip("/")


def _origins(text: str) -> tuple[str, ...]:
    if text == EVERY_ORIGIN or text.lower() == "none":
        return (EVERY_ORIGIN,) if text == EVERY_ORIGIN else ()
    return tuple(_origin(part.strip()) for part in text.split(",") if part.strip())


def _origin(text: str) -> str:
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        whole = False
    if not whole or text.lower() != f"{parts.scheme}://{parts.netloc.lower()}" or "@" in parts.netloc:
        raise ValueError(f"expected origins such as https://shop.example.com, or * or none, {text!r} is none")
    return text.lower()


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(_network(part.strip()) for part in text.split(",") if part.strip())


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"expected networks such as 10.0.0.0/8,fd00::/8, {text!r} is none: {error}") from None


def _integer(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not lowest <= int(text) <= highest:
            raise ValueError(f"expected an integer from {lowest} to {highest}, not {text!r}")
        return int(text)

    return parse


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}, not {text!r}")
        return text.lower()

    return parse


def _generated_token(path: Path) -> str:
    """The token in `path`, made first when absent. A finished file is linked there, so of several makers one wins."""
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(f"{TOKEN_PREFIX}{secrets.token_urlsafe(32)}\n")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return _parsed(str(path), _content(str(path), path), _token)
