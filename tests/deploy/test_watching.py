"""Alarms and dashboard ask for metrics that a server has, with labels that they have, and each alarm is explained."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.api import FLAG, open_client, settle
from support.fleet import Instance
from support.guides import blocks
from support.redis import FakeRedis
from support.tools import tool
from support.typed import Terminal, environment

REPOSITORY = Path(__file__).parents[2]
PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
DASHBOARD: dict[str, Any] = json.loads((REPOSITORY / "deploy" / "grafana" / "downhaul.json").read_text())
RULES: list[dict[str, str]] = yaml.safe_load((PROMETHEUS / "downhaul.rules.yml").read_text())["groups"][0]["rules"]
TESTS: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "downhaul.rules.test.yml").read_text())["tests"]
MARK = "tried by tests/deploy/test_watching.py"
GUIDE = (REPOSITORY / "docs" / "watching.md").read_text()

ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OF_PROMETHEUS = {"up"}
LABELS_OF_PROMETHEUS = {"instance", "job", "le"}
GRAFANA = {"$__rate_interval": "1m", "$service": "checkout", "$environment": "production"}
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
NAME = re.compile(r"\b(?:downhaul[\w:]*)")
PART = re.compile(r"_(bucket|count|sum)$")


def expressions() -> Iterator[tuple[str, str]]:
    """Every question to Prometheus in alarms and dashboard, and where it stands."""
    for rule in RULES:
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


ALL = list(expressions())
EACH = pytest.mark.parametrize(("where", "expression"), ALL, ids=[where for where, _ in ALL])


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a server tells after it has done everything that it counts."""
    with open_client(FakeRedis(), tmp_path_factory.mktemp("data")) as client:
        settle(client)
        Instance().report(client.services)
        client.get("/sdk/v1/snapshot?service=checkout", by="sdk")
        client.post(f"{FLAG}/kill")
        client.post("/api/v1/drills", {"wait": 0})
        text: str = client.get("/metrics", by=None).text
        return text


@pytest.fixture(scope="module")
def known(metrics: str) -> dict[str, set[str]]:
    """Each metric with its labels: those that it has now, and those of the guide."""
    found = {name: set[str]() for name in re.findall(r"^# TYPE (\w+)", metrics, re.MULTILINE)}
    for name, labels in re.findall(r"^(\w+)\{([^}]*)\}", metrics, re.MULTILINE):
        found.setdefault(PART.sub("", name) if PART.sub("", name) in found else name, set()).update(
            re.findall(r"(\w+)=", labels)
        )
    guide = (REPOSITORY / "docs" / "api.md").read_text()
    for name, labels in re.findall(r"^\| `(downhaul_\w+)` \| ([^|]*) \|", guide, re.MULTILINE):
        found[name].update(re.findall(r"`(\w+)`", labels))
    return found


def base(name: str, known: dict[str, set[str]]) -> str:
    """A metric's name without what a histogram appends to it."""
    return name if name in known else PART.sub("", name)


@EACH
def test_it_asks_for_metrics_that_there_are(where: str, expression: str, known: dict[str, set[str]]) -> None:
    names = set(NAME.findall(re.sub(r'"[^"]*"', "", expression)))
    assert names or "up{" in expression, "it asks for nothing of ours"
    assert {name for name in names if base(name, known) not in known} <= RECORDED


@EACH
def test_it_selects_by_labels_that_they_have(where: str, expression: str, known: dict[str, set[str]]) -> None:
    for name, selectors in SELECTOR.findall(expression):
        labels = set(re.findall(r'(\w+)\s*[=!]~?\s*"', selectors))
        allowed = known.get(base(name, known), set()) | LABELS_OF_PROMETHEUS
        assert labels <= allowed, (name, labels - allowed)


def test_what_alarms_and_panels_group_by_is_a_label(known: dict[str, set[str]]) -> None:
    labels = set().union(*known.values()) | LABELS_OF_PROMETHEUS
    for where, expression in ALL:
        for group in re.findall(r"\bby \(([^)]*)\)", expression):
            assert {each.strip() for each in group.split(",")} <= labels, where


def test_each_question_is_promql(tmp_path: Path) -> None:
    """Of the dashboard: those of the rules are read by `promtool test rules` in `make check`."""
    rules = []
    for panel in PANELS:
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in GRAFANA.items():
                expression = expression.replace(variable, value)
            assert "$" not in expression, panel["title"]
            rules.append({"record": f"panel:{panel['id']}:{target['refId']}", "expr": expression})
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [tool("promtool", "make promtool"), "check", "rules", path], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_what_a_server_tells_is_prometheus_format(metrics: str) -> None:
    done = subprocess.run(
        [tool("promtool", "make promtool"), "check", "metrics"],
        input=metrics,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_guide_has_rules_and_a_configuration_that_promtool_takes(tmp_path: Path) -> None:
    tool("promtool", "make promtool")
    (rules,) = (block for block in blocks("docs/watching.md", "sh") if block.mark == MARK)
    (scraped,) = blocks("docs/watching.md", "yaml")
    (tmp_path / "prometheus.yml").write_text(scraped.text)
    (tmp_path / "deploy").symlink_to(REPOSITORY / "deploy")
    with Terminal(tmp_path, environment()) as terminal:
        assert "SUCCESS" in terminal.type(rules.text)
        assert "SUCCESS" in terminal.type("promtool check config prometheus.yml")


class TestRules:
    @pytest.mark.parametrize("name", [rule["alert"] for rule in ALERTS])
    def test_each_alarm_is_tried_both_ways(self, name: str) -> None:
        tried = [each for test in TESTS for each in test.get("alert_rule_test", ()) if each["alertname"] == name]
        assert any(each.get("exp_alerts") for each in tried), "nothing shows that it goes off"
        assert any(not each.get("exp_alerts") for each in tried), "nothing shows that it stays silent"

    @pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
    def test_each_says_what_to_do(self, rule: Any) -> None:
        assert f"\n### {rule['alert']}\n" in GUIDE
        assert rule["annotations"]["runbook"] == f"docs/watching.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")

    def test_the_guide_explains_no_alarm_that_there_is_not(self) -> None:
        assert re.findall(r"^### (Downhaul\w+)$", GUIDE, re.MULTILINE) == [rule["alert"] for rule in ALERTS]


class TestDashboard:
    def test_panels_have_an_id_of_their_own_and_lie_side_by_side(self) -> None:
        assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
        taken: set[tuple[int, int]] = set()
        for panel in DASHBOARD["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {
                (column, row)
                for column in range(place["x"], place["x"] + place["w"])
                for row in range(place["y"], place["y"] + place["h"])
            }
            assert taken.isdisjoint(cells), panel["title"]
            taken |= cells

    def test_it_can_be_given_any_data_source(self) -> None:
        assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
        text = json.dumps(DASHBOARD)
        assert set(re.findall(r'"uid": "([^"]*)"', text)) == {"${datasource}", DASHBOARD["uid"]}

    def test_each_panel_is_explained(self) -> None:
        assert all(panel["description"].endswith(".") for panel in PANELS)

    def test_it_shows_every_metric_or_an_alarm_does(self, known: dict[str, set[str]]) -> None:
        shown = {base(name, known) for _, expression in ALL for name in NAME.findall(expression)}
        assert {name for name in known if not name.endswith("_created")} - shown == set()
