"""What joins the SDK to other systems, each an extra. Nothing is imported here, and nothing that is not installed."""
"""Flags in frameworks, logs and traces: a module for each, which alone imports it.

Nothing is loaded here. What they share is `scopes` (the block around a request or task), `recording` (what it has
evaluated), `logs` and `partners`; docs/frameworks.md is the guide.
"""
