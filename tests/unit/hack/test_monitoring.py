"""What boards and alerts ask for is there, by the names that our own servers expose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import torch
import yaml
from harness.builders import job as job_file
from harness.cluster import ROOT
from prometheus_client import CollectorRegistry

import boards
from llmtrain_operator.engine.known_jobs import KnownJobs
from llmtrain_operator.engine.workqueue import WorkQueue
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.metrics import OperatorMetrics
from llmtrain_trainer.telemetry.prometheus import JobSeries, RankSeries

FOLDER = ROOT / "helm" / "llm-training-operator" / "monitoring"
ALERTS = FOLDER / "alerts.yaml"
FOREIGN = {"kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes"}
ONLY_ON_GPUS = {"llmtrain_train_device_memory_bytes"}
RUNBOOKS = ROOT / "docs" / "runbooks.md"


def series(registry: CollectorRegistry) -> set[str]:
    """Names of all series that a server tells, those without a value yet among them."""
    found = set()
    for metric in registry.collect():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(metric.type, ("",))
        found |= {metric.name + end for end in ends}
    return found


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    ranks = RankSeries(torch.device("cpu"))
    JobSeries(ranks.registry, job_file(tmp_path_factory.mktemp("job")), with_mfu=True)
    own = OperatorMetrics(KnownJobs(), WorkQueue(), PodStore())
    return series(ranks.registry) | series(own.registry) | ONLY_ON_GPUS


def selectors(expression: Any) -> Iterator[Any]:
    """Every selector of a parsed query."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for name in ("lhs", "rhs", "expr", "param", "vector_selector", "vs"):
        inner = getattr(expression, name, None)
        if inner is not None and not isinstance(inner, str):
            yield from selectors(inner)
    for argument in getattr(expression, "args", None) or []:
        yield from selectors(argument)


def names(query: str) -> set[str]:
    plain = re.sub(r"\$(\w+)", "x", query)
    found = {str(one.name) for one in selectors(promql_parser.parse(plain))}
    assert found, query
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


QUERIES = {
    **{rule["alert"]: rule["expr"] for rule in rules()},
    **{
        f"{board.uid}: {panel.title} {legend}": query
        for board in boards.BOARDS
        for row in board.rows
        for panel in row
        for legend, query in panel.queries.items()
    },
}


@pytest.mark.parametrize("title", QUERIES)
def test_every_series_that_is_asked_for_is_exposed(title: str, exposed: set[str]) -> None:
    assert not names(QUERIES[title]) - exposed - FOREIGN


def test_a_series_that_nobody_exposes_is_found(exposed: set[str]) -> None:
    assert names("sum(rate(llmtrain_job_nothing_total[5m])) by (name) > 1") - exposed
    assert names("a / b and on (x) (c - c offset 1h) == 0") == {"a", "b", "c"}
    assert names("histogram_quantile(0.5, sum by (le) (rate(d_bucket[5m])))") == {"d_bucket"}


def test_variables_ask_for_series_that_are_exposed(exposed: set[str]) -> None:
    asked = [query for board in boards.BOARDS for query in board.choices.values()]
    assert asked
    for query in asked:
        assert set(re.findall(r"llmtrain_\w+", query)) <= exposed


def test_the_committed_boards_are_those_of_the_tables() -> None:
    committed = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert committed == boards.texts(), "make generate"


def test_panels_of_a_row_fill_it_and_none_covers_another() -> None:
    for board in boards.BOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in boards.document(board)["panels"]:
            place = panel["gridPos"]
            cells = {(x, place["y"]) for x in range(place["x"], place["x"] + place["w"])}
            assert not cells & taken, panel["title"]
            assert place["x"] + place["w"] <= boards.WIDTH
            taken |= cells


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    sections = re.findall(r"^## (\S+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert [rule["alert"] for rule in rules()] == sections
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}


def test_each_alert_is_tested_where_it_fires() -> None:
    tests = yaml.safe_load((ROOT / "tests" / "rules" / "alerts_test.yaml").read_text())["tests"]
    fired = {x["alertname"] for test in tests for x in test["alert_rule_test"] if x["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules()}
