"""Who this process is: the attributes that it knows of itself and that rules may ask for."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from downhaul.settings import Settings


class Identity(NamedTuple):
    """One process that runs the SDK. Texts that were not configured are empty, and then not known."""

    instance: str
    host: str
    service: str = ""
    build: str = ""
    region: str = ""
    color: str = ""
    process: str = ""
    """Made at random: two processes with one name are two, and a forked child is another one than its parent."""

    @classmethod
    def of(cls, settings: Settings) -> Identity:
        host = _host()
        instance = settings.instance or f"{host}-{os.getpid()}-{os.urandom(3).hex()}"
        return cls(
            instance, host, settings.service, settings.build, settings.region, settings.color, os.urandom(8).hex()
        )

    def in_child(self, settings: Settings) -> Identity:
        """The identity of a forked child: a name that was given from outside stays recognisable, and gets a suffix."""
        if settings.instance:
            return self._replace(instance=f"{settings.instance}-{os.getpid()}", process=os.urandom(8).hex())
        return Identity.of(settings)

    def known(self, environment: str | None) -> dict[str, str]:
        """The attributes that this process knows: they are folded into the compiled flags."""
        attributes = {
            "service": self.service,
            "environment": environment or "",
            "build": self.build,
            "instance": self.instance,
            "host": self.host,
            "region": self.region,
            "color": self.color,
        }
        return {name: value for name, value in attributes.items() if value}

    def described(self) -> dict[str, Any]:
        """As the service is told in reports."""
        return {**{name: value for name, value in self._asdict().items() if value}, "pid": os.getpid()}


def _host() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename or "unknown"
    return os.environ.get("COMPUTERNAME", "unknown")  # Windows, without loading the socket library
