"""The page of a sweep: its trials beside each other, for those who may see its jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from harness.jobs import manifest, running
from harness.web import Cluster, Holder, Reviews, Site, served

from llmtrain.backend import Backend
from llmtrain.errors import NotFound
from llmtrain.local_backend import LocalBackend
from llmtrain.web.access import Reviewed, User
from llmtrain.web.sweeps import MAX_CURVES, drawn, sweep_page
from llmtrain_api import Job, Phase, Progress
from llmtrain_api.names import LABEL_SWEEP, PLURAL
from llmtrain_api.schema.status.sweep import BestTrial, SweepPhase, SweepStatus, TrialRecord
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.local.saved_jobs import JobFolder
from llmtrain_operator.local.saved_sweeps import load_sweep, save_sweep

SPEC: dict[str, Any] = {
    "job": manifest()["spec"],
    "search": "grid",
    "objective": {"metric": "evalLoss"},
    "parameters": [{"field": "training.learningRate", "values": [0.1, 0.01, 0.001]}],
}


def trial(name: str, sweep: str, namespace: str = "team-a", **status: Any) -> dict[str, Any]:
    found = manifest(name, namespace)
    found["metadata"] |= {"uid": f"uid-{name}", "labels": {LABEL_SWEEP: sweep}}
    return found | {"status": running(**status).to_json()}


def records(count: int) -> list[TrialRecord]:
    return [
        TrialRecord(
            job=f"rates-{k}", number=k, values={"training.learningRate": str(0.1 / 10**k)}, phase="Making"
        )
        for k in range(count)
    ]


def status(count: int = 3) -> SweepStatus:
    best = BestTrial(job="rates-1", values={"training.learningRate": "0.01"}, value=1.5, value_text="1.500")
    return SweepStatus(phase=SweepPhase.RUNNING, summary=f"1/{count}", trials=records(count), best=best)


def swept(count: int = 3, spec: Any = SPEC) -> dict[str, Any]:
    meta = {"name": "rates", "namespace": "team-a"}
    return {"metadata": meta, "spec": spec, "status": status(count).to_json()}


def test_a_page_has_each_trial_with_its_values_and_what_its_own_job_says() -> None:
    jobs = {"rates-0": Job.model_validate(trial("rates-0", "rates", progress=Progress(step=3, loss=2.0)))}
    page = sweep_page(swept(), jobs)
    assert (page["phase"], page["summary"], page["best"]) == ("Running", "1/3", "rates-1")
    assert (page["metric"], page["minimizes"], page["fields"]) == (
        "evalLoss",
        True,
        ["training.learningRate"],
    )
    first, second, _ = page["trials"]
    assert (first["phase"], first["row"]["step"], first["row"]["sweep"]) == ("Running", 3, "rates")
    assert (second["phase"], second["row"]) == ("Making", None), "its job is gone, or not made"
    assert drawn(page) == ["rates-0"]


@pytest.mark.parametrize("spec", [None, {"job": 3}, {"parameters": "x"}])
def test_a_spec_that_cannot_be_read_hides_no_trial(spec: Any) -> None:
    page = sweep_page(swept(spec=spec), {})
    assert page["fields"] == ["training.learningRate"]
    assert len(page["trials"]) == 3
    assert sweep_page({"metadata": {"name": "x"}, "status": {"trials": 3}}, {})["trials"] == []


def test_of_many_trials_the_best_and_those_that_run_are_drawn() -> None:
    over = {f"rates-{k}": Phase.SUCCEEDED if k < 90 else Phase.RUNNING for k in range(100)}
    jobs = {name: Job.model_validate(trial(name, "rates", phase=phase)) for name, phase in over.items()}
    names = drawn(sweep_page(swept(100), jobs))
    assert len(names) == MAX_CURVES
    assert names[0] == "rates-1"
    assert {f"rates-{k}" for k in range(90, 100)} <= set(names)


class Sweeping(Cluster):
    """A cluster with a sweep in namespace team-a."""

    def backend(self, user: User) -> Backend:
        return HolderOfSweeps(user, self.done)


class HolderOfSweeps(Holder):
    def sweep(self, namespace: str, name: str) -> dict[str, Any]:
        self._done.append((self._user.token, "get", namespace, name))
        if (namespace, name) != ("team-a", "rates"):
            raise NotFound(f"there is no sweep {name} in namespace {namespace}")
        return swept()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    api = MemoryApi()
    for name, namespace, sweep in (
        ("rates-0", "team-a", "rates"),
        ("rates-1", "team-a", "another"),
        ("rates-2", "team-b", "rates"),
    ):
        found = trial(name, sweep, namespace, progress=Progress(step=2, loss=2.5))
        await api.create(PLURAL, namespace, found)
        await api.patch_status(PLURAL, namespace, name, {"status": found["status"]})
    async with served(Sweeping(api), Reviewed(Reviews())) as found_site:
        yield found_site


async def test_a_sweep_is_read_as_the_user_and_shows_its_own_jobs_alone(site: Site) -> None:
    code, page = await site.get("/api/sweeps/team-a/rates", "anna-token")
    assert code == 200, page
    assert site.source.done == [("anna-token", "get", "team-a", "rates")]
    assert [one["row"] is not None for one in page["trials"]] == [True, False, False], "label and namespace"
    assert page["curves"]["rates-0"]["columns"]["loss"] == [2.5]
    assert (await site.get("/api/sweeps/team-b/rates", "anna-token"))[0] == 403
    assert (await site.get("/api/sweeps/team-a/rates", "stranger-token"))[0] == 403
    assert (await site.get("/api/sweeps/team-a/rates", ""))[0] == 401
    code, answer = await site.get("/api/sweeps/team-a/none", "anna-token")
    assert (code, answer["error"]) == (404, "there is no sweep none in namespace team-a")


def test_a_sweep_of_this_machine_is_kept_where_no_job_is(tmp_path: Path) -> None:
    save_sweep(tmp_path, "team-a", "rates", SPEC, status())
    found = LocalBackend(tmp_path).sweep("team-a", "rates")
    assert found["spec"] == SPEC
    assert SweepStatus.model_validate(found["status"]) == status()
    assert LocalBackend(tmp_path).jobs(None) == [], "it is no job"
    with pytest.raises(NotFound, match="no sweep rates was run"):
        LocalBackend(tmp_path).sweep("default", "rates")
    assert load_sweep(tmp_path, "default", "../../etc/passwd") is None
    for name in ("sweep", "rates"):
        JobFolder(tmp_path, "team-a", name).save(trial(name, "rates"), "out")
    assert LocalBackend(tmp_path).sweep("team-a", "rates") == found
