"""What an integration adds to an evaluation and to a request, beside `enabled` alone.

python bench/integrations.py
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import repeat
from typing import Any

from downhaul.client import Client
from downhaul.integrations.scopes import Scopes
from timing import nanoseconds


def evaluating(client: Client, around: Any) -> Callable[[int], object]:
    """`enabled`, again and again inside one block."""

    def run(times: int) -> None:
        enabled = client.enabled
        with around:
            for _ in repeat(None, times):
                enabled("new-checkout")

    return run


def serving(scopes: Scopes) -> Callable[[int], object]:
    """Requests that evaluate nothing."""

    def run(times: int) -> None:
        for _ in repeat(None, times):
            with scopes.around(None):
                pass

    return run


def main() -> None:
    alone, unrecorded, recorded = Client(), Client(), Client()
    for client in (alone, unrecorded, recorded):
        client.override(new_checkout=True).__enter__()
    quiet = Scopes(lambda request: {"user": "u-17"}, unrecorded, record=False)
    loud = Scopes(lambda request: {"user": "u-17"}, recorded)
    measured = nanoseconds(
        {
            "enabled, alone": evaluating(alone, nullcontext()),
            "enabled in a request, record=False": evaluating(unrecorded, quiet.around(None)),
            "enabled outside of requests": evaluating(recorded, nullcontext()),
            "enabled in a request": evaluating(recorded, loud.around(None)),
            "a request that evaluates nothing": serving(loud),
        }
    )
    floor = measured["enabled, alone"]
    for name, taken in measured.items():
        print(f"{name:40} {taken / 1000:8.2f} µs  {taken / floor:6.1f} × enabled alone")


if __name__ == "__main__":
    main()
