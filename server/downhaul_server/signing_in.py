"""Settings of logging in: how long a session lives, its cookie, and the provider of identities."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

HOUR_S = 3600
MONTH_S = 30 * 24 * HOUR_S
ROLES = ("viewer", "operator", "editor", "approver", "admin")
"""That people can have."""
SHAPE = (
    'expected JSON such as {"flag-admins": {"role": "admin"}, "payments": {"role": "editor", "services": ["ledger"]}}'
)


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID provider, and what its groups may do here."""

    issuer: str
    """DOWNHAUL_OIDC_ISSUER: exactly as its discovery document says it."""
    client_id: str
    """DOWNHAUL_OIDC_CLIENT_ID."""
    client_secret: str | None = field(default=None, repr=False)
    """DOWNHAUL_OIDC_CLIENT_SECRET(_FILE). None: a public client, with PKCE alone."""
    name: str = "single sign-on"
    """DOWNHAUL_OIDC_NAME: what the button says after "Log in with"."""
    scopes: str = "openid profile email"
    """DOWNHAUL_OIDC_SCOPES."""
    groups_claim: str = "groups"
    """DOWNHAUL_OIDC_GROUPS_CLAIM: where the token says which groups somebody is in; dots lead into objects."""
    groups: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """DOWNHAUL_OIDC_GROUPS(_FILE): group -> grants; `*` is for everybody whom the provider lets in."""

    def grants(self, groups: list[str]) -> list[dict[str, Any]]:
        """Of somebody in these groups, each once."""
        found: list[dict[str, Any]] = []
        for group in ("*", *groups):
            found += [dict(granted) for granted in self.groups.get(group, ()) if dict(granted) not in found]
        return found


@dataclass(frozen=True, slots=True)
class SigningIn:
    """How people log in."""

    idle_s: int = 8 * HOUR_S
    """DOWNHAUL_SESSION_IDLE: a session ends when nothing was asked for so long (seconds); 60 to 2592000."""
    absolute_s: int = 24 * HOUR_S
    """DOWNHAUL_SESSION_MAX: it ends so long (seconds) after the log-in; 60 to 2592000."""
    insecure_cookies: bool = False
    """DOWNHAUL_INSECURE_COOKIES=1: people may log in over plain HTTP from elsewhere than this machine."""
    provider: Provider | None = None
    """None: people log in by password or token."""


class Source(Protocol):
    """The environment, as `settings.py` reads it; its errors name the variable."""

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """A setting."""

    def secret(self, name: str, parse: Callable[[str], T]) -> T | None:
        """A setting, or the content of the file that `NAME_FILE` names."""


def read(source: Source) -> SigningIn:
    """Raises ValueError for the first wrong one."""
    return SigningIn(
        idle_s=source.read("DOWNHAUL_SESSION_IDLE", _seconds, 8 * HOUR_S),
        absolute_s=source.read("DOWNHAUL_SESSION_MAX", _seconds, 24 * HOUR_S),
        insecure_cookies=source.read("DOWNHAUL_INSECURE_COOKIES", _switch, False),
        provider=_provider(source),
    )


def _provider(source: Source) -> Provider | None:
    issuer = source.read("DOWNHAUL_OIDC_ISSUER", _issuer, "")
    client_id = source.read("DOWNHAUL_OIDC_CLIENT_ID", str, "")
    groups = source.secret("DOWNHAUL_OIDC_GROUPS", _groups)
    if not issuer and not client_id:
        return None
    for name, value in (
        ("DOWNHAUL_OIDC_ISSUER", issuer),
        ("DOWNHAUL_OIDC_CLIENT_ID", client_id),
        ("DOWNHAUL_OIDC_GROUPS", groups),
    ):
        if not value:
            raise ValueError(f"{name}: expected beside the other settings of OpenID Connect, it is missing")
    return Provider(
        issuer=issuer,
        client_id=client_id,
        client_secret=source.secret("DOWNHAUL_OIDC_CLIENT_SECRET", str),
        name=source.read("DOWNHAUL_OIDC_NAME", str, "single sign-on"),
        scopes=source.read("DOWNHAUL_OIDC_SCOPES", _scopes, "openid profile email"),
        groups_claim=source.read("DOWNHAUL_OIDC_GROUPS_CLAIM", str, "groups"),
        groups=groups or {},
    )


def _seconds(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,8}", text) or not 60 <= int(text) <= MONTH_S:
        raise ValueError(f"expected seconds, 60 to {MONTH_S}, not {text!r}")
    return int(text)


def _switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"expected 0 or 1, not {text!r}")
    return text == "1"


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    if parts.query or parts.fragment or not parts.hostname:
        raise ValueError(f"expected a URL such as https://id.example.com/realms/staff, not {text!r}")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_this_machine(parts.hostname)):
        raise ValueError("expected https://: what the provider says must not be changed on the way")
    return text


def is_this_machine(host: str) -> bool:
    """Whether a host's name is the machine's own, to itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _scopes(text: str) -> str:
    scopes = text.replace(",", " ").split()
    if "openid" not in scopes:
        raise ValueError("expected openid among the scopes")
    return " ".join(scopes)


def _groups(text: str) -> dict[str, tuple[dict[str, Any], ...]]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{SHAPE}: {error}") from None
    if not isinstance(found, dict) or not found:
        raise ValueError(SHAPE)
    return {group: tuple(_grants(group, grants)) for group, grants in found.items()}


def _grants(group: str, grants: Any) -> list[dict[str, Any]]:
    return [_grant(group, granted) for granted in (grants if isinstance(grants, list) else [grants])]


def _grant(group: str, granted: Any) -> dict[str, Any]:
    if not isinstance(granted, dict) or set(granted) - {"role", "services", "environments"}:
        raise ValueError(f"{SHAPE}; the group {group!r} has something else")
    if granted.get("role") not in ROLES:
        raise ValueError(f"expected one of {', '.join(ROLES)} as the role of the group {group!r}")
    for kind in ("services", "environments"):
        keys = granted.get(kind, ["*"])
        if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
            raise ValueError(f"expected a list of keys as the {kind} of the group {group!r}")
    return {"services": ["*"], "environments": ["*"]} | granted
