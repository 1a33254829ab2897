"""Reports of instances, the fleet, and how far a change has come in it."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError
from marshmallow import fields as base

from downhaul_server.api.schemas.common import LONGEST_WAIT_S, Open, PageQuery, page_of
from downhaul_server.api.schemas.fields import (
    Bool,
    Choice,
    Int,
    Items,
    Key,
    Number,
    QueryInt,
    QueryNumber,
    Strict,
    Text,
    environment_key,
    service_key,
)

PROCESS = r"[A-Za-z0-9_-]{1,64}"
LARGEST = 2**53
MOST_FLAGS = 5000
MOST_SERVICES = 10_000
MOST_VARIANTS = 200
LONGEST_NAME = 200
MOST_HOURS = 40 * 24


class Counts(base.Field[dict[str, dict[str, int]]]):
    """`{flag: {variant: evaluations}}`. In one go: a report may have thousands, and each process sends one a minute."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, dict[str, int]]:
        if not isinstance(value, dict) or len(value) > MOST_FLAGS:
            raise ValidationError(f"expected an object of at most {MOST_FLAGS} flags")
        faults = {flag: fault for flag, variants in value.items() if (fault := _fault(flag, variants))}
        if faults:
            raise ValidationError(faults)
        return value


def _fault(flag: str, variants: Any) -> str | None:
    if len(flag) > LONGEST_NAME:
        return f"expected a name of at most {LONGEST_NAME} characters"
    if not isinstance(variants, dict) or len(variants) > MOST_VARIANTS:
        return f"expected an object of at most {MOST_VARIANTS} variants"
    for variant, count in variants.items():
        if len(variant) > LONGEST_NAME:
            return f"expected variants' names of at most {LONGEST_NAME} characters"
        if type(count) is not int or not 0 <= count <= LARGEST:
            return f"expected integers from 0 to {LARGEST}"
    return None


class ReportSchema(Strict):
    """How one process is."""

    service = service_key(required=True)
    process = Key(PROCESS, required=True, metadata={"description": "Random, one for each process; new after a fork."})
    instance = Text(required=True, metadata={"description": "What people call it."})
    host = Text(allow_none=True)
    pid = Int(0, LARGEST, allow_none=True)
    build = Text(allow_none=True)
    region = Text(allow_none=True)
    color = Text(allow_none=True)
    sdk = Text(required=True, metadata={"description": "Name and version: `python/0.1.0`."})
    link = Choice("stream", "poll", required=True)
    epoch = Text(required=True, allow_none=True, metadata={"description": "Of the snapshot that it has applied."})
    revision = Int(0, LARGEST, required=True, allow_none=True)
    applied_ms = Number(
        0, LARGEST, allow_none=True, metadata={"description": "How many milliseconds ago it applied the revision."}
    )
    leaving = Bool(allow_none=True, metadata={"description": "Its last report."})
    sequence = Int(
        0,
        LARGEST,
        allow_none=True,
        metadata={
            "description": "Grows with each batch of counts, a retry repeats it. Without one, every batch is counted."
        },
    )
    counts = Counts(
        allow_none=True,
        metadata={
            "description": "Evaluations since the last answered report that had any: flag -> variant -> how many.",
            "type": "object",
            "maxProperties": MOST_FLAGS,
            "propertyNames": {"maxLength": LONGEST_NAME},
            "additionalProperties": {
                "type": "object",
                "maxProperties": MOST_VARIANTS,
                "propertyNames": {"maxLength": LONGEST_NAME},
                "additionalProperties": {"type": "integer", "minimum": 0, "maximum": LARGEST},
            },
        },
    )


class PaceSchema(Open):
    """When to report again."""

    next_report_s = base.Integer(required=True, metadata={"description": "Seconds, if nothing happens before."})
    spread_ms = base.Integer(
        required=True, metadata={"description": "Over how long to spread the reports that follow a change."}
    )


class StragglerSchema(Open):
    """An instance that has not applied the change, as far as is known."""

    service = base.String(required=True)
    environment = base.String(required=True)
    instance = base.String(required=True)
    host = base.String(required=True, allow_none=True)
    build = base.String(required=True, allow_none=True)
    revision = base.Integer(required=True, allow_none=True, metadata={"description": "The one that it has."})
    link = base.String(required=True, metadata={"enum": ["stream", "poll", "silent"]})
    last_seen_s = base.Float(required=True, metadata={"description": "Seconds since it was heard of."})


class LatencySchema(Open):
    """Commit to applied, in milliseconds."""

    p50 = base.Float(required=True)
    p99 = base.Float(required=True)
    max = base.Float(required=True)


class AcknowledgementSchema(Open):
    """How far a change has come in the fleet."""

    revision = base.Integer(required=True)
    committed_at = base.DateTime(required=True)
    instances = base.Integer(required=True, metadata={"description": "Live and silent ones that are concerned."})
    applied = base.Integer(required=True)
    confirmed = base.Boolean(required=True, metadata={"description": "All of them have applied it, for certain."})
    stragglers = base.List(
        base.Nested(StragglerSchema),
        required=True,
        metadata={"description": "The others, those heard of last first; 1000 at most."},
    )
    latency_ms = base.Nested(LatencySchema, required=True, allow_none=True)


class AcknowledgementQuery(Strict):
    """Of which change."""

    revision = QueryInt(
        1, LARGEST, required=True, metadata={"description": "Of the commit, as the answer to a kill names it."}
    )
    wait = QueryNumber(
        0, LONGEST_WAIT_S, metadata={"description": "Seconds to wait until every instance has applied it."}
    )


class AcknowledgementOfServicesSchema(Strict):
    """Of which change, and whose instances are asked."""

    revision = Int(1, LARGEST, required=True)
    environment = environment_key(required=True)
    services = Items(service_key(), least=1, most=MOST_SERVICES, required=True)
    wait = Number(0, LONGEST_WAIT_S, metadata={"description": "Seconds to wait until all of them have applied it."})


WAITED = {"description": "Only there when the client has waited, with `?wait=`."}


class DeletedSchema(Open):
    """Of a deletion that was waited for."""

    acknowledgement = base.Nested(AcknowledgementSchema, required=True)


class FleetQuery(PageQuery):
    """Whose fleet."""

    environment = environment_key(
        metadata={"description": "When left out: the token's only one, else the server's default environment."}
    )
    state = Choice("live", "silent", "gone", metadata={"description": "Only those."})


class InstanceSchema(Open):
    """One process that runs the SDK."""

    instance = base.String(required=True)
    process = base.String(required=True)
    host = base.String(required=True, allow_none=True)
    pid = base.Integer(required=True, allow_none=True)
    build = base.String(required=True, allow_none=True)
    region = base.String(required=True, allow_none=True)
    color = base.String(required=True, allow_none=True)
    sdk = base.String(required=True, allow_none=True)
    link = base.String(required=True, metadata={"enum": ["stream", "poll", "silent"]})
    state = base.String(required=True, metadata={"enum": ["live", "silent", "gone"]})
    deaf = base.Boolean(
        required=True,
        metadata={"description": "Silent, or without a change that it should long have: it may be wrong."},
    )
    epoch = base.String(required=True, allow_none=True)
    revision = base.Integer(required=True, allow_none=True, metadata={"description": "Of the snapshot that it has."})
    last_seen_s = base.Float(required=True, metadata={"description": "Seconds since it was heard of."})
    applied = base.Boolean(required=True, metadata={"description": "Whether it has the newest snapshot, for certain."})


class StatesSchema(Open):
    """How many instances are in each state."""

    live = base.Integer(required=True)
    silent = base.Integer(required=True)
    gone = base.Integer(required=True)


class FleetPageSchema(page_of(InstanceSchema)):  # type: ignore[misc]
    """Live instances first, then silent, then gone ones, which are forgotten after an hour."""

    epoch = base.String(required=True)
    revision = base.Integer(required=True, metadata={"description": "Of the newest snapshot."})
    counts = base.Nested(StatesSchema, required=True)


class EvaluationsQuery(Strict):
    """Where, and for how long."""

    environment = environment_key(
        metadata={"description": "When left out: the token's only one, else the server's default environment."}
    )
    hours = QueryInt(
        1, MOST_HOURS, load_default=24, metadata={"description": "By the hour up to 192, by the day beyond."}
    )


class EvaluationsOfHourSchema(Open):
    """One hour; or one day, where more than 192 hours are asked for."""

    at = base.DateTime(required=True, metadata={"description": "Its beginning."})
    counts = base.Dict(
        keys=base.String(), values=base.Integer(), required=True, metadata={"description": "Variant -> evaluations."}
    )


class EvaluationsSchema(Open):
    """Oldest first; the last one is not over yet."""

    items = base.List(base.Nested(EvaluationsOfHourSchema), required=True)
