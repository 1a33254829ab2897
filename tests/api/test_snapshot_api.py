"""The snapshot, as instances poll it."""

from __future__ import annotations

import json

import pytest
from downhaul_server.api.polls import Polls
from downhaul_server.store.view import Freshness
from support.api import FLAG, STATE, Client, problem

SNAPSHOT = "/sdk/v1/snapshot?service=checkout"


def test_it_is_the_envelope_with_a_strong_etag(client: Client) -> None:
    answer = client.get(SNAPSHOT, by="sdk")
    envelope = answer.json
    assert (envelope["service"], envelope["environment"]) == ("checkout", "production")
    assert list(envelope["flags"]) == ["new-checkout"] and envelope["flag_count"] == 1
    assert answer.headers["ETag"] == f'"{envelope["epoch"]}:{envelope["revision"]}"'
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "Authorization"
    assert answer.content_type == "application/json"


def test_a_poll_that_knows_it_is_304_and_small(client: Client) -> None:
    etag = client.get(SNAPSHOT, by="sdk").headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        answer = client.get(SNAPSHOT, by="sdk", if_none_match=known)
        assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", etag)
    assert client.get(SNAPSHOT, by="sdk", if_none_match='"other"').status_code == 200


def test_a_change_of_the_service_is_a_new_snapshot_and_of_another_environment_is_none(client: Client) -> None:
    etag = client.get(SNAPSHOT, by="sdk").headers["ETag"]
    client.patch(f"{FLAG}/environments/staging", {"on": True})
    assert client.get(SNAPSHOT, by="sdk", if_none_match=etag).status_code == 304
    client.patch(STATE, {"on": True})
    answer = client.get(SNAPSHOT, by="sdk", if_none_match=etag)
    assert answer.status_code == 200 and answer.json["flags"]["new-checkout"]["on"] is True


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 422), ("?service=", 422), ("?service=checkout&service=x", 422), ("?service=checkout&x=1", 422)],
)
def test_what_is_wrong_in_the_query_is_refused(client: Client, query: str, status: int) -> None:
    assert client.get(f"/sdk/v1/snapshot{query}", by="sdk").status_code == status


def test_a_service_that_the_key_does_not_name_is_403(client: Client) -> None:
    for service in ("payments", "nothing"):
        assert problem(client.get(f"/sdk/v1/snapshot?service={service}", by="sdk")) == (403, "forbidden")


def test_a_key_for_all_services_gets_404_for_one_that_is_not_there(client: Client) -> None:
    body = {"kind": "sdk", "name": "all", "environment": "production", "services": ["*"]}
    client.tokens["all"] = client.post("/api/v1/keys", body).json["token"]
    assert client.get("/sdk/v1/snapshot?service=payments", by="all").status_code == 200
    assert problem(client.get("/sdk/v1/snapshot?service=nothing", by="all")) == (404, "not-found")


def test_the_service_may_be_written_in_any_encoding_of_a_query(client: Client) -> None:
    assert client.get("/sdk/v1/snapshot?service=%63heckout", by="sdk").status_code == 200


def test_polls_are_counted(client: Client) -> None:
    etag = client.get(SNAPSHOT, by="sdk").headers["ETag"]
    client.get(SNAPSHOT, by="sdk", if_none_match=etag)
    metrics = client.get("/metrics", by=None).text
    assert 'downhaul_snapshot_requests_total{status="200"} 1.0' in metrics
    assert 'downhaul_snapshot_requests_total{status="304"} 1.0' in metrics


def test_a_304_is_logged_at_debug_only(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    etag = client.get(SNAPSHOT, by="sdk").headers["ETag"]
    client.get(SNAPSHOT, by="sdk", if_none_match=etag)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "snapshot" in line]
    assert [line["status"] for line in lines] == [200]


class TestTheShortWay:
    """A poll that brings nothing new does not go through Flask."""

    def test_it_ends_like_the_long_one(self, client: Client) -> None:
        etag = client.get(SNAPSHOT, by="sdk").headers["ETag"]
        short = client.get(SNAPSHOT, by="sdk", if_none_match=etag, x_request_id="same")
        assert isinstance(client.app.wsgi_app, Polls)
        client.app.wsgi_app = client.app.wsgi_app._app
        long = client.get(SNAPSHOT, by="sdk", if_none_match=etag, x_request_id="same")
        assert (short.status, sorted(short.headers)) == (long.status, sorted(long.headers))

    def test_it_lets_nobody_in(self, client: Client) -> None:
        etag = client.get(SNAPSHOT, by="sdk").headers["ETag"]
        assert problem(client.get(SNAPSHOT, by=None, if_none_match=etag)) == (401, "unauthenticated")
        assert problem(client.get(SNAPSHOT, by="editor", if_none_match=etag)) == (403, "forbidden")
        elsewhere = "/sdk/v1/snapshot?service=payments"
        assert problem(client.get(elsewhere, by="sdk", if_none_match=etag)) == (403, "forbidden")
        (key,) = client.get("/api/v1/keys?kind=sdk").json["items"]
        client.delete(f"/api/v1/keys/{key['id']}")
        assert problem(client.get(SNAPSHOT, by="sdk", if_none_match=etag)) == (401, "unauthenticated")

    def test_other_methods_and_queries_take_the_long_one(self, client: Client) -> None:
        etag = client.get(SNAPSHOT, by="sdk").headers["ETag"]
        assert client.call("HEAD", SNAPSHOT, by="sdk", if_none_match=etag).status_code == 304
        assert client.post(SNAPSHOT, by="sdk", if_none_match=etag).status_code == 405
        assert client.get(f"{SNAPSHOT}&x=1", by="sdk", if_none_match=etag).status_code == 422


class TestAge:
    """While Redis is away, what is served says how old it is."""

    @pytest.fixture
    def etag(self, client: Client) -> str:
        return client.get(SNAPSHOT, by="sdk").headers["ETag"]

    @pytest.mark.parametrize("seconds", [2.5, 90.0])
    def test_polls_of_an_old_snapshot_carry_it(
        self, client: Client, etag: str, monkeypatch: pytest.MonkeyPatch, seconds: float
    ) -> None:
        monkeypatch.setattr(Freshness, "age_s", seconds)
        for known in (etag, '"other"'):
            assert client.get(SNAPSHOT, by="sdk", if_none_match=known).headers["Age"] == str(int(seconds))

    def test_one_that_is_confirmed_carries_none(self, client: Client, etag: str) -> None:
        for known in (etag, '"other"'):
            assert "Age" not in client.get(SNAPSHOT, by="sdk", if_none_match=known).headers
