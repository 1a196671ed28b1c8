"""`output.publish.mlflow` of a real job: what a real server has in the end, by the library of users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.mlflow_server import MlflowServer, library, mlflow_server
from harness.trainer.launches import Launch
from harness.trainer.told_pushes import told_of_push

pytestmark = [pytest.mark.timeout(1800), pytest.mark.proof]
TOKEN = "of-somebody-who-may"


def ran(work: Path, server: MlflowServer, attempt: int = 0) -> dict[str, Any]:
    """The job to its end; what its pod's last words say of the push."""
    asked = job(
        work / "output",
        attempt=attempt,
        processesPerNode=1,
        training={"maxSteps": 4, "microBatchSize": 8},
        output={"publish": {"mlflow": {"uri": server.uri, "model": "helpdesk"}}},
    )
    variables = {"PUBLISH_MLFLOW_TRACKING_TOKEN": TOKEN}
    return told_of_push(Launch(work, asked, more=variables, libraries=library()), TOKEN)


def test_the_registry_has_one_version_with_the_verified_export(work: Path) -> None:
    with mlflow_server(work / "mlflow") as server:
        first = ran(work, server)
        [version] = server.versions("helpdesk")
        assert (first["mlflow"], first["modelVersion"]) == ("helpdesk", version["version"])
        assert version["status"] == "READY"
        export = work / "output" / "export"
        there = {str(p.relative_to(export)): p.read_bytes() for p in export.rglob("*") if p.is_file()}
        assert server.files(version["source"]) == there
        assert {"key": "dev.llmtrain.step", "value": "4"} in version["tags"]
        # as if the pod had died before the end was on record
        (work / "output" / "COMPLETE").unlink()
        (work / "output" / "published.json").unlink()
        assert ran(work, server, attempt=1) == first
        assert len(server.versions("helpdesk")) == 1
