from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from support.house import Household, move_in
from support.server import Server


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real service for the programs of a module."""
    with Server(tmp_path_factory.mktemp("house") / "data") as server:
        yield server


@pytest.fixture
def household(house: Server) -> Callable[[], Household]:
    """Makes a service of its own for a test."""
    return lambda: move_in(house, f"shop-{next(numbers)}")


numbers = itertools.count(1)
