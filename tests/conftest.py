"""What every test gets: quick apps, and an order in which those that wait run beside those that compute."""

from __future__ import annotations

import pytest
from support import quick_routes

quick_routes.remember()

WAITING = {"redis", "browser", "nginx", "slow"}
"""Markers of tests that wait for processes more than they compute."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of both kinds take turns, so that several processes are neither all waiting nor all computing."""
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    waits = {
        name: any(each.get_closest_marker(mark) for each in tests for mark in WAITING) for name, tests in files.items()
    }
    places = {}
    for kind in (True, False):
        names = [name for name in files if waits[name] is kind]
        places |= {name: (number + 0.5) / len(names) for number, name in enumerate(names)}
    items[:] = [item for name in sorted(files, key=lambda name: (places[name], name)) for item in files[name]]
