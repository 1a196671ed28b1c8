"""Prometheus' own promtool takes the alerts, and each fires where the table says and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from harness.cluster import ROOT

from barecluster import build
from barecluster.settings import cache_root

ALERTS = ROOT / "helm" / "llm-training-operator" / "monitoring" / "alerts.yaml"


@pytest.fixture(scope="module")
def promtool() -> Path:
    [folder] = build.ensure(["prometheus"], cache_root())
    return folder / "promtool"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, text=True, capture_output=True, check=False, timeout=120)


def test_they_are_rules(promtool: Path) -> None:
    done = run(promtool, "check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11 rules found" in done.stdout


def test_each_fires_where_it_should(promtool: Path) -> None:
    done = run(promtool, "test", "rules", ROOT / "tests" / "rules" / "alerts_test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_never_fires_is_found(promtool: Path, tmp_path: Path) -> None:
    broken = ALERTS.read_text().replace("== 0\n        for: 5m", "== -1\n        for: 5m", 1)
    assert broken != ALERTS.read_text()
    (tmp_path / "alerts.yaml").write_text(broken)
    table = (ROOT / "tests" / "rules" / "alerts_test.yaml").read_text()
    first, rest = table.split("rule_files: ", 1)
    text = f"{first}rule_files: [{tmp_path}/alerts.yaml]\n" + rest.split("\n", 1)[1]
    (tmp_path / "test.yaml").write_text(text)
    done = run(promtool, "test", "rules", tmp_path / "test.yaml")
    assert done.returncode != 0
    assert "LLMTrainingJobStalled" in done.stdout + done.stderr
