"""Fields that take JSON's types literally: `true` is no integer, `"1"` is no number, `1.0` is the integer 1."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from downhaul_server.services import names

TEXT = 200
LONG_TEXT = 2000
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class Strict(Schema):
    """The base of all that comes in: what is not declared is refused."""

    class Meta:
        unknown = RAISE


class Text(fields.String):
    """A text of `shortest` to `longest` characters."""

    def __init__(self, *, shortest: int = 0, longest: int = TEXT, **options: Any) -> None:
        checks = [validate.Length(min=shortest or None, max=longest), *options.pop("checks", ())]
        super().__init__(validate=checks, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("expected a text")
        return value


class Choice(Text):
    """One of some words."""

    def __init__(self, *choices: str, **options: Any) -> None:
        super().__init__(checks=[validate.OneOf(choices, error="expected one of {choices}")], **options)


class Key(Text):
    """A text that matches one of the patterns of `services.names`, from its start to its end."""

    def __init__(self, pattern: str, **options: Any) -> None:
        super().__init__(checks=[_Whole(pattern)], **options)


class _Whole(validate.Regexp):
    def __init__(self, pattern: str) -> None:
        super().__init__(f"^({pattern})$", error=f"expected a key that matches {pattern}")

    def __call__(self, value: Any) -> Any:
        # `$` would let a final line break pass.
        if self.regex.fullmatch(value) is None or value.endswith("\n"):
            raise ValidationError(str(self.error))
        return value


class Bool(fields.Boolean):
    """`true` or `false`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("expected true or false")
        return value


class Int(fields.Integer):
    """An integer from `low` to `high`. As in JSON Schema, `1.0` is one."""

    def __init__(self, low: int, high: int, **options: Any) -> None:
        error = f"expected an integer from {low} to {high}"
        super().__init__(validate=validate.Range(low, high, error=error), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            raise ValidationError("expected an integer")
        return int(value)


class Number(fields.Float):
    """A number from `low` to `high`."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        error = f"expected a number from {low:g} to {high:g}"
        super().__init__(validate=validate.Range(low, high, error=error), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValidationError("expected a number")
        return value


class Json(fields.Raw):
    """Any JSON value, null included."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"allow_none": True} | options))


class Scalar(fields.Raw):
    """A text, a number or a boolean."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"type": ["string", "number", "boolean"]}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, (str, int, float)):
            raise ValidationError("expected a text, a number or a boolean")
        return value


class Day(fields.Date):
    """A date, kept as its text: `2027-01-31`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str) or not DATE.fullmatch(value) or _fails(date.fromisoformat, value):
            raise ValidationError("expected a date such as 2027-01-31")
        return value


class Time(fields.DateTime):
    """An RFC 3339 time with an offset, kept as its text (`parsed=True`: as a datetime)."""

    def __init__(self, *, parsed: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._parsed = parsed

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str) or not TIME.fullmatch(value) or _fails(datetime.fromisoformat, value.upper()):
            raise ValidationError("expected a time with an offset, such as 2027-01-31T12:00:00Z")
        return datetime.fromisoformat(value.upper()) if self._parsed else value


class QueryInt(fields.Integer):
    """An integer in a query string, from `low` to `high`."""

    def __init__(self, low: int, high: int, **options: Any) -> None:
        self._error = f"expected an integer from {low} to {high}"
        super().__init__(validate=validate.Range(low, high, error=self._error), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise ValidationError(self._error)
        return int(value)


class QueryNumber(fields.Float):
    """A number in a query string, from `low` to `high`."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        self._error = f"expected a number from {low:g} to {high:g}"
        super().__init__(validate=validate.Range(low, high, error=self._error), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if not re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", value):
            raise ValidationError(self._error)
        return float(value)


class Map(fields.Dict):
    """An object whose names are of one kind, and its values of another."""

    def __init__(self, names: Text, values: fields.Field[Any], *, most: int, least: int = 0, **options: Any) -> None:
        super().__init__(keys=names, values=values, **options)
        self.least = least
        self.most = most

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise ValidationError("expected an object")
        if not self.least <= len(value) <= self.most:
            raise ValidationError(f"expected {self.least} to {self.most} members")
        try:
            return super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]
        except ValidationError as error:
            # marshmallow wraps each fault in `key` or `value`, which are no parts of the client's document.
            raise ValidationError({name: _unwrapped(faults) for name, faults in _by_name(error).items()}) from None


class Items(fields.List[Any]):
    """A list of up to `most` items."""

    def __init__(self, inner: fields.Field[Any], *, most: int, least: int = 0, **options: Any) -> None:
        error = f"expected {least} to {most} items"
        super().__init__(inner, validate=validate.Length(least or None, most, error=error), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            raise ValidationError("expected a list")
        return super()._deserialize(value, attr, data, **kwargs)


class Alternatives(fields.Field[Any]):
    """An object of one of several shapes; which one is known by the one name that only that shape has."""

    def __init__(self, title: str, shapes: Callable[[], Mapping[str, type[Schema]]], **options: Any) -> None:
        super().__init__(**options)
        self.title = title
        """What the document's component is called."""
        self.shapes = shapes
        """Telling name -> schema; a function, so that shapes can hold one another."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        shapes = self.shapes()
        found = [name for name in shapes if isinstance(value, dict) and name in value]
        if len(found) != 1:
            raise ValidationError(f"expected an object with one of {', '.join(shapes)}")
        return shapes[found[0]]().load(value)


def service_key(**options: Any) -> Key:
    """A service's key."""
    return Key(names.SERVICE_KEY, **options)


def environment_key(**options: Any) -> Key:
    """An environment's key."""
    return Key(names.ENVIRONMENT_KEY, **options)


def _fails(parse: Callable[[str], Any], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return True
    return False


def _by_name(error: ValidationError) -> dict[str, Any]:
    messages = error.messages
    return messages if isinstance(messages, dict) else {}


def _unwrapped(faults: Mapping[str, Any]) -> Any:
    return faults["value"] if "value" in faults else faults["key"]
