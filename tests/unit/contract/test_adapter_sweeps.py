"""Sweeps of adapters: the jobs that follow from one, and each mistake in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from llmtrain_api import parse_spec
from llmtrain_api.schema.sweep import SweepSpec
from llmtrain_api.sweeps import InvalidSweep, digest_of, job_name, job_of, read_sweep, rounds_of, trials_of

JOB: dict[str, Any] = {
    "model": {"name": "acme/base", "adapter": {"rank": 8}},
    "dataset": {"heldOutFraction": 0.1, "maxBytes": 10_000},
    "training": {"maxSteps": 90, "globalBatchSize": 8},
    "output": {"uri": "pvc://checkpoints/personal"},
}
ANN: dict[str, Any] = {"name": "ann", "dataset": {"name": "pvc://data/ann"}}
BOB: dict[str, Any] = {
    "name": "bob-2",
    "dataset": {"name": "pvc://data/bob", "maxBytes": 20_000},
    "training": {"maxSteps": 30},
}


def read(name: str = "all", **fields: Any) -> SweepSpec:
    return read_sweep(name, {"job": JOB, "adapters": [ANN, BOB], **fields}, strict=True)


def test_an_adapters_job_is_the_sweeps_with_its_data() -> None:
    found = read()
    ann, bob = (job_of("all", found, trial, 0) for trial in trials_of(found))
    shared = {"heldOutFraction": 0.1, "cache": "pvc://checkpoints/personal/cache"}
    assert ann["dataset"] == {"name": "pvc://data/ann", "maxBytes": 10_000, **shared}
    assert bob["dataset"] == {"name": "pvc://data/bob", "maxBytes": 20_000, **shared}
    assert ann["training"] == JOB["training"]
    assert bob["training"] == {"maxSteps": 30, "globalBatchSize": 8}
    assert ann["output"] == {"uri": "pvc://checkpoints/personal/ann", "merged": False}
    for job in (ann, bob):
        spec = parse_spec(job, strict=True)
        assert spec.model.adapter is not None
        assert not spec.output.merged
    assert JOB["dataset"] == {"heldOutFraction": 0.1, "maxBytes": 10_000}, "the sweep's own stays as it is"


def test_jobs_bear_the_names_of_their_adapters() -> None:
    found = read()
    assert [job_name("all", found, trial.number, 0) for trial in trials_of(found)] == ["all-ann", "all-bob-2"]
    assert rounds_of(found) == [(2, None)]
    assert [trial.texts() for trial in trials_of(found)] == [{}, {}], "data are no value that is tried"
    assert "dataset" in JOB
    without = read(job={name: value for name, value in JOB.items() if name != "dataset"})
    assert job_of("all", without, trials_of(without)[0], 0)["dataset"]["name"] == "pvc://data/ann"


def test_sweeps_that_run_outlive_an_update_of_the_operator() -> None:
    job = {**JOB, "dataset": {"name": "pvc://data/ann"}}
    seeds: dict[str, Any] = {"field": "training.seed", "values": [1, 2]}
    tried = read_sweep("lr", {"job": job, "parameters": [seeds]}, strict=True)
    assert "adapters" not in tried.to_json()
    assert digest_of(tried) == "4c8e9a61e42389bf3d5c130340976d99bf1856ce39f8820ae580a60144a3409b"
    assert digest_of(read()) != digest_of(read(adapters=[BOB, ANN]))


def without(section: str, field: str) -> dict[str, Any]:
    return {**JOB, section: {name: value for name, value in JOB[section].items() if name != field}}


MANY = [
    {"name": f"n{number}", "dataset": {"name": "pvc://data/ann", "note": "x" * 4000}} for number in range(99)
]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"adapters": [ANN, ANN]}, ("spec.adapters", "'ann' stands twice", "name of its own")),
        ({"adapters": [{**ANN, "name": "cache"}]}, ("spec.adapters", "'cache'", "use another name")),
        ({"adapters": [{**ANN, "name": "base"}]}, ("spec.adapters", "'base'", "use another name")),
        ({"adapters": [{**ANN, "name": "Ann"}]}, ("spec.adapters[0].name", "match")),
        ({"adapters": [{**ANN, "name": "a/b"}]}, ("spec.adapters[0].name", "match")),
        ({"adapters": [{"name": "ann"}]}, ("spec.adapters[0].dataset", "required")),
        ({"adapters": [{**ANN, "task": "chat"}]}, ("spec.adapters[0].task", "not a field")),
        ({"adapters": []}, ("spec.adapters", "at least 1")),
        ({"adapters": None}, ("spec", "needs parameters (values to try) or adapters")),
        (
            {"parameters": [{"field": "training.seed", "values": [1]}]},
            ("spec", "both parameters and adapters", "remove one"),
        ),
        (
            {"search": "random", "trials": 2},
            ("spec.adapters", "search, trials beside adapters", "remove them"),
        ),
        ({"halving": {"minSteps": 3}}, ("spec.adapters", "halving beside adapters", "remove it")),
        (
            {"objective": {"metric": "perplexity"}},
            ("spec.adapters", "objective beside adapters", "remove it"),
        ),
        ({"job": without("model", "adapter")}, ("spec.job.model.adapter", "is required", "{rank: 16")),
        (
            {"job": {**JOB, "model": {"name": "builtin://tiny-llama", "adapter": {}}}},
            ("spec.job.model.name", "builtin://tiny-llama", "one base", "name its export"),
        ),
        (
            {"job": {**JOB, "model": {**JOB["model"], "weights": "random"}}},
            ("spec.job.model.weights", "no base", "remove it"),
        ),
        (
            {"job": {**JOB, "output": {**JOB["output"], "merged": True}}},
            ("spec.job.output.merged", "once for each adapter", "remove it"),
        ),
        ({"job": {**JOB, "entrypoint": {"command": ["x"]}}}, ("spec.job.entrypoint", "exports no adapter")),
        ({"job": without("output", "uri")}, ("spec.job.output.uri", "required")),
        (
            {"adapters": [ANN, {**BOB, "dataset": {**BOB["dataset"], "chatTemplate": "x"}}]},
            ("spec.adapters[1].dataset.chatTemplate", "one tokenizer", "job.dataset"),
        ),
        ({"adapters": MANY}, ("spec.adapters", "bytes as JSON", "two sweeps")),
        (
            {"adapters": [ANN, {**BOB, "dataset": {"nam": "pvc://data/bob"}}]},
            ("spec.adapters[1].dataset.nam", "adapter bob-2"),
        ),
        (
            {"adapters": [ANN, {**BOB, "training": {"maxSteps": 0}}]},
            ("spec.adapters[1].training.maxSteps", "adapter bob-2"),
        ),
        ({"job": {**JOB, "nodez": 2}}, ("spec.job.nodez", "not a field")),
    ],
)
def test_a_mistake_is_one_sentence_with_its_field(fields: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidSweep) as invalid:
        read(**fields)
    found = invalid.value.mistakes
    assert any(all(word in text for word in words) for text in found), found


def test_the_longest_name_of_a_job_fits() -> None:
    long = {**ANN, "name": "a" * 40}
    read("b" * 11, adapters=[long, BOB])
    with pytest.raises(InvalidSweep, match="use at most 11 characters"):
        read("b" * 12, adapters=[long, BOB])
