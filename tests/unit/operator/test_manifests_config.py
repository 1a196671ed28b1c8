"""The ConfigMap of an attempt."""

from __future__ import annotations

import json

from harness.jobs import FACTS, SETTINGS, T0, UID, job, manifest, running, seen

from llmtrain_api import JobFile, ModelFacts, changed, parse_spec
from llmtrain_operator.manifests.config import config_map
from llmtrain_operator.manifests.service import service
from llmtrain_operator.plan.resolved import resolve
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


def test_ranks_are_told_why_and_of_the_model_once() -> None:
    asked = parse_spec(manifest(model={"name": "owner/base"})["spec"], strict=True)
    facts = ModelFacts.model_validate(FACTS)
    known = changed(resolve(asked, facts.shape, "image@sha256:1"), model=facts)
    found = job(running(resolved=known), model={"name": "owner/base"})
    told = JobFile.model_validate_json(config_map(found, asked, 0, SETTINGS)["data"]["job.json"])
    assert told.resolved == changed(known, model=None)
    assert told.model == facts
