"""The end of a job's object, as the engine carries it out."""

from __future__ import annotations

import pytest
from harness.jobs import manifest

from llmtrain_api import Job
from llmtrain_api.names import PLURAL
from llmtrain_operator.engine.apply import Applier
from llmtrain_operator.kube.api import ApiError
from llmtrain_operator.kube.jobs import JobStore
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.types import DeleteJob, RefusalKind


async def test_only_that_very_job_goes_and_going_twice_is_no_error() -> None:
    api = MemoryApi()
    job = Job.model_validate(await api.create(PLURAL, "default", manifest()))
    applier = Applier(api, PodStore(), JobStore())
    assert await applier.act(job, (DeleteJob("another"),)) is None
    assert api.peek(PLURAL, "default", "tiny") is not None, "a job applied meanwhile under this name"
    for _ in range(2):
        assert await applier.act(job, (DeleteJob(job.metadata.uid),)) is None
        assert api.peek(PLURAL, "default", "tiny") is None


async def test_a_right_that_is_missing_is_no_loop_without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forbidden(*_: object) -> None:
        raise ApiError(403, "Forbidden", "cannot delete resource llmtrainingjobs")

    api = MemoryApi()
    job = Job.model_validate(await api.create(PLURAL, "default", manifest()))
    monkeypatch.setattr(api, "delete", forbidden)
    refusal = await Applier(api, PodStore(), JobStore()).act(job, (DeleteJob(job.metadata.uid),))
    assert refusal is not None
    assert refusal.kind is RefusalKind.DELETION
