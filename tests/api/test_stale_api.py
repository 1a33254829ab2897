"""`/api/v1/stale`, and snoozes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from support.api import FLAGS, Client

STALE = "/api/v1/stale"
SNOOZE = f"{FLAGS}/gone/snooze"
UNTIL = (datetime.now(UTC).date() + timedelta(days=5)).isoformat()


@pytest.fixture
def expired(client: Client) -> Client:
    assert client.post(FLAGS, {"key": "gone", "type": "boolean", "expires": "2020-01-01"}).status_code == 201
    return client


def names(client: Client, query: str = "") -> list[str]:
    return [item["flag"] for item in client.get(f"{STALE}{query}").json["items"]]


def test_stale_flags_are_listed_with_why_and_whose(expired: Client) -> None:
    (item,) = expired.get(STALE, by="viewer").json["items"]
    assert (item["service"], item["flag"], item["reason"], item["environment"]) == (
        "checkout",
        "gone",
        "expired",
        "production",
    )
    assert item["sentence"] == "Its expiry date has passed." and item["snoozed"] is None
    assert names(expired, "?service=checkout&environment=staging") == ["gone"]
    assert expired.get(f"{STALE}?service=nowhere").status_code == 404


def test_a_snooze_is_put_and_deleted(expired: Client) -> None:
    answer = expired.put(SNOOZE, {"until": UNTIL, "reason": "the sale"}, by="editor")
    assert answer.status_code == 200 and answer.json["until"] == UNTIL
    assert names(expired, "?snoozed=false") == [] and names(expired, "?snoozed=true") == ["gone"]
    assert names(expired) == ["gone"]
    assert expired.delete(SNOOZE, by="editor").status_code == 204
    assert expired.delete(SNOOZE, by="editor").status_code == 404
    assert names(expired, "?snoozed=false") == ["gone"]


def test_who_may_not_and_what_makes_no_sense(expired: Client) -> None:
    body = {"until": UNTIL, "reason": "the sale"}
    assert expired.put(SNOOZE, body, by="operator").status_code == 403
    assert expired.put(SNOOZE, body, by="stranger").status_code == 403
    assert expired.get(STALE, by="killer").status_code == 403
    for wrong in ({"until": UNTIL}, {"until": "2020-01-01", "reason": "x"}, {"until": "soon", "reason": "x"}):
        assert expired.put(SNOOZE, wrong).status_code == 422
    assert expired.get(f"{STALE}?snoozed=maybe").status_code == 422
