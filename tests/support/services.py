"""Words for tests of the services: who acts, and the flags that they act on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from argon2 import PasswordHasher
from downhaul_server.services.actors import EVERYTHING, Actor, SdkKey
from downhaul_server.services.container import Services
from downhaul_server.services.passwords import Passwords
from downhaul_server.settings import Settings
from downhaul_server.store import Store
from support.redis import FakeRedis, RealRedis

ADMIN_TOKEN = "the-first-administrator"
ADMIN = Actor.single("admin", "admin", "admin", secret=b"the secret of the first administrator")
CHECKOUT, PAYMENTS = "checkout", "payments"
FLAG = "new-checkout"
COLOURS = {
    "key": "colour",
    "type": "string",
    "variants": {"none": "", "red": "#f00", "blue": "#00f"},
    "off_variant": "none",
}
PRO = {"attribute": "plan", "op": "in", "values": ["pro"]}


@contextmanager
def opened(redis: FakeRedis | RealRedis, data_dir: Path, **settings: Any) -> Iterator[Services]:
    """The services of one server process."""
    data_dir.mkdir(exist_ok=True)
    chosen = Settings(data_dir=data_dir, admin_token=ADMIN_TOKEN, **settings)
    with Store.open(chosen, connections=redis.connections()) as store:
        yield quick_services(store, chosen)


def quick_services(store: Store, settings: Settings) -> Services:
    """Services whose hashes of passwords cost nothing, and are worth nothing."""
    hashes = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    with patch("downhaul_server.services.container.Passwords", lambda: hashes):
        return Services(store, settings)


def actor(
    role: str = "editor",
    *,
    name: str = "ada",
    services: Sequence[str] = tuple(EVERYTHING),
    environments: Sequence[str] = tuple(EVERYTHING),
    **more: Any,
) -> Actor:
    """Somebody with a token."""
    scope: dict[str, Any] = {"services": frozenset(services), "environments": frozenset(environments)}
    return Actor.single(name, "token", role, token_id=f"token-of-{name}", **scope, **more)


def sdk_key(environment: str = "production", services: Sequence[str] = tuple(EVERYTHING)) -> SdkKey:
    """An instance's key."""
    return SdkKey("0123", "instances", environment, frozenset(services))


def boolean(key: str = FLAG, **more: Any) -> dict[str, Any]:
    """The smallest flag, as a client sends it."""
    return {"key": key, "type": "boolean", **more}


def with_flags(services: Services, **flags: Sequence[str]) -> Services:
    """Services with boolean flags in them: `checkout=["new-checkout"]`."""
    for service, keys in flags.items():
        services.catalog.create_service(ADMIN, {"key": service})
        for key in keys:
            services.flags.create(ADMIN, service, boolean(key))
    return services


def rule(when: dict[str, Any], variant: str = "on", name: str = "") -> dict[str, Any]:
    """A rule that serves one variant."""
    return {"name": name, "when": when, "serve": {"variant": variant}}
