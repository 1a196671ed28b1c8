"""Sweeps: jobs are made as they may, results decide, and an operator that dies anywhere goes on."""

from __future__ import annotations

from typing import Any

import pytest
from harness.control import eventually
from harness.jobs import T0
from harness.sweeps import jobs_of, lives, operating, status, to_the_end

from llmtrain_api.names import API_VERSION, PLURAL, SWEEP_KIND, SWEEP_PLURAL
from llmtrain_api.schema.status.sweep import SweepPhase, SweepStatus
from llmtrain_operator.kube.api import ApiError, Object
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.sweeps import controller
from llmtrain_operator.sweeps.plan import CHANGED, SeenSweep, SeenTrial, SweepPlan, plan

JOB: dict[str, Any] = {
    "model": {"name": "builtin://tiny-llama"},
    "dataset": {"name": "builtin://python-stdlib"},
    "training": {"maxSteps": 90},
    "output": {"uri": "pvc://checkpoints/sweep"},
}
RATES = {"field": "training.learningRate", "values": [1e-4, 1e-3, 1e-2, 1e-1]}


def sweep(
    status: SweepStatus | None = None, jobs: dict[str, SeenTrial] | None = None, **spec: Any
) -> SeenSweep:
    found = {"job": JOB, "parameters": [RATES], "parallel": 2, **spec}
    return SeenSweep("default", "lr", "uid-s", 1, found, status or SweepStatus(), jobs or {})


def ended(loss: float | None, phase: str = "Succeeded") -> SeenTrial:
    return SeenTrial(True, phase, {} if loss is None else {"evalLoss": loss})


def names(found: SweepPlan) -> list[str]:
    return [job["metadata"]["name"] for job in found.jobs]


class World:
    """Plans again and again; jobs are heard of when the test says so."""

    def __init__(self, **spec: Any) -> None:
        self.spec, self.jobs, self.status = spec, dict[str, SeenTrial](), SweepStatus()
        self.made: list[str] = []

    def step(self) -> SweepPlan:
        found = plan(sweep(self.status, self.jobs, **self.spec), T0)
        self.status = SweepStatus.model_validate(found.status.to_json())
        for name in names(found):
            if name not in self.jobs:
                self.made.append(name)
                self.jobs[name] = SeenTrial(True, "Running")
        return found

    def run(self, losses: dict[str, float | None]) -> None:
        for _ in range(40):
            self.step()
            running = [name for name, job in self.jobs.items() if job.phase == "Running"]
            assert len(running) <= self.spec.get("parallel", 2)
            if not running:
                return
            self.jobs[running[0]] = ended(losses.get(running[0]))
        raise AssertionError("it does not end")


def test_jobs_are_made_as_many_as_may_run() -> None:
    first = plan(sweep(), T0)
    assert names(first) == ["lr-0", "lr-1"]
    job = first.jobs[0]
    assert job["spec"]["training"]["learningRate"] == 1e-4
    assert job["metadata"]["labels"] == {"llmtrain.dev/sweep": "lr"}
    [owner] = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (SWEEP_KIND, "uid-s", True)
    assert [t.phase for t in first.status.trials] == ["Making", "Making", "Waiting", "Waiting"]
    assert first.status.summary == "0/4"
    assert first.status.phase is SweepPhase.RUNNING


def test_the_best_is_named_at_the_end() -> None:
    world = World()
    world.run({"lr-0": 3.0, "lr-1": 2.0, "lr-2": 2.5, "lr-3": None})
    assert world.made == ["lr-0", "lr-1", "lr-2", "lr-3"]
    assert world.status.phase is SweepPhase.SUCCEEDED
    assert world.status.summary == "4/4"
    best = world.status.best
    assert best is not None
    assert (best.job, best.value, best.values) == ("lr-1", 2.0, {"training.learningRate": "0.001"})
    assert world.status.trials[3].message == "its results have no evalLoss"


def test_larger_may_be_better_and_of_equals_the_first_is_the_best() -> None:
    world = World(objective={"metric": "evalLoss", "goal": "maximize"})
    world.run({"lr-0": 2.0, "lr-1": 3.0, "lr-2": 3.0, "lr-3": 1.0})
    assert world.status.best is not None
    assert world.status.best.job == "lr-1"


def test_rounds_go_on_with_the_best_alone() -> None:
    world = World(halving={"minSteps": 30, "factor": 2})
    losses: dict[str, float | None] = {"lr-0-r0": 4.0, "lr-1-r0": 1.0, "lr-2-r0": 2.0, "lr-3-r0": None}
    world.run({**losses, "lr-1-r1": 0.9, "lr-2-r1": 0.8, "lr-2-r2": 0.5})
    assert world.made[4:] == ["lr-1-r1", "lr-2-r1", "lr-2-r2"]
    assert world.status.phase is SweepPhase.SUCCEEDED
    assert world.status.best is not None
    assert (world.status.best.job, world.status.best.value) == ("lr-2-r2", 0.5)


def test_no_trial_with_a_value_is_a_failure_that_says_why() -> None:
    world = World()
    world.step()
    for name in ("lr-0", "lr-1", "lr-2", "lr-3"):
        world.jobs[name] = SeenTrial(True, "Failed", message="no such folder: /data")
    world.step()
    assert world.status.phase is SweepPhase.FAILED
    assert (
        world.status.message == "no trial has come to a value of evalLoss; the first: no such folder: /data"
    )


def test_results_stay_when_their_job_goes() -> None:
    world = World()
    world.step()
    world.jobs["lr-0"] = ended(1.5)
    world.step()
    del world.jobs["lr-0"]
    world.run({"lr-1": 2.0, "lr-2": 3.0, "lr-3": 4.0})
    assert world.status.best is not None
    assert world.status.best.job == "lr-0"
    assert world.made.count("lr-0") == 1


def test_a_job_that_is_deleted_before_its_end_is_made_again() -> None:
    world = World()
    world.step()
    world.step()
    del world.jobs["lr-0"]
    assert names(world.step()) == ["lr-0"]
    assert world.made == ["lr-0", "lr-1", "lr-0"]


def test_a_job_of_anothers_is_left_alone_and_told() -> None:
    stranger = {"lr-0": SeenTrial(False, "Succeeded", {"evalLoss": 0.0})}
    found = plan(sweep(jobs=stranger), T0)
    assert names(found) == ["lr-1", "lr-2"]
    assert found.status.message is not None
    assert "lr-0 is there that is not of this sweep" in found.status.message
    assert found.status.best is None


def test_a_suspended_sweep_begins_nothing_more() -> None:
    running = plan(sweep(), T0).status
    jobs = {"lr-0": SeenTrial(True, "Running"), "lr-1": ended(1.0)}
    paused = plan(sweep(running, jobs, suspend=True), T0)
    assert names(paused) == []
    assert paused.status.phase is SweepPhase.RUNNING
    done = {**jobs, "lr-0": ended(2.0)}
    assert plan(sweep(paused.status, done, suspend=True), T0).status.phase is SweepPhase.SUSPENDED
    assert names(plan(sweep(paused.status, done), T0)) == ["lr-2", "lr-3"]


def test_a_mistake_makes_no_job_and_names_its_field() -> None:
    found = plan(sweep(parameters=[{"field": "training.learnRate", "values": [1]}]), T0)
    assert names(found) == []
    assert found.status.phase is SweepPhase.PENDING
    [accepted] = found.status.conditions
    assert (accepted.type, accepted.status) == ("Accepted", "False")
    assert "spec.job.training.learnRate" in accepted.message
    mended = plan(sweep(found.status), T0)
    assert mended.status.conditions[0].status == "True"
    assert mended.status.message is None


def test_a_spec_that_changes_on_the_way_makes_no_more_jobs() -> None:
    begun = plan(sweep(), T0).status
    other = plan(sweep(begun, seed=3), T0)
    assert names(other) == []
    assert other.status.message == CHANGED
    assert names(plan(sweep(other.status, parallel=3), T0)) == ["lr-0", "lr-1", "lr-2"]


def test_what_is_over_is_left_alone() -> None:
    over = SweepStatus(phase=SweepPhase.SUCCEEDED)
    assert plan(sweep(over), T0) == SweepPlan(over)


def manifest(**spec: Any) -> Object:
    fields = {"job": JOB, "parameters": [RATES], "parallel": 2, **spec}
    meta = {"name": "lr", "namespace": "default"}
    return {"apiVersion": API_VERSION, "kind": SWEEP_KIND, "metadata": meta, "spec": fields}


LOSSES = {"lr-0": 3.0, "lr-1": 2.0, "lr-2": 2.5, "lr-3": 4.0}
RESULTS = {name: {"phase": "Succeeded", "results": {"evalLoss": loss}} for name, loss in LOSSES.items()}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "TOGETHER_SECONDS", 0.0)
    monkeypatch.setattr(controller, "TICK_SECONDS", 0.05)


async def test_a_sweep_from_its_manifest_to_its_best() -> None:
    api = MemoryApi()
    await api.create(SWEEP_PLURAL, "default", manifest())
    async with operating(api):
        await to_the_end(api, RESULTS)
    assert status(api)["best"]["job"] == "lr-1"
    assert status(api)["best"]["valueText"] == "2"


@pytest.mark.parametrize("before", [True, False])
async def test_an_operator_that_dies_at_any_write_goes_on(before: bool) -> None:
    async for number, api in lives(manifest(), RESULTS, before=before):
        assert status(api)["best"]["job"] == "lr-1", number
        assert len(jobs_of(api)) == 4, "no job twice"


async def test_a_no_of_the_api_server_is_tried_again() -> None:
    class Full(MemoryApi):
        full = True

        async def create(self, resource: str, namespace: str, body: Object) -> Object:
            if resource == PLURAL and self.full:
                raise ApiError(403, "Forbidden", "exceeded quota: count/llmtrainingjobs.llmtrain.dev")
            return await super().create(resource, namespace, body)

    api = Full()
    await api.create(SWEEP_PLURAL, "default", manifest())
    async with operating(api):
        await eventually("it has begun", lambda: status(api).get("phase") == "Running")
        api.full = False
        await to_the_end(api, RESULTS)
