"""Generated requests against the document: no answer that it does not describe, no wrong request that is taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from downhaul_server import rates
from downhaul_server.app import create_app
from downhaul_server.services import streams
from downhaul_server.services.hook_sender import NotSent, Sender
from downhaul_server.settings import Settings
from generated.under_test import UnderTest
from limits import parse
from schemathesis import Case, GenerationMode
from support.api import Client, open_client, settle
from support.redis import FakeRedis

pytestmark = pytest.mark.slow

under_test = UnderTest()
EXAMPLES = 20
LONG = 20
CONFIG = {
    "generation": {"deterministic": True, "max-examples": EXAMPLES, "database": "none"},
    "checks": {
        # What is well-formed may still make no sense (a rule for a variant that is not there), or be out of reach.
        "positive_data_acceptance": {"expected-statuses": ["2xx", 304, 403, 404, 409, 412, 422]},
        "negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 409, 412, 413, 415, 422]},
    },
}
THERE = {"service": "checkout", "environment": "production", "flag": "new-checkout", "segment": "beta"}
"""Things that are there: random names would meet nothing but 404."""


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One app for all generated requests. Its streams end as soon as they have begun: whole answers are judged."""
    folder = Path(tmp_path_factory.mktemp("data"))
    with (
        pytest.MonkeyPatch.context() as patch,
        open_client(FakeRedis(), folder, log_level="critical", stream_age=0.0) as client,
    ):
        patch.setattr(streams, "TICK_S", 0.001)
        patch.setitem(rates.LIMITS, "token", parse("1000000 per minute"))  # many of the requests come without one
        patch.setattr(Sender, "post", MagicMock(side_effect=NotSent("nothing leaves this machine")))
        settle(client)
        client.post("/api/v1/segments", {"key": "beta", "when": {"attribute": "plan", "op": "exists"}})
        client.services.acknowledgements.stop()  # nobody waits for made-up instances
        under_test.app = client.app
        yield client
        client.services.stop()


def described() -> Any:
    """The document, closed: an answer with a member that it does not describe is wrong here.

    It is the same for every app, so an app that serves nothing gives it, before any test begins.
    """
    nothing = MagicMock(health=dict)
    app = create_app(nothing, Settings(data_dir=Path("nowhere")))
    document = app.test_client().get("/api/v1/openapi.json").json
    for component in document["components"]["schemas"].values():
        if component.get("type") == "object":
            component.setdefault("additionalProperties", False)
        for member in component.get("properties", {}).values():
            # Lists of a thousand rules, each at its own limits, would take minutes; test_problems.py has the limits.
            if member.get("maxItems", 0) > LONG:
                del member["maxItems"]
    return under_test.schema(document, CONFIG)


schema = described()


@schema.parametrize()
def test_every_answer_is_as_documented(case: Case, settled: Client) -> None:
    kept = case.method != "DELETE" and case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if kept:
        case.query = {name: THERE.get(name, value) for name, value in (case.query or {}).items()}
        case.path_parameters = {name: THERE.get(name, value) for name, value in case.path_parameters.items()}
    token = settled.tokens["sdk" if case.path.startswith("/sdk/") else "admin"]
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"})
