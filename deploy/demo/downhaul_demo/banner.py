"""What the demonstration prints when it is up: what to open, how to log in, and lines that work when pasted."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

FLAG = "new-checkout"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is; URLs without a slash at the end."""

    server: str
    checkout: str
    payments: str
    token_file: Path


def banner(at: Addresses) -> str:
    """The text, ending with a newline."""
    token = shlex.quote(str(at.token_file))
    return f"""
Downhaul is up. Control-C ends everything.

  Open
    {at.checkout}/  a shop page; its express pay hangs on the flag checkout/{FLAG}
    {at.payments}/  payments, with the ledger that checkout's instalments need
    {at.server}/  the service; {at.server}/api/v1/docs describes its API

  Log in with the administrator's token, which is in this file:
    cat {token}

  Kill the flag, in another terminal (the express pay goes at once)
    {curl(at, "kill")}
  or
    {downhaul(at, f"kill checkout/{FLAG} --wait")}

  Bring it back
    {downhaul(at, f"restore checkout/{FLAG} --reason 'all is well again'")}

"""


def curl(at: Addresses, verb: str) -> str:
    """A line for any shell."""
    token = shlex.quote(str(at.token_file))
    url = f"{at.server}/api/v1/services/checkout/flags/{FLAG}/{verb}"
    return f'curl -X POST -H "Authorization: Bearer $(cat {token})" {url}'


def downhaul(at: Addresses, arguments: str) -> str:
    """A line for any shell, with the command of this installation, whether or not it is on the PATH."""
    command = shlex.quote(str(Path(sys.executable).parent / "downhaul"))
    return f"DOWNHAUL_URL={at.server} DOWNHAUL_TOKEN_FILE={shlex.quote(str(at.token_file))} {command} {arguments}"
