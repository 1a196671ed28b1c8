"""Sweeps of adapters: each is a job of its own, one that fails leaves the others, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from harness.jobs import T0
from harness.sweeps import jobs_of, lives, status

from llmtrain_api.names import API_VERSION, SWEEP_KIND
from llmtrain_api.schema.status.sweep import SweepPhase, SweepStatus
from llmtrain_operator.kube.api import Object
from llmtrain_operator.sweeps import controller
from llmtrain_operator.sweeps.adapters import CHANGED, NONE
from llmtrain_operator.sweeps.objects import trial_of
from llmtrain_operator.sweeps.plan import SeenSweep, SweepPlan, is_over, plan

JOB: dict[str, Any] = {
    "model": {"name": "acme/base", "adapter": {"rank": 8}},
    "training": {"maxSteps": 90},
    "output": {"uri": "pvc://checkpoints/personal"},
}
ADAPTERS = [{"name": name, "dataset": {"name": f"pvc://data/{name}"}} for name in ("ann", "bob", "cy")]
SPEC: Object = {"job": JOB, "adapters": ADAPTERS, "parallel": 2}
COMMIT, OTHER = "a" * 40, "b" * 40


def trained(name: str, loss: float | None = 1.5, revision: str = COMMIT, **adapter: Any) -> Object:
    """Status of a job that has trained one."""
    found = {"weights": name[-1].encode().hex() * 32, "data": "d" * 64, **adapter}
    results: Object = {"exportUri": f"pvc://checkpoints/personal/{name}/export", "adapter": found}
    results |= {} if loss is None else {"evalLoss": loss}
    model = {"revision": revision, "digest": "c" * 64}
    return {"phase": "Succeeded", "results": results, "resolved": {"model": model}}


BROKEN: Object = {"phase": "Failed", "failure": {"message": "pvc://data/bob: no text in it" + "!" * 4000}}
ENDS = {"lr-ann": trained("ann"), "lr-bob": BROKEN, "lr-cy": trained("cy", 2.5)}


def planned(
    jobs: dict[str, Object], before: SweepStatus | None = None, generation: int = 1, **spec: Any
) -> SweepPlan:
    owner = {"uid": "u", "controller": True}
    seen = {
        name: trial_of({"metadata": {"ownerReferences": [owner]}, "status": found}, "u")
        for name, found in jobs.items()
    }
    found = {**SPEC, **spec}
    return plan(SeenSweep("default", "lr", "u", generation, found, before or SweepStatus(), seen), T0)


def test_each_adapter_is_a_job_with_its_data() -> None:
    first = planned({})
    assert [job["metadata"]["name"] for job in first.jobs] == ["lr-ann", "lr-bob"]
    spec = first.jobs[1]["spec"]
    assert spec["dataset"] == {"name": "pvc://data/bob", "cache": "pvc://checkpoints/personal/cache"}
    assert spec["output"] == {"uri": "pvc://checkpoints/personal/bob", "merged": False}
    assert first.status.summary == "0/3"


def test_one_that_fails_leaves_the_others_and_says_why() -> None:
    found = planned(ENDS).status
    assert (found.phase, found.summary, found.best) == (SweepPhase.SUCCEEDED, "3/3, 1 failed", None)
    ann, bob, cy = found.trials
    assert (ann.value, cy.value) == (1.5, 2.5)
    assert ann.adapter is not None
    assert ann.adapter.to_json() == {
        "name": "ann",
        "uri": "pvc://checkpoints/personal/ann/export/adapter",
        "rank": 8,
        "alpha": 32,
        "weights": "6e" * 32,
        "data": "d" * 64,
    }
    assert (bob.phase, bob.adapter) == ("Failed", None)
    assert bob.message is not None
    assert bob.message.startswith("pvc://data/bob: no text in it")
    assert len(bob.message) == 512, "many of them need room in one object"
    assert found.message is not None
    assert "2 of 3 adapters can be served" in found.message
    assert "lr-bob: pvc://data/bob: no text" in found.message
    assert found.base is not None
    assert found.base.to_json() == {"name": "acme/base", "revision": COMMIT, "digest": "c" * 64}


def test_a_sweep_of_which_all_fail_has_failed() -> None:
    found = planned(dict.fromkeys(ENDS, BROKEN)).status
    assert (found.phase, found.summary) == (SweepPhase.FAILED, "3/3, 3 failed")
    assert found.message is not None
    assert "no text in it" in found.message


def test_one_without_a_loss_is_served_too() -> None:
    found = planned({**ENDS, "lr-bob": trained("bob", None)}).status
    assert (found.phase, found.summary, found.message) == (SweepPhase.SUCCEEDED, "3/3", None)
    assert (found.trials[1].value, found.trials[1].message) == (None, None)


def test_one_over_another_commit_of_the_base_is_not_served() -> None:
    found = planned({**ENDS, "lr-bob": trained("bob", revision=OTHER)}).status
    assert found.trials[1].adapter is None
    assert found.trials[1].message is not None
    assert f"over revision {OTHER} of acme/base, and the others over {COMMIT}" in found.trials[1].message
    assert "job.model.revision" in found.trials[1].message
    assert found.summary == "3/3, 1 failed"


def test_the_base_stays_what_the_first_trained_one_made_it() -> None:
    begun = planned({"lr-bob": trained("bob", revision=OTHER)}).status
    assert begun.base is not None
    assert begun.base.revision == OTHER
    ended = planned({**ENDS, "lr-bob": trained("bob", revision=OTHER)}, begun).status
    assert [one.adapter is None for one in ended.trials] == [True, False, True]


def test_a_folder_that_was_written_over_is_another_base() -> None:
    changed = trained("cy")
    changed["resolved"] = {"model": {**changed["resolved"]["model"], "weights": "e" * 64}}
    found = planned({**ENDS, "lr-cy": changed}).status
    assert found.trials[2].adapter is None
    assert found.trials[2].message is not None
    assert "another model when it was trained" in found.trials[2].message


@pytest.mark.parametrize("adapter", [None, {"weights": "nonsense", "data": "d" * 64}])
def test_a_job_that_tells_of_no_adapter_is_not_served(adapter: Object | None) -> None:
    bare = trained("ann")
    bare["results"] = {**bare["results"], "adapter": adapter}
    assert planned({**ENDS, "lr-ann": bare}).status.trials[0].message == NONE


DAN = {"name": "dan", "dataset": {"name": "pvc://data/dan"}}


@pytest.mark.parametrize("known", [{"lr-ann": trained("ann")}, ENDS])
def test_adapters_may_be_added_at_the_end(known: dict[str, Object]) -> None:
    before = planned(known).status
    running = {name: known.get(name, {"phase": "Running"}) for name in ENDS}
    grown = planned(running, before, 2, adapters=[*ADAPTERS, DAN], parallel=9)
    assert [job["metadata"]["name"] for job in grown.jobs] == ["lr-dan"]
    assert (grown.status.phase, grown.status.message) == (SweepPhase.RUNNING, None)
    assert grown.status.trials[0] == before.trials[0], "what is on record stays"
    ends = {**ENDS, "lr-dan": trained("dan")}
    ended = planned(ends, grown.status, 2, adapters=[*ADAPTERS, DAN]).status
    assert (ended.phase, ended.summary) == (SweepPhase.SUCCEEDED, "4/4, 1 failed")
    assert ended.base == before.base
    again = planned(ends, ended, 2, adapters=[*ADAPTERS, DAN])
    assert (again.status, again.jobs) == (ended, ())


@pytest.mark.parametrize(
    "adapters",
    [
        [DAN, *ADAPTERS],
        ADAPTERS[:2],
        [*ADAPTERS[:2], {**ADAPTERS[2], "dataset": {"name": "pvc://data/other"}}, DAN],
    ],
)
def test_any_other_change_of_the_list_is_refused(adapters: list[Object]) -> None:
    before = planned(ENDS).status
    found = planned(ENDS, before, 2, adapters=adapters)
    assert (found.status.message, found.jobs) == (CHANGED, ())
    assert found.status.phase is SweepPhase.SUCCEEDED
    assert found.status.trials == before.trials
    mended = planned(ENDS, found.status, 3).status
    assert (mended.phase, mended.summary) == (SweepPhase.SUCCEEDED, "3/3, 1 failed")
    assert mended.conditions[0].status == "True"


def test_a_sweep_of_values_that_is_over_stays_so() -> None:
    over = SweepStatus(phase=SweepPhase.SUCCEEDED, observed_generation=1)
    assert is_over({"parameters": []}, 2, over)
    assert is_over(SPEC, 1, over)
    assert not is_over(SPEC, 2, over)
    assert not is_over(SPEC, 1, SweepStatus(phase=SweepPhase.RUNNING, observed_generation=1))


def test_the_largest_sweep_has_room_in_one_object() -> None:
    names = [f"n{number:03}" + "x" * 40 for number in range(256)]
    adapters = [{"name": name, "dataset": {"name": f"pvc://data/{name}"}} for name in names]
    jobs = {f"lr-{name}": {**BROKEN, "failure": {"message": "\u00e9" * 4000}} for name in names}
    job = {**JOB, "output": {"uri": "pvc://checkpoints/" + "f" * 400}}
    found = planned(jobs, adapters=adapters, job=job, parallel=8).status
    assert found.phase is SweepPhase.FAILED
    assert len(found.model_dump_json().encode()) < 500_000, "etcd takes 1.5 MB, with the spec"
    jobs = {name: trained(name.removeprefix("lr-") + "f" * 400) for name in jobs}
    found = planned(jobs, adapters=adapters, job=job, parallel=8).status
    assert found.phase is SweepPhase.SUCCEEDED
    assert len(found.model_dump_json().encode()) < 700_000


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "TOGETHER_SECONDS", 0.0)
    monkeypatch.setattr(controller, "TICK_SECONDS", 0.05)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.usefixtures("soon")
async def test_an_operator_that_dies_at_any_write_loses_no_adapter(before: bool) -> None:
    meta = {"name": "lr", "namespace": "default"}
    manifest = {"apiVersion": API_VERSION, "kind": SWEEP_KIND, "metadata": meta, "spec": SPEC}
    async for number, api in lives(manifest, ENDS, before=before):
        found = status(api)
        assert (found["phase"], found["summary"]) == ("Succeeded", "3/3, 1 failed"), number
        served = [one["adapter"]["name"] for one in found["trials"] if "adapter" in one]
        assert served == ["ann", "cy"], number
        assert found["base"]["revision"] == COMMIT, number
        assert len(jobs_of(api)) == 3, "no job twice"


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.usefixtures("soon")
async def test_an_operator_that_dies_while_the_list_grows_makes_each_once(before: bool) -> None:
    meta = {"name": "lr", "namespace": "default"}
    manifest = {"apiVersion": API_VERSION, "kind": SWEEP_KIND, "metadata": meta, "spec": SPEC}
    ends = {**ENDS, "lr-dan": trained("dan")}
    async for number, api in lives(
        manifest, ends, before=before, then={**SPEC, "adapters": [*ADAPTERS, DAN]}
    ):
        found = status(api)
        assert (found["phase"], found["summary"]) == ("Succeeded", "4/4, 1 failed"), number
        assert len(jobs_of(api)) == 4, "no job twice"
    assert set(ends) == {job["metadata"]["name"] for job in jobs_of(api)}
