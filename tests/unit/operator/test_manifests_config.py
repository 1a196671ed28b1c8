"""The ConfigMap of an attempt."""

from __future__ import annotations

import json

from harness.jobs import SETTINGS, T0, UID, job, seen

from llmtrain_api import JobFile
from llmtrain_operator.manifests.config import config_map
from llmtrain_operator.manifests.service import service
from llmtrain_operator.plan.situation import look


def test_config_is_immutable_and_says_where_the_ranks_meet() -> None:
    found = look(seen(job()), T0)
    assert found.spec is not None
    manifest = config_map(found.job, found.spec, 2, SETTINGS)
    assert manifest["immutable"] is True
    told = JobFile.model_validate(json.loads(manifest["data"]["job.json"]), extra="forbid")
    assert told.rendezvous.master_address == "tiny-2-0.tiny-master.default.svc"
    assert told.rendezvous.id == f"{UID}-2"
    assert told.output == "/mnt/output/tiny"
    assert service(found.job)["spec"]["publishNotReadyAddresses"] is True
