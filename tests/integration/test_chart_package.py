"""The chart that `make release` packs is the chart, to Helm too."""

from __future__ import annotations

from pathlib import Path

from harness.charts import CHART, helm, text_of

from releasing import archives
from releasing.version import ROOT, version_of


def test_helm_takes_the_archive_and_renders_the_same(tmp_path: Path) -> None:
    version = version_of(ROOT)
    archive = tmp_path / f"llm-training-operator-{version}.tgz"
    archive.write_bytes(archives.packed(CHART, "llm-training-operator", 0, first="Chart.yaml"))
    settings = ("web.enabled=true", "monitoring.dashboards=true", "monitoring.rules=true")
    assert text_of(archive, "jobs", *settings) == text_of(CHART, "jobs", *settings)
    assert f"version: {version}" in helm("show", "chart", archive)
    helm("lint", "--strict", archive)
