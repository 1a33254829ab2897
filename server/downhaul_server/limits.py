"""How many connections the system lets a process hold: raised as far as it goes, and told when that is little."""

from __future__ import annotations

import resource

MOST = 1 << 20
"""Some containers report a thousand times as many, and programs that walk through all of them then stall."""
ADVISED = 4096
OTHERS = 4096
"""Connections beside its streams that a worker holds at most: more of them would cost memory, and serve nobody."""
RESERVED = 256
"""Descriptors that a worker needs for everything but its clients: Redis, metrics, log, modules."""


def raise_descriptor_limit() -> int:
    """Raise this process's limit of open files to the hard limit, for its children too. Gives the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return descriptor_limit()


def descriptor_limit() -> int:
    """How many files and connections this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else min(soft, MOST)


def descriptor_warning(limit: int) -> str | None:
    """What an operator should know about this limit; None when it is enough."""
    if limit >= ADVISED:
        return None
    return (
        f"a process may open {limit} files only, so a worker holds about {connections_for(limit)} connections, "
        f"{streams_for(limit)} of them streams: raise the hard limit (ulimit -Hn, LimitNOFILE=) to {ADVISED} or more"
    )


def connections_for(limit: int) -> int:
    """How many clients one worker may hold under such a limit."""
    return max(limit - RESERVED, 32)


def connections_of_worker(limit: int, most_streams: int) -> int:
    """How many clients one worker holds at once under such a limit, if so many of them may be streams."""
    return min(connections_for(limit), most_streams + OTHERS)


def streams_for(limit: int) -> int:
    """How many of those may be streams: there must always be room for a kill."""
    return connections_for(limit) * 3 // 4
