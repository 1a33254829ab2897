"""`children.py METHOD`: two processes, started in that way, which end when the flag is off.

Every line is written at once: the two share a file, and without a buffer the parts of a line are written one by one.
"""

import multiprocessing
import os
import sys
import time

from downhaul import flags


def work() -> None:
    """Until it is off."""
    flags.wait_ready(10)
    print(f"{os.getpid()} {'on' if flags.enabled('box') else 'never on'}\n", end="", flush=True)
    while flags.enabled("box"):
        time.sleep(0.01)
    print(f"{os.getpid()} off\n", end="", flush=True)


if __name__ == "__main__":
    flags.wait_ready(10)
    context = multiprocessing.get_context(sys.argv[1])
    processes = [context.Process(target=work) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print("both have ended", flush=True)
