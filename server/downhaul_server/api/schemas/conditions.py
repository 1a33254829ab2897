"""Conditions and what rules serve. Recursive, with a bounded depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from downhaul.engine import MAX_DEPTH
from downhaul.engine.bucketing import WHOLE
from downhaul.engine.operators import OPERATORS
from marshmallow import Schema, ValidationError
from marshmallow import fields as base

from downhaul_server.api.schemas.fields import Alternatives, Bool, Choice, Int, Items, Key, Scalar, Strict, Text
from downhaul_server.services import names

MAX_VALUES = 10_000


def _conditions() -> Mapping[str, type[Schema]]:
    return {"all": AllSchema, "any": AnySchema, "not": NotSchema, "attribute": LeafSchema, "segment": InSegmentSchema}


class Inner(Alternatives):
    """A condition inside another."""

    def __init__(self, **options: Any) -> None:
        super().__init__("Condition", _conditions, **options)


class Condition(Inner):
    """A whole condition: the depth is bounded before anything descends into it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        level = [value]
        for _ in range(MAX_DEPTH):
            level = [child for parent in level for child in _children(parent)]
        if level:
            raise ValidationError(f"expected a condition of {MAX_DEPTH} levels at most")
        return super()._deserialize(value, attr, data, **kwargs)


class AllSchema(Strict):
    """Holds when all of them hold."""

    all = Items(Inner(), most=1000, required=True)


class AnySchema(Strict):
    """Holds when at least one of them holds."""

    any = Items(Inner(), most=1000, required=True)


class NotSchema(Strict):
    """Holds when the other does not."""

    inner = Inner(required=True, data_key="not", attribute="not")


class LeafSchema(Strict):
    """Holds when the attribute matches any of the values."""

    attribute = Text(shortest=1, required=True)
    op = Choice(*OPERATORS, required=True)
    values = Items(Scalar(), most=MAX_VALUES, metadata={"description": "Not for `exists`."})


class InSegmentSchema(Strict):
    """Holds when the segment's condition does."""

    segment = Key(names.SEGMENT_KEY, required=True)


class WeightSchema(Strict):
    """A variant's share."""

    variant = Text(shortest=1, longest=100, required=True)
    weight = Int(0, WHOLE, required=True, metadata={"description": "Of 100,000."})


class ServeVariantSchema(Strict):
    """Everybody gets this variant."""

    variant = Text(shortest=1, longest=100, required=True)


class ServeSplitSchema(Strict):
    """Each unit gets one of the variants, always the same; the weights sum to 100,000."""

    split = Items(base.Nested(WeightSchema), least=1, most=100, required=True)
    by = Text(shortest=1, metadata={"description": "The attribute whose value is the unit; `user` when left out."})


class Serve(Alternatives):
    """One variant or a split."""

    def __init__(self, **options: Any) -> None:
        super().__init__("Serve", lambda: {"variant": ServeVariantSchema, "split": ServeSplitSchema}, **options)


class RuleSchema(Strict):
    """Whoever the condition holds for is served this."""

    name = Text()
    enabled = Bool(
        metadata={"default": True, "description": "False: switched off, and passed over as if it were not there."}
    )
    when = Condition(required=True)
    serve = Serve(required=True)


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for name in ("all", "any"):
            if isinstance(inner := value.get(name), list):
                yield from inner
        if "not" in value:
            yield value["not"]
