"""A web application as anybody would write it: the flag is read where it is needed, and that is all."""

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from downhaul import flags


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """`<pid> on` or `<pid> off`."""
    time.sleep(0.02)  # so that what comes meanwhile goes to another worker
    body = f"{os.getpid()} {'on' if flags.enabled('box') else 'off'}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
