"""What joins the SDK to frameworks and other systems: a module for each, an extra for most. Nothing is imported here.

A module alone imports what it is for. Those for frameworks share `scopes` (the block around a request or task),
`recording` (what it has evaluated), `logs` and `partners`; docs/frameworks.md is their guide.
"""
