"""From JSON data to the model: strict, once, and every fault with its place."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from downhaul.engine.bucketing import WHOLE
from downhaul.engine.conditions import AllOf, AnyOf, Condition, InSegment, Leaf, Not, references, segment_references
from downhaul.engine.errors import DecodeError, Path
from downhaul.engine.graph import CycleError, dependency_order
from downhaul.engine.model import Definition, Flag, One, Requirement, Rule, Ruleset, Serve, Split, State
from downhaul.engine.operators import OPERATORS, WITHOUT_VALUES, as_members, is_number, kind

MAX_DEPTH: Final = 32
"""How deep conditions, and values of json flags, may be nested."""

MAX_NAME: Final = 200
"""Characters in the name of an attribute, a variant or a rule."""


def decode_ruleset(data: Any) -> Ruleset:
    """`{"flags": {name: flag}, "segments": {key: condition}}`, a snapshot's content.

    A flag is `{type, salt, variants, off_variant, requires, metadata, on, killed, rules, otherwise}`. Raises
    DecodeError, also for a segment that is not there, a cycle of segments and a cycle of prerequisites. A prerequisite
    that is not there is no fault: it fails when it is evaluated.
    """
    fields = _object(data, (), required=("flags", "segments"))
    segments = _object(fields["segments"], ("segments",))
    return change_ruleset(Ruleset(), _object(fields["flags"], ("flags",)), segments)


def change_ruleset(
    base: Ruleset, changed: Mapping[str, Any], segments: Mapping[str, Any] = MappingProxyType({})
) -> Ruleset:
    """`base` with these flags and segments decoded into it (None: removed).

    Raises DecodeError like `decode_ruleset`. Flags and segments that are not named are kept, the same objects.
    """
    flags = base.flags.copy()
    for name, document in changed.items():
        if document is None:
            flags.pop(name, None)
        else:
            flags[name] = decode_flag(document, name, ("flags", name))
    conditions = _changed_segments(base.segments, segments)
    _check_segments(flags if segments else {name: flags[name] for name in changed if name in flags}, conditions)
    if any(flag.definition.requires for flag in map(flags.get, changed) if flag):
        _check_prerequisites(flags)
    return Ruleset(MappingProxyType(flags), MappingProxyType(conditions))


def decode_flag(data: Any, name: str, path: Path = ()) -> Flag:
    """A flag of a snapshot: the fields of its definition and of its state side by side. Raises DecodeError."""
    fields = _object(data, path, _DEFINITION + _STATE, required=_DEFINITION_NEEDS + _STATE_NEEDS)
    definition = decode_definition({key: fields[key] for key in _DEFINITION if key in fields}, path)
    return Flag(name, definition, decode_state({key: fields[key] for key in _STATE if key in fields}, definition, path))


_DEFINITION_NEEDS = ("type", "salt", "variants", "off_variant")
_DEFINITION = (*_DEFINITION_NEEDS, "requires", "metadata")
_STATE_NEEDS = ("on", "otherwise")
_STATE = (*_STATE_NEEDS, "killed", "rules")


def decode_definition(data: Any, path: Path = ()) -> Definition:
    """`{type, salt, variants, off_variant, requires, metadata}`. Raises DecodeError."""
    fields = _object(data, path, _DEFINITION, required=_DEFINITION_NEEDS)
    kind_of_flag = fields["type"]
    if not isinstance(kind_of_flag, str) or kind_of_flag not in _VALUES:
        raise DecodeError((*path, "type"), f"expected one of {', '.join(_VALUES)}, found {kind_of_flag!r}")
    variants = _object(fields["variants"], (*path, "variants"))
    if not variants:
        raise DecodeError((*path, "variants"), "expected at least one variant")
    for name, value in variants.items():
        _name(name, (*path, "variants", name))
        _VALUES[kind_of_flag](value, (*path, "variants", name))
    salt = _text(fields["salt"], (*path, "salt"))
    off = _variant(fields["off_variant"], variants, (*path, "off_variant"))
    requires = tuple(
        _requirement(each, (*path, "requires", index))
        for index, each in enumerate(_array(fields.get("requires", []), (*path, "requires")))
    )
    metadata = decode_metadata(fields.get("metadata", {}), (*path, "metadata"))
    text = json.dumps(variants, sort_keys=True)
    return Definition(kind_of_flag, salt, MappingProxyType(dict(variants)), off, requires, metadata, text)


def decode_metadata(data: Any, path: Path = ()) -> Mapping[str, bool | int | float | str]:
    """Texts, numbers, true and false, by name. Raises DecodeError."""
    metadata = _object(data, path)
    for name, value in metadata.items():
        _name(name, (*path, name))
        if not isinstance(value, (bool, str)):
            _VALUES["number"](value, (*path, name))
    return MappingProxyType(dict(metadata))


def decode_state(data: Any, definition: Definition, path: Path = ()) -> State:
    """`{on, killed, rules, otherwise}` of a flag of this definition; `killed` is true or false. Raises DecodeError."""
    fields = _object(data, path, _STATE, required=_STATE_NEEDS)
    rules = tuple(
        _rule(each, definition.variants, (*path, "rules", index))
        for index, each in enumerate(_array(fields.get("rules", []), (*path, "rules")))
    )
    return State(
        on=_boolean(fields["on"], (*path, "on")),
        killed=_boolean(fields.get("killed", False), (*path, "killed")),
        rules=rules,
        otherwise=_serve(fields["otherwise"], definition.variants, (*path, "otherwise")),
    )


def decode_condition(data: Any, path: Path = (), depth: int = 1) -> Condition:
    """A condition: `all`, `any`, `not`, `segment`, or `attribute`, `op` and `values`. Raises DecodeError."""
    if depth > MAX_DEPTH:
        raise DecodeError(path, f"expected conditions nested at most {MAX_DEPTH} deep")
    fields = _object(data, path)
    if "attribute" in fields or "op" in fields:
        return _leaf(fields, path)
    found = [name for name in ("all", "any", "not", "segment") if name in fields]
    if len(found) != 1 or len(fields) != 1:
        raise DecodeError(path, "expected one of `all`, `any`, `not`, `segment`, or `attribute` with `op` and `values`")
    name, value = found[0], fields[found[0]]
    if name == "segment":
        return InSegment(_name(value, (*path, "segment")))
    if name == "not":
        return Not(decode_condition(value, (*path, "not"), depth + 1))
    parts = tuple(
        decode_condition(part, (*path, name, index), depth + 1)
        for index, part in enumerate(_array(value, (*path, name)))
    )
    return AllOf(parts) if name == "all" else AnyOf(parts)


def _leaf(fields: Mapping[str, Any], path: Path) -> Leaf:
    _object(fields, path, ("attribute", "op", "values"), required=("attribute", "op"))
    op = fields["op"]
    if not isinstance(op, str) or op not in OPERATORS:
        raise DecodeError((*path, "op"), f"expected one of {', '.join(OPERATORS)}, found {op!r}")
    values = _array(fields.get("values", []), (*path, "values"))
    if not values and op not in WITHOUT_VALUES:
        raise DecodeError((*path, "values"), "expected at least one value")
    test = OPERATORS[op](values, (*path, "values"))
    return Leaf(
        attribute=_name(fields["attribute"], (*path, "attribute")),
        op=op,
        values=tuple(values),
        test=test,
        members=as_members(values) if op == "in" else None,
        kinds=tuple(type(value) for value in values),
    )


def _rule(data: Any, variants: Mapping[str, Any], path: Path) -> Rule:
    fields = _object(data, path, ("name", "enabled", "when", "serve"), required=("when", "serve"))
    name = fields.get("name")
    if name is not None:
        _text(name, (*path, "name"), MAX_NAME)
    return Rule(
        name or None,
        decode_condition(fields["when"], (*path, "when")),
        _serve(fields["serve"], variants, (*path, "serve")),
        _boolean(fields.get("enabled", True), (*path, "enabled")),
    )


def _serve(data: Any, variants: Mapping[str, Any], path: Path) -> Serve:
    fields = _object(data, path)
    if "split" not in fields:
        _object(fields, path, ("variant",), required=("variant",))
        return One(_variant(fields["variant"], variants, (*path, "variant")))
    _object(fields, path, ("split", "by"))
    shares = tuple(
        _share(share, variants, (*path, "split", index))
        for index, share in enumerate(_array(fields["split"], (*path, "split")))
    )
    total = sum(weight for _, weight in shares)
    if total != WHOLE:
        raise DecodeError((*path, "split"), f"expected weights that sum to {WHOLE}, found a sum of {total}")
    return Split(shares, _name(fields.get("by", "user"), (*path, "by")))


def _share(data: Any, variants: Mapping[str, Any], path: Path) -> tuple[str, int]:
    fields = _object(data, path, ("variant", "weight"), required=("variant", "weight"))
    weight = fields["weight"]
    if type(weight) is not int or not 0 <= weight <= WHOLE:
        raise DecodeError((*path, "weight"), f"expected an integer from 0 to {WHOLE}, found {weight!r}")
    return _variant(fields["variant"], variants, (*path, "variant")), weight


def _requirement(data: Any, path: Path) -> Requirement:
    fields = _object(data, path, ("flag", "variants"), required=("flag", "variants"))
    variants = _array(fields["variants"], (*path, "variants"))
    if not variants:
        raise DecodeError((*path, "variants"), "expected at least one variant")
    names = tuple(_name(each, (*path, "variants", index)) for index, each in enumerate(variants))
    return Requirement(_name(fields["flag"], (*path, "flag")), names)


def _changed_segments(base: Mapping[str, Condition], changed: Mapping[str, Any]) -> dict[str, Condition]:
    conditions = dict(base)
    for key, condition in changed.items():
        if condition is None:
            conditions.pop(key, None)
        else:
            conditions[key] = decode_condition(condition, ("segments", key))
    return conditions


def _check_segments(flags: Mapping[str, Flag], segments: Mapping[str, Condition]) -> None:
    for name, flag in flags.items():
        for index, rule in enumerate(flag.state.rules):
            _check_known(rule.when, segments, ("flags", name, "rules", index, "when"))
    for key, condition in segments.items():
        _check_known(condition, segments, ("segments", key))
    graph = {key: segment_references(condition) for key, condition in segments.items()}
    _check_order(graph, "segments", "a segment that does not lead back to itself")


def _check_known(condition: Condition, segments: Mapping[str, Condition], path: Path) -> None:
    for place, segment in references(condition, path):
        if segment not in segments:
            raise DecodeError(place, f"there is no segment {segment!r}")


def _check_prerequisites(flags: Mapping[str, Flag]) -> None:
    graph = {
        name: [each.flag for each in flag.definition.requires]
        for name, flag in flags.items()
        if flag.definition.requires
    }
    _check_order(graph, "flags", "prerequisites that do not lead back to the flag")


def _check_order(graph: Mapping[str, Iterable[str]], where: str, expected: str) -> None:
    try:
        dependency_order(graph)
    except CycleError as error:
        raise DecodeError((where, error.cycle[0]), f"expected {expected}, found {error}") from None


def _object(data: Any, path: Path, allowed: tuple[str, ...] = (), required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The object; with `allowed` or `required` no other fields than those, and all of the required ones."""
    if not isinstance(data, dict):
        raise DecodeError(path, f"expected an object, found {kind(data)}")
    known = allowed or required
    for name in data:
        if not isinstance(name, str):
            raise DecodeError(path, f"expected names that are strings, found {name!r}")
        if known and name not in known:
            raise DecodeError((*path, name), f"unknown field; expected {', '.join(known)}")
    for name in required:
        if name not in data:
            raise DecodeError((*path, name), "missing")
    return data


def _array(data: Any, path: Path) -> list[Any]:
    if not isinstance(data, list):
        raise DecodeError(path, f"expected an array, found {kind(data)}")
    return data


def _text(data: Any, path: Path, longest: int = 1000) -> str:
    if not isinstance(data, str):
        raise DecodeError(path, f"expected a string, found {kind(data)}")
    if len(data) > longest:
        raise DecodeError(path, f"expected at most {longest} characters, found {len(data)}")
    return data


def _name(data: Any, path: Path) -> str:
    if not _text(data, path, MAX_NAME):
        raise DecodeError(path, "expected a name, found an empty string")
    return str(data)


def _boolean(data: Any, path: Path) -> bool:
    if not isinstance(data, bool):
        raise DecodeError(path, f"expected true or false, found {kind(data)}")
    return data


def _variant(data: Any, variants: Mapping[str, Any], path: Path) -> str:
    if not isinstance(data, str) or data not in variants:
        raise DecodeError(path, f"expected one of the variants {', '.join(map(str, variants))}, found {data!r}")
    return data


def _string_value(value: Any, path: Path) -> None:
    if not isinstance(value, str):
        raise DecodeError(path, f"expected a string, found {kind(value)}")


def _number_value(value: Any, path: Path) -> None:
    if not is_number(value):
        raise DecodeError(path, f"expected a number, found {kind(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise DecodeError(path, f"expected a finite number, found {value}")


def _json_value(value: Any, path: Path, depth: int = 1) -> None:
    if depth > MAX_DEPTH:
        raise DecodeError(path, f"expected a value nested at most {MAX_DEPTH} deep")
    if isinstance(value, dict):
        for name, each in _object(value, path).items():
            _json_value(each, (*path, name), depth + 1)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _json_value(each, (*path, index), depth + 1)
    elif is_number(value):
        _number_value(value, path)
    elif not (value is None or isinstance(value, str | bool)):
        raise DecodeError(path, f"expected JSON, found {kind(value)}")


_VALUES: Mapping[str, Callable[[Any, Path], object]] = MappingProxyType(
    {"boolean": _boolean, "string": _string_value, "number": _number_value, "json": _json_value}
)
"""Type of a flag -> what checks the value of a variant."""
