"""A request that is sent again with the same idempotency key is answered like the first, and done once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from downhaul_server.services.container import Services
from downhaul_server.services.errors import AlreadyExists, Invalid, OperationConflict
from support.services import ADMIN, CHECKOUT, FLAG, PRO, actor, boolean

REQUESTS: dict[str, Callable[[Services, str], Any]] = {
    "create a flag": lambda s, o: s.flags.create(ADMIN, CHECKOUT, boolean("beta"), operation=o),
    "replace a flag": lambda s, o: s.flags.replace(ADMIN, CHECKOUT, "beta", {"type": "boolean"}, operation=o),
    "patch a flag": lambda s, o: s.flags.patch(ADMIN, CHECKOUT, FLAG, {"owner": "ada"}, if_match=3, operation=o),
    "change a state": lambda s, o: s.flags.set_state(ADMIN, CHECKOUT, FLAG, "staging", {"rollout": 5}, operation=o),
    "delete a flag": lambda s, o: s.flags.delete(ADMIN, CHECKOUT, FLAG, operation=o),
    "kill": lambda s, o: s.kill.kill(ADMIN, CHECKOUT, FLAG, operation=o),
    "kill many": lambda s, o: s.kill.kill_many(ADMIN, services=[CHECKOUT], flags=["a/b"], operation=o),
    "make a segment": lambda s, o: s.segments.create(ADMIN, {"key": "pro", "when": PRO}, operation=o),
    "make a service": lambda s, o: s.catalog.create_service(ADMIN, {"key": "search"}, operation=o),
    "remove an environment": lambda s, o: s.catalog.delete_environment(ADMIN, "staging", operation=o),
    "make a key": lambda s, o: s.keys.create(ADMIN, {"kind": "api", "name": "a", "role": "viewer"}, operation=o),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_done_once_and_answered_twice(services: Services, name: str) -> None:
    request = REQUESTS[name]
    first = request(services, "once")
    revision = services._store.view.revision
    services.flags.create(ADMIN, CHECKOUT, boolean("meanwhile"))
    assert request(services, "once") == first
    assert services._store.view.revision == revision + 1


def test_another_request_under_the_same_key_is_refused(services: Services) -> None:
    services.flags.create(ADMIN, CHECKOUT, boolean("beta"), operation="once")
    with pytest.raises(OperationConflict):
        services.flags.create(ADMIN, CHECKOUT, boolean("gamma"), operation="once")
    with pytest.raises(OperationConflict):
        services.flags.delete(ADMIN, CHECKOUT, "beta", operation="once")


def test_each_client_has_keys_of_its_own(services: Services) -> None:
    services.flags.create(ADMIN, CHECKOUT, boolean("beta"), operation="once")
    with pytest.raises(AlreadyExists):
        services.flags.create(actor(), CHECKOUT, boolean("beta"), operation="once")


def test_a_refused_request_may_be_mended(services: Services) -> None:
    with pytest.raises(Invalid):
        services.flags.create(ADMIN, CHECKOUT, boolean("beta", off_variant="x"), operation="once")
    assert services.flags.create(ADMIN, CHECKOUT, boolean("beta"), operation="once")["key"] == "beta"


@pytest.mark.parametrize("operation", ["", "x" * 201])
def test_its_length_is_bounded(services: Services, operation: str) -> None:
    with pytest.raises(Invalid, match="idempotency key"):
        services.flags.create(ADMIN, CHECKOUT, boolean("beta"), operation=operation)
