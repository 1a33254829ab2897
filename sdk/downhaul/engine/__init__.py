"""The engine: a ruleset and a context in, an evaluation out. Pure: no I/O, no clock, no global state, nothing of ours.

Decoding is strict and happens once; what can be prepared (sets, networks, versions, expressions) is prepared there.
`compile_ruleset` makes what a process runs on every call, `explain` tells why. Both read the same model, and a property
test holds them equal.
"""

from downhaul.engine.bucketing import position
from downhaul.engine.compiler import compile_ruleset, recompile
from downhaul.engine.conditions import Condition, references, segment_references
from downhaul.engine.decoding import (
    MAX_DEPTH,
    change_ruleset,
    decode_condition,
    decode_definition,
    decode_ruleset,
    decode_state,
)
from downhaul.engine.errors import DecodeError
from downhaul.engine.evaluation import ErrorCode, Evaluation, Outcome, Reason, Step
from downhaul.engine.explanation import explain
from downhaul.engine.graph import find_cycle
from downhaul.engine.ladder import Evaluator
from downhaul.engine.model import Definition, Flag, Ruleset, State

__all__ = [
    "MAX_DEPTH",
    "Condition",
    "DecodeError",
    "Definition",
    "ErrorCode",
    "Evaluation",
    "Evaluator",
    "Flag",
    "Outcome",
    "Reason",
    "Ruleset",
    "State",
    "Step",
    "change_ruleset",
    "compile_ruleset",
    "decode_condition",
    "decode_definition",
    "decode_ruleset",
    "decode_state",
    "explain",
    "find_cycle",
    "position",
    "recompile",
    "references",
    "segment_references",
]
