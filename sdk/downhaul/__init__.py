"""Downhaul, a feature flag SDK whose kill switch holds: `from downhaul import flags`.

Nothing is loaded here: the service imports `downhaul.engine` from this package, and must not pay for a client.
"""

__version__ = "0.1.0"
