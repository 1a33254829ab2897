"""What is wrong with an expression, and where."""

from __future__ import annotations


class PatternError(ValueError):
    """An expression that cannot be compiled: `problem`, one clause, at `offset` characters from its start."""

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(f"{problem}, at offset {offset}")
        self.problem = problem
        self.offset = offset
