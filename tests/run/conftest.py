"""Servers of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.server import Server


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(data_dir: Path) -> Iterator[Server]:
    """A running server with two workers and an embedded Redis."""
    with Server(data_dir) as server:
        yield server


@pytest.fixture(scope="session")
def lasting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that leave it running; each makes services of its own."""
    with Server(tmp_path_factory.mktemp("lasting") / "data") as server:
        yield server
