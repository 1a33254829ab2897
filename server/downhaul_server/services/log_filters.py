"""Which entries of the log are wanted. Asked first of an entry's text, which is quick, then of the entry itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from downhaul_server.services.actors import ALL
from downhaul_server.services.documents import timestamp
from downhaul_server.services.errors import Invalid
from downhaul_server.services.names import address, parts, resolve
from downhaul_server.store import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """None: whatever it is. Times are RFC 3339 in UTC, so that they compare as texts."""

    service: str | None = None
    flag: str | None = None
    """Its address."""
    environment: str | None = None
    by: str | None = None
    action: str | None = None
    since: str | None = None
    """Included."""
    until: str | None = None
    """Not included."""

    @classmethod
    def of(
        cls,
        *,
        service: str | None = None,
        flag: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        **more: str | None,
    ) -> LogFilter:
        """As clients ask for it: `flag` needs `service`, or is `service/flag`. Raises Invalid."""
        return cls(
            service=service,
            flag=_flag_address(service, flag),
            since=timestamp(since) if since else None,
            until=timestamp(until) if until else None,
            **more,
        )

    @property
    def services(self) -> tuple[str | None, ...]:
        """Those that are named."""
        return (self.service, parts(self.flag)[1] if self.flag else None)

    @property
    def texts(self) -> tuple[tuple[bytes, ...], ...]:
        """Of each of these, the text of every entry that is wanted has one in it; others may have it too."""
        found: list[tuple[str | None, ...]] = [(self.flag and _text(self.flag),), (self.service,)]
        found.append((self.by and f'"name":{_text(self.by)}',))
        found.append((self.environment, f'"{ALL}"' if self.environment else None))
        if self.action:
            found.append((f'"action":{_text(self.action)}' if "." in self.action else f'"action":"{self.action}.',))
        encoded = (tuple(text.encode("ascii", "backslashreplace") for text in each if text) for each in found)
        return tuple(filter(None, encoded))

    def matches(self, entry: Entry) -> bool:
        """Whether the entry is wanted."""
        return (
            (self.by is None or entry.actor["name"] == self.by)
            and (self.action is None or self.action in (entry.action, entry.action.partition(".")[0]))
            and (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
            and (self.flag is None or any(change.address == self.flag for change in entry.changes))
            and (self.service is None or _concerns_service(entry, self.service))
            and (self.environment is None or _concerns_environment(entry, self.environment))
        )


def _text(value: str) -> str:
    return json.dumps(value)


def _concerns_service(entry: Entry, service: str) -> bool:
    return any(service == touched for touched, _ in entry.touches) or any(
        parts(change.address)[1] == service or change.address == address("service", service) for change in entry.changes
    )


def _concerns_environment(entry: Entry, environment: str) -> bool:
    """Whether anything evaluates differently there, or it is named (by its own document, or by a key)."""
    if any(touched in (ALL, environment) for _, touched in entry.touches):
        return True
    return any(
        change.address == address("environment", environment)
        or environment in (body.get("environment"), *_scope_of(change.address, body))
        for change in entry.changes
        for body in (change.after or change.before or {},)
    )


def _scope_of(where: str, body: Any) -> tuple[str, ...]:
    return tuple(body.get("environments", ())) if where.startswith("key/") else ()


def _flag_address(service: str | None, flag: str | None) -> str | None:
    if flag is None:
        return None
    if service is None and "/" not in flag:
        raise Invalid.at("flag", message="expected service/flag, or a service beside it")
    return address("flag", *resolve(flag, service or ""))
