"""`output.publish.oci` of real jobs: what a registry of the distribution project has in the end."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.distribution import PASSWORD, USER, Distribution, distribution
from harness.trainer.launches import Launch
from harness.trainer.told_pushes import told_of_push

from llmtrain_api import JobFile

pytestmark = [pytest.mark.timeout(900), pytest.mark.proof]
REPOSITORY = "team/helpdesk"


def asked(work: Path, server: Distribution, attempt: int = 0) -> JobFile:
    return job(
        work / "output",
        attempt=attempt,
        processesPerNode=1,
        training={"maxSteps": 4, "microBatchSize": 8},
        output={"publish": {"oci": f"{server.host}/{REPOSITORY}", "tag": "v1", "secret": "registry"}},
    )


def ran(work: Path, server: Distribution, password: str, attempt: int = 0) -> dict[str, Any]:
    """The job to its end; what its pod's last words say of the push."""
    auths = {server.host: {"username": USER, "password": password}}
    variables = {"PUBLISH_DOCKERCONFIGJSON": json.dumps({"auths": auths})}
    return told_of_push(Launch(work, asked(work, server, attempt), more=variables), password)


def test_a_job_that_may_not_push_has_succeeded_and_says_why(work: Path) -> None:
    with distribution(work / "registry") as server:
        told = ran(work, server, "of-somebody-else")
    assert "the registry answers 401" in told["error"]
    assert REPOSITORY in told["error"]
    assert "digest" not in told
    assert (work / "output" / "COMPLETE").exists()
    assert (work / "output" / "export" / "config.json").exists()


def test_the_registry_has_the_verified_export_and_a_restart_pushes_it_once(work: Path) -> None:
    with distribution(work / "registry") as server:
        first = ran(work, server, PASSWORD)
        assert first["url"] == f"oci://{server.host}/{REPOSITORY}@{first['digest']}"
        pushed = server.get(f"{REPOSITORY}/manifests/v1")
        assert f"sha256:{hashlib.sha256(pushed).hexdigest()}" == first["digest"]
        export = work / "output" / "export"
        there = {f"models/{p.relative_to(export)}": p.read_bytes() for p in export.rglob("*") if p.is_file()}
        assert server.files(REPOSITORY, "v1") == there
        said = server.manifest(REPOSITORY, "v1")["annotations"]
        assert said["dev.llmtrain.step"] == "4"
        # as if the pod had died before the end was on record
        (work / "output" / "COMPLETE").unlink()
        assert ran(work, server, PASSWORD, attempt=1) == first
        (work / "output" / "COMPLETE").unlink()
        (work / "output" / "published.json").unlink()
        assert ran(work, server, PASSWORD, attempt=2) == first
        puts = [line for line in server.log.read_text().splitlines() if "PUT /v2/" in line]
        assert len([line for line in puts if "/manifests/v1" in line]) == 1
