"""The flags of the file, plain values and whole definitions, as the engine decodes them: the service's meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from downhaul.engine import DecodeError, Ruleset, decode_ruleset
from downhaul.engine.errors import Path
from downhaul.engine.operators import kind
from downhaul.engine.values import type_of_value
from downhaul.local.errors import LocalFileError
from downhaul.local.rollouts import rollout, spell_out

_TOP = ("service", "environment", "flags", "segments")
_ENGINE = ("type", "salt", "variants", "off_variant", "requires", "on", "killed", "rules", "otherwise")
_TOLD = ("description", "owner", "purpose", "tags", "expires")
_SHORT = ("value", "rollout", "by")
_FIELDS = (*_ENGINE, *_SHORT, *_TOLD)
_FLAG = re.compile(r"(?:[a-z0-9][a-z0-9-]{0,62}/)?[a-z0-9][a-z0-9._-]{0,99}")
_BOOLEAN: Mapping[str, Any] = {"on": True, "off": False}


class Contents(NamedTuple):
    """What the file says."""

    service: str
    environment: str
    ruleset: Ruleset


def read_contents(path: str, data: Any, service: str = "") -> Contents:
    """Decode the file's data. `service`: that of the process, which wins over the file's. Raises LocalFileError."""
    try:
        fields = _object(data, ())
        for name in fields:
            if name not in _TOP:
                raise DecodeError((name,), f"unknown field; expected {', '.join(_TOP)}")
        if "flags" not in fields:  # also so that a file cut off before them is no file without flags
            raise DecodeError(("flags",), "missing: expected a table of flags")
        service = service or _text(fields, "service", "")
        flags = {
            name: _flag(each, name, service, ("flags", name))
            for name, each in _object(fields["flags"], ("flags",)).items()
        }
        ruleset = decode_ruleset({"flags": flags, "segments": fields.get("segments", {})})
        return Contents(service, _text(fields, "environment", "development"), ruleset)
    except DecodeError as error:
        raise LocalFileError(path, str(DecodeError(_as_written(error.path, data), error.message))) from None


def _as_written(path: Path, data: Any) -> Path:
    """The place in the file: there, a plain value is not in a variant."""
    match path:
        case ("flags", name, "variants", "value", *rest) if not isinstance(data["flags"][name], dict):
            return ("flags", name, *rest)
        case ("flags", name, "variants", "value", *rest) if "value" in data["flags"][name]:
            return ("flags", name, "value", *rest)
    return path


def _flag(data: Any, name: Any, service: str, path: Path) -> dict[str, Any]:
    if not isinstance(name, str) or not _FLAG.fullmatch(name):
        expected = "a flag's key (lower-case letters, digits, `.`, `_`, `-`), or service/key"
        raise DecodeError(("flags",), f"expected {expected}, found {name!r}")
    given = data if isinstance(data, dict) else {"value": data}
    for field in given:
        if field not in _FIELDS:
            hint = "; a value that is a table is written as value = {...}"
            raise DecodeError((*path, field), f"unknown field; expected {', '.join(_FIELDS)}{hint}")
    flag = _with_variants(given, path)
    flag |= {name: given[name] for name in ("requires", "killed") if name in given}
    flag["salt"] = given.get("salt", name if "/" in name or not service else f"{service}/{name}")
    flag["on"] = given.get("on", True)
    flag["rules"] = _rules(given.get("rules", []), flag, (*path, "rules"))
    flag["otherwise"] = _otherwise(given, flag, path)
    return flag


def _with_variants(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Type, variants and off variant."""
    if "value" in given:
        return _plain(given, path)
    variants = given.get("variants", dict(_BOOLEAN) if given.get("type", "boolean") == "boolean" else None)
    if variants is None:
        raise DecodeError((*path, "variants"), f"missing: expected the values of a {given['type']} flag, by name")
    if "off_variant" in given:
        off = given["off_variant"]
    elif isinstance(variants, dict) and variants:
        off = next((name for name, value in variants.items() if value is False), next(iter(variants)))
    else:
        off = ""
    return {"type": given.get("type", _type_of(variants)), "variants": variants, "off_variant": off}


def _plain(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A flag that has one value for everybody."""
    for name in ("variants", "off_variant", "rollout", "by", "rules", "otherwise"):
        if name in given:
            raise DecodeError((*path, name), "does not go with value, which everybody gets")
    value = given["value"]
    if given.get("type", "boolean") == "boolean" and isinstance(value, bool):
        return {"type": "boolean", "variants": dict(_BOOLEAN), "off_variant": "off"}
    return {"type": given.get("type", type_of_value(value, None)), "variants": {"value": value}, "off_variant": "value"}


def _type_of(variants: Any) -> str:
    types = {type_of_value(each, None) for each in variants.values()} if isinstance(variants, dict) else set()
    return types.pop() if len(types) == 1 else "json"


def _rules(rules: Any, flag: Mapping[str, Any], path: Path) -> Any:
    if not isinstance(rules, list):
        return rules
    return [
        {**rule, "serve": spell_out(rule["serve"], flag, (*path, index, "serve"))}
        if isinstance(rule, dict) and "serve" in rule
        else rule
        for index, rule in enumerate(rules)
    ]


def _otherwise(given: Mapping[str, Any], flag: Mapping[str, Any], path: Path) -> Any:
    if "value" in given:
        return {"variant": _true_one(flag) if given["value"] is True else flag["off_variant"]}
    if "rollout" in given:
        if "otherwise" in given:
            raise DecodeError((*path, "rollout"), "either rollout or otherwise, not both")
        return rollout(given["rollout"], given.get("by", "user"), flag, (*path, "rollout"))
    if "by" in given:
        raise DecodeError((*path, "by"), "goes with rollout only")
    if "otherwise" in given:
        return spell_out(given["otherwise"], flag, (*path, "otherwise"))
    return {"variant": _true_one(flag)}


def _true_one(flag: Mapping[str, Any]) -> Any:
    """The variant of a boolean flag that is true; of any other flag the one that is off, as the service has it."""
    variants = flag["variants"] if flag["type"] == "boolean" and isinstance(flag["variants"], dict) else {}
    return next((name for name, value in variants.items() if value is True), flag["off_variant"])


def _object(data: Any, path: Path) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise DecodeError(path, f"expected a table, found {kind(data)}")
    return data


def _text(fields: Mapping[str, Any], name: str, default: str) -> str:
    text = fields.get(name, default)
    if not isinstance(text, str) or len(text) > 63:
        raise DecodeError((name,), f"expected a text of at most 63 characters, found {text!r}")
    return text
