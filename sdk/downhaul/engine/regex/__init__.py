"""Regular expressions in linear time, for the operator `matches`: RE2's syntax and meaning, found or not found.

Pure Python over lazily built automata; no backtracking, so no expression and no text can hang a caller.
No I/O, no clock, no locks, no other import of ours may enter.
"""

from downhaul.engine.regex.errors import PatternError
from downhaul.engine.regex.pattern import Pattern, compile_pattern

__all__ = ["Pattern", "PatternError", "compile_pattern"]
