"""Gives a Python process a wall clock that a test can step; the monotonic clock stays the system's.

Python imports a module of this name at its start, before anything else can have taken the real functions. FAULTS_CLOCK
names a file of eight bytes: by how many seconds (a double) the clock is wrong, at any moment.
"""

import datetime
import mmap
import os
import struct
import time


def _offset():
    with open(os.environ["FAULTS_CLOCK"], "rb") as file:
        shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    return lambda: struct.unpack_from("d", shared)[0]


if "FAULTS_CLOCK" in os.environ:
    offset, real_time, real_time_ns, real_datetime = _offset(), time.time, time.time_ns, datetime.datetime

    class _Like(type):
        def __instancecheck__(cls, thing):
            return isinstance(thing, real_datetime)

    class Datetime(real_datetime, metaclass=_Like):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls):
            return cls.now(datetime.UTC).replace(tzinfo=None)

    time.time = lambda: real_time() + offset()
    time.time_ns = lambda: real_time_ns() + int(offset() * 1e9)
    datetime.datetime = Datetime
