"""A program that gevent has patched: its own greenlets must go on while the flags are followed."""

# ruff: noqa: E402 - gevent comes first
from gevent import monkey

monkey.patch_all()

import os
import select
import sys

import gevent
from downhaul import flags

ticks = 0


def tick() -> None:
    """What else the program does."""
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.01)


gevent.spawn(tick)
flags.wait_ready(10)
print(f"{os.getpid()} {'on' if flags.enabled('box') else 'never on'}\n", end="", flush=True)
before = ticks
while flags.enabled("box"):
    gevent.sleep(0.01)
print(f"{os.getpid()} off\n", end="", flush=True)
print("ticking" if ticks > before else "held", flush=True)
select.select([sys.stdin], [], [])  # who has ended is counted no more, so it waits until it was counted
