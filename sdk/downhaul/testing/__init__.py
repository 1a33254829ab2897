"""For tests of the user's code, with no server and no network: for pytest, for unittest, and as a block.

`plugin` is the plugin of pytest, and nothing else here needs pytest. Nothing of the SDK is loaded before a test has
flags, and nothing of the SDK imports this.
"""

from downhaul.testing.cases import FlagsMixin
from downhaul.testing.isolation import IsolatedFlags, isolated
from downhaul.testing.sides import Both, both
from downhaul.testing.watch import UndeclaredFlagError

__all__ = ["Both", "FlagsMixin", "IsolatedFlags", "UndeclaredFlagError", "both", "isolated"]
