"""Generated requests against the protocol's own document: no answer that it does not have, no wrong request taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from downhaul_server import rates
from generated.under_test import UnderTest
from limits import parse
from schemathesis import Case
from support.ofrep import Asked, flag, open_asked

pytestmark = pytest.mark.slow

under_test = UnderTest()
DOCUMENT = Path(__file__).parents[1] / "conformance" / "ofrep" / "openapi.relaxed.yaml"
CONFIG = {
    "generation": {"deterministic": True, "max-examples": 30, "database": "none"},
    "checks": {
        # What is well-formed may be out of reach, and a flag that is split needs more than what is well-formed.
        "positive_data_acceptance": {"expected-statuses": [200, 304, 400, 404]},
        "negative_data_rejection": {"expected-statuses": [400, 401, 404, 405]},
    },
}
THERE = ("plain", "share", "rules", "checkout/text", "whole", "point", "object", "risky", "nope")


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with (
        pytest.MonkeyPatch.context() as patch,
        open_asked(tmp_path_factory.mktemp("data"), log_level="critical") as asked,
    ):
        patch.setitem(rates.LIMITS, "key", parse("1000000 per minute"))  # many of the requests come with a made-up key
        asked.made(flag("risky"))
        asked.client.post("/api/v1/services/checkout/flags/risky/kill")
        under_test.app = asked.client.app
        yield asked


def described() -> Any:
    document = yaml.safe_load(DOCUMENT.read_text("utf-8"))
    # Real clients leave it out, and get every flag that does not need it: TARGETING_KEY_MISSING is for the others.
    del document["components"]["schemas"]["context"]["required"]
    return under_test.schema(document, CONFIG)


schema = described()


@schema.parametrize()
def test_every_answer_is_as_the_protocol_has_it(case: Case, settled: Asked) -> None:
    if "key" in case.path_parameters and len(case.path_parameters["key"]) % 2:
        case.path_parameters["key"] = THERE[len(json.dumps(case.body, default=str)) % len(THERE)]
    token = settled.keys["client"]
    case.call_and_validate(headers={"Authorization": f"Bearer {token}", "X-API-Key": token})
