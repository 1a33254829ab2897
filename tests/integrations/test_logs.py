"""Log records tell which flags their request has evaluated."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import structlog
from downhaul.client import Client
from downhaul.integrations import logs
from downhaul.integrations.scopes import Scopes

shop = logging.getLogger("shop")


@pytest.fixture
def request_of_anna(client: Client) -> Iterator[None]:
    with Scopes(lambda request: {"user": "anna"}, client).around(None):
        client.enabled("new-checkout")
        client.value("colour")
        yield


class TestRecords:
    def test_have_what_was_evaluated_until_then(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        with Scopes(None, client).around(None):
            shop.warning("before")
            client.enabled("banner")
            shop.warning("after")
        shop.warning("outside")
        assert [record.feature_flags for record in caplog.records] == [{}, {"banner": "on"}, {}]  # type: ignore[attr-defined]

    @pytest.mark.usefixtures("request_of_anna")
    def test_can_be_formatted(self) -> None:
        record = logging.makeLogRecord({})
        record = shop.makeRecord("shop", logging.INFO, __file__, 1, "paid", (), None)
        line = logging.Formatter("%(message)s %(feature_flags)s").format(record)
        assert line == "paid {'new-checkout': 'on', 'colour': 'blue'}"

    @pytest.mark.usefixtures("request_of_anna")
    def test_come_from_the_factory_that_was_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = logging.getLogRecordFactory()

        class Record(logging.LogRecord):
            """The program's own."""

        try:
            logging.setLogRecordFactory(Record)
            monkeypatch.setattr(logs, "_installed", False)
            logs.install()
            logs.install()
            record = shop.makeRecord("shop", logging.INFO, __file__, 1, "paid", (), None)
        finally:
            logging.setLogRecordFactory(before)
        assert isinstance(record, Record)
        assert record.feature_flags == {"new-checkout": "on", "colour": "blue"}  # type: ignore[attr-defined]


class TestFilter:
    @pytest.mark.usefixtures("request_of_anna")
    def test_adds_them_where_no_factory_does(self) -> None:
        record = logging.LogRecord("shop", logging.INFO, __file__, 1, "paid", (), None)
        assert logs.FeatureFlags().filter(record) is True
        assert record.feature_flags == {"new-checkout": "on", "colour": "blue"}  # type: ignore[attr-defined]

    def test_finds_those_of_a_request_that_is_over(self, client: Client) -> None:
        with Scopes(None, client).around(None) as scope:
            client.enabled("banner")
        record = logging.LogRecord("django.request", logging.WARNING, __file__, 1, "Not Found", (), None)
        record.request = SimpleNamespace(META={logs.KEY: scope.recording})
        logs.FeatureFlags().filter(record)
        assert record.feature_flags == {"banner": "on"}  # type: ignore[attr-defined]

    @pytest.mark.parametrize("request_", [None, object(), SimpleNamespace(META=None), SimpleNamespace(META={})])
    def test_is_content_with_none(self, request_: object) -> None:
        record = logging.LogRecord("shop", logging.WARNING, __file__, 1, "", (), None)
        record.request = request_
        logs.FeatureFlags().filter(record)
        assert record.feature_flags == {}  # type: ignore[attr-defined]


def test_structlog_has_a_processor(client: Client) -> None:
    with structlog.testing.capture_logs([logs.add_feature_flags]) as events:
        log = structlog.get_logger()
        log.info("outside")
        with Scopes(None, client).around(None):
            client.enabled("banner")
            log.info("inside", order=17)
    assert events == [
        {"event": "outside", "log_level": "info"},
        {"event": "inside", "log_level": "info", "order": 17, "feature_flags": {"banner": "on"}},
    ]
