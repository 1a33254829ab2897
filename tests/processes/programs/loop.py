"""An asyncio program that looks at its own clock: prints the longest time, in seconds, for which its loop was held."""

import asyncio
import os
import sys
import time

from downhaul import flags


async def longest(until: asyncio.Event) -> float:
    """How long the loop did not come round, at worst."""
    worst, last = 0.0, time.monotonic()
    while not until.is_set():
        await asyncio.sleep(0.002)
        now = time.monotonic()
        worst, last = max(worst, now - last - 0.002), now
    return worst


async def main() -> None:
    """From the first flag until a line is read."""
    while not flags.enabled("box"):
        await asyncio.sleep(0.01)
    print(f"{os.getpid()} on\n", end="", flush=True)
    over = asyncio.Event()
    watching = asyncio.create_task(longest(over))
    seen = asyncio.create_task(off())
    await asyncio.to_thread(sys.stdin.readline)
    over.set()
    await seen
    print(await watching, flush=True)


async def off() -> None:
    """Told when it is."""
    while flags.enabled("box"):
        await asyncio.sleep(0.01)
    print(f"{os.getpid()} off\n", end="", flush=True)


asyncio.run(main())
