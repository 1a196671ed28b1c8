"""`output.publish` of real jobs: what a hub has in the end, and what a hub that says no changes of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.hub_uploads import Uploads, writable_hub
from harness.trainer.launches import Launch
from harness.trainer.told_pushes import told_of_push

from llmtrain_api import JobFile

pytestmark = [pytest.mark.timeout(600), pytest.mark.proof]
HUB = "acme/helpdesk"


def asked(work: Path, attempt: int = 0) -> JobFile:
    return job(
        work / "output",
        attempt=attempt,
        processesPerNode=1,
        training={"maxSteps": 4, "microBatchSize": 8},
        output={"publish": {"hub": HUB, "revision": "v1", "secret": "hub"}},
    )


def ran(work: Path, server: Uploads, token: str, attempt: int = 0) -> dict[str, Any]:
    """The job to its end; what its pod's last words say of the push."""
    variables = {
        "PUBLISH_HF_TOKEN": token,
        "PUBLISH_HF_ENDPOINT": server.server.endpoint,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(work / "home"),
    }
    # cold: the library reads its settings when it is imported
    return told_of_push(Launch(work, asked(work, attempt), more=variables, cold=True), token)


def test_a_job_that_may_not_push_has_succeeded_and_says_why(work: Path) -> None:
    with writable_hub() as server:
        told = ran(work, server, "hf_of_somebody_else")
    assert "the hub answers 403" in told["error"]
    assert HUB in told["error"]
    assert server.commits == []
    assert (work / "output" / "COMPLETE").exists()
    assert (work / "output" / "export" / "config.json").exists()


def test_the_hub_has_the_verified_export_and_a_restart_pushes_it_once(work: Path) -> None:
    with writable_hub() as server:
        first = ran(work, server, server.token)
        [commit] = server.commits
        assert (first["commit"], first["revision"]) == (commit.id, "v1")
        export = work / "output" / "export"
        files = server.files(HUB, "v1")
        for name in ("config.json", "model.safetensors", "tokenizer.json", "README.md"):
            assert files[name] == (export / name).read_bytes()
        # as if the pod had died before the end was on record
        (work / "output" / "COMPLETE").unlink()
        assert ran(work, server, server.token, attempt=1) == first
        (work / "output" / "COMPLETE").unlink()
        (work / "output" / "published.json").unlink()
        assert ran(work, server, server.token, attempt=2) == first
        assert len(server.commits) == 1
