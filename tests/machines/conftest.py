"""One booted machine for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.debian import debian, need_machines
from support.machine import Machine


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """With what the module names in DEBIAN_PACKAGES, the options in NSPAWN_OPTIONS, and the repository."""
    need_machines()
    packages: tuple[str, ...] = getattr(request.module, "DEBIAN_PACKAGES", ())
    options: tuple[str, ...] = getattr(request.module, "NSPAWN_OPTIONS", ())
    with Machine(debian(*packages), *options) as booted:
        booted.bring_repository()
        yield booted
