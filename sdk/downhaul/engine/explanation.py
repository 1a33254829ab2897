"""Why a flag has its value: the same ladder as the compiler's, over the same model, with every step told."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from downhaul.engine.bucketing import WHOLE, hash_of, thresholds, unit_text
from downhaul.engine.conditions import AllOf, AnyOf, Condition, InSegment, Leaf, Not
from downhaul.engine.evaluation import ErrorCode, Evaluation, Reason, Step
from downhaul.engine.model import Flag, One, Requirement, Rule, Ruleset, Serve, Split
from downhaul.engine.values import variant_of

NOTHING: Mapping[str, Any] = MappingProxyType({})


def explain(
    ruleset: Ruleset,
    name: str,
    context: Mapping[str, Any],
    *,
    known: Mapping[str, Any] = NOTHING,
    overrides: Mapping[str, Any] = NOTHING,
    default: Any = None,
) -> Evaluation:
    """The evaluation of one flag with its steps. `default` is the value of a flag that is not there. Never raises for
    what a context holds; `known` wins over it, as in `compile_ruleset`."""
    walk = _Walk(ruleset, {**context, **known}, overrides)
    variant, value, reason, rule, error_code = walk.ladder(name, default)
    return Evaluation(name, value, variant, reason, rule, error_code, _MESSAGES.get(error_code), tuple(walk.steps))


_MESSAGES: Mapping[ErrorCode | None, str] = MappingProxyType(
    {
        ErrorCode.FLAG_NOT_FOUND: "there is no such flag",
        ErrorCode.TARGETING_KEY_MISSING: "the context lacks the attribute that the flag is split by",
    }
)

_Answer = tuple[str | None, Any, Reason, str | None, ErrorCode | None]


class _Walk:
    """One walk down the ladder of a flag; prerequisites are walked without their steps."""

    def __init__(self, ruleset: Ruleset, context: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
        self._ruleset = ruleset
        self._context = context
        self._overrides = overrides
        self.steps: list[Step] = []

    def ladder(self, name: str, default: Any) -> _Answer:
        flag = self._ruleset.flags.get(name)
        if name in self._overrides:
            value = self._overrides[name]
            self._step("override", False, f"this machine overrides {name}")
            return variant_of(flag.definition if flag else None, value), value, Reason.OVERRIDE, None, None
        if flag is None:
            self._step("flag", False, f"there is no flag {name}")
            return None, default, Reason.ERROR, None, ErrorCode.FLAG_NOT_FOUND
        variant, reason, rule, error_code = self._decide(flag)
        return variant, flag.definition.variants[variant], reason, rule, error_code

    def _decide(self, flag: Flag) -> tuple[str, Reason, str | None, ErrorCode | None]:
        off = flag.definition.off_variant
        if flag.state.killed:
            self._step("killed", False, f"{flag.name} is killed and serves {off}")
            return off, Reason.KILLED, None, None
        self._step("killed", True, "not killed")
        if not flag.state.on:
            self._step("on", False, f"{flag.name} is off and serves {off}")
            return off, Reason.DISABLED, None, None
        self._step("on", True, "on")
        for required in flag.definition.requires:
            if not self._has_required_variant(required):
                return off, Reason.PREREQUISITE_FAILED, None, None
        return self._targeting(flag)

    def _has_required_variant(self, required: Requirement) -> bool:
        flags, wanted = self._ruleset.flags, " or ".join(required.variants)
        if required.flag not in flags and required.flag not in self._overrides:
            self._step("prerequisite", False, f"{required.flag} must be {wanted}, but there is no such flag")
            return False
        variant, _, reason, _, _ = _Walk(self._ruleset, self._context, self._overrides).ladder(required.flag, None)
        passed = variant in required.variants
        facts = {"flag": required.flag, "variant": variant, "reason": str(reason), "expected": list(required.variants)}
        self._step("prerequisite", passed, f"{required.flag} must be {wanted} and is {variant}", **facts)
        return passed

    def _targeting(self, flag: Flag) -> tuple[str, Reason, str | None, ErrorCode | None]:
        for number, rule in enumerate(flag.state.rules, start=1):
            variant = self._matched(flag, rule, number)
            if variant is not None:
                reason = Reason.TARGETING_MATCH if isinstance(rule.serve, One) else Reason.SPLIT
                return variant, reason, rule.name, None
        variant, facts = self._served(flag.definition.salt, flag.state.otherwise)
        if variant is None:
            self._step("otherwise", False, f"{facts['by']} is missing and cannot be split", **facts)
            return flag.definition.off_variant, Reason.ERROR, None, ErrorCode.TARGETING_KEY_MISSING
        self._step("otherwise", True, f"no rule matched; otherwise {variant}", **facts)
        return variant, _reason_of_otherwise(flag), None, None

    def _matched(self, flag: Flag, rule: Rule, number: int) -> str | None:
        title = f"rule {number}" + (f", {rule.name}," if rule.name else "")
        if not rule.enabled:
            self._step("rule", False, f"{title} is switched off", number=number, rule=rule.name, enabled=False)
            return None
        clauses = self._clauses(rule.when)
        facts: dict[str, Any] = {"number": number, "rule": rule.name, "condition": clauses}
        if not clauses["holds"]:
            self._step("rule", False, f"{title} does not match: {_first_failure(clauses)}", **facts)
            return None
        variant, served = self._served(flag.definition.salt, rule.serve)
        facts |= served
        if variant is None:
            self._step("rule", False, f"{title} splits by {served['by']}, which is missing", **facts)
            return None
        self._step("rule", True, f"{title} matches and serves {variant}", **facts)
        return variant

    def _served(self, salt: str, serve: Serve) -> tuple[str | None, dict[str, Any]]:
        if isinstance(serve, One):
            return serve.variant, {"variant": serve.variant}
        return self._share(salt, serve)

    def _share(self, salt: str, split: Split) -> tuple[str | None, dict[str, Any]]:
        text = unit_text(self._context.get(split.by))
        shares = [{"variant": variant, "weight": weight} for variant, weight in split.shares]
        if text is None:
            return None, {"by": split.by, "split": shares, "variant": None}
        hashed = hash_of(f"{salt}:{text}")
        variant = split.shares[bisect_right(thresholds(weight for _, weight in split.shares), hashed)][0]
        facts = {"by": split.by, "unit": text, "position": hashed * WHOLE >> 32, "split": shares, "variant": variant}
        return variant, facts

    def _clauses(self, condition: Condition) -> dict[str, Any]:
        """The condition as JSON, each part with whether it holds. All parts are tried: it is to be read."""
        match condition:
            case Leaf():
                value = self._context.get(condition.attribute)
                holds = value is not None and condition.test(value)
                clause = {"attribute": condition.attribute, "op": condition.op, "values": list(condition.values)}
                return {**clause, "found": as_json(value), "holds": holds}
            case InSegment(segment):
                inside = self._clauses(self._ruleset.segments[segment])
                return {"segment": segment, "condition": inside, "holds": inside["holds"]}
            case Not(part):
                negated = self._clauses(part)
                return {"not": negated, "holds": not negated["holds"]}
            case AllOf(parts):
                every = [self._clauses(part) for part in parts]
                return {"all": every, "holds": all(part["holds"] for part in every)}
            case AnyOf(parts):
                some = [self._clauses(part) for part in parts]
                return {"any": some, "holds": any(part["holds"] for part in some)}

    def _step(self, step: str, passed: bool, detail: str, **facts: Any) -> None:
        self.steps.append(Step(step, passed, detail, facts))


def _reason_of_otherwise(flag: Flag) -> Reason:
    if isinstance(flag.state.otherwise, Split):
        return Reason.SPLIT
    return Reason.DEFAULT if flag.state.active else Reason.STATIC


def _first_failure(clauses: Mapping[str, Any]) -> str:
    return next(_failures(clauses), "its condition does not hold")


def _failures(clauses: Mapping[str, Any]) -> Iterator[str]:
    if clauses["holds"]:
        return
    if "attribute" in clauses:
        found = "missing" if clauses["found"] is None else repr(clauses["found"])
        wanted = ", ".join(repr(value) for value in clauses["values"][:5])
        yield f"{clauses['attribute']} is {found}, expected {clauses['op']} {wanted}".rstrip()
    elif "segment" in clauses:
        inner = next(_failures(clauses["condition"]), "")
        yield f"not in segment {clauses['segment']}" + (f" ({inner})" if inner else "")
    elif "not" in clauses:
        yield "what must not hold does"
    for part in clauses.get("all", clauses.get("any", ())):
        yield from _failures(part)


def as_json(value: Any) -> Any:
    """The value of an attribute as it can be shown: JSON's own as they are, anything else described."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)[:1000]
    if isinstance(value, int | float) and abs(value) < 2**1000:
        return value
    try:
        return repr(value)[:1000]
    except Exception as error:  # noqa: BLE001 -- an object of the caller's whose repr fails must not break an explanation
        return f"<{type(value).__name__}: {type(error).__name__}>"
