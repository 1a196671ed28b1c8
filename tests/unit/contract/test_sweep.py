"""Sweeps: what is a mistake, and which trials and jobs follow from a spec."""

from __future__ import annotations

from typing import Any

import pytest

from llmtrain_api import parse_spec
from llmtrain_api.sweeps import (
    InvalidSweep,
    digest_of,
    job_name,
    job_of,
    metric_of,
    minimizes,
    parse_sweep,
    read_sweep,
    rounds_of,
    trials_of,
)

JOB: dict[str, Any] = {
    "model": {"name": "builtin://tiny-llama"},
    "dataset": {"name": "builtin://python-stdlib"},
    "training": {"maxSteps": 90},
    "output": {"uri": "pvc://checkpoints/sweep/"},
}
RATES = {"field": "training.learningRate", "values": [1e-4, 1e-3, 1e-2]}
RANGE = {"field": "training.learningRate", "min": 1e-5, "max": 1e-2, "scale": "log"}


def spec(**fields: Any) -> dict[str, Any]:
    return {"job": JOB, "parameters": [RATES], **fields}


def read(**fields: Any) -> Any:
    return read_sweep("lr", spec(**fields), strict=True)


def mistakes(**fields: Any) -> list[str]:
    with pytest.raises(InvalidSweep) as invalid:
        read(**fields)
    return invalid.value.mistakes


def of(field: str, *values: Any) -> dict[str, Any]:
    return {"field": field, "values": list(values)}


def test_a_grid_has_each_combination_once_and_in_order() -> None:
    decay = {"field": "training.weightDecay", "values": [0.0, 0.1]}
    trials = trials_of(read(parameters=[RATES, decay]))
    assert [t.number for t in trials] == list(range(6))
    assert [tuple(t.values.values()) for t in trials][:3] == [(1e-4, 0.0), (1e-4, 0.1), (1e-3, 0.0)]
    assert len({str(t.values) for t in trials}) == 6


def test_a_random_search_is_the_same_each_time_and_another_with_another_seed() -> None:
    layers = {"field": "model.numLayers", "min": 1, "max": 4, "whole": True}
    fields: dict[str, Any] = {"search": "random", "trials": 40, "parameters": [RANGE, layers]}
    trials = trials_of(read(**fields))
    assert trials == trials_of(read(**fields))
    assert trials != trials_of(read(**fields, seed=1))
    assert trials[:10] == trials_of(read(**{**fields, "trials": 10})), "more change none"
    rates = [t.values["training.learningRate"] for t in trials]
    assert all(1e-5 <= rate <= 1e-2 for rate in rates)
    assert 8 <= sum(rate < 10**-3.5 for rate in rates) <= 32, "half of them by the logarithm"
    assert {t.values["model.numLayers"] for t in trials} == {1, 2, 3, 4}


def test_a_job_is_the_sweeps_with_its_values_and_a_folder_of_its_own() -> None:
    found = read(parameters=[RATES, {"field": "checkpoint.everySteps", "values": [7]}])
    [_, second, _] = trials_of(found)
    job = job_of("lr", found, second, 0)
    assert job["training"] == {"maxSteps": 90, "learningRate": 1e-3}
    assert job["checkpoint"] == {"everySteps": 7}
    assert job["output"]["uri"] == "pvc://checkpoints/sweep/lr-1"
    assert job["dataset"]["cache"] == "pvc://checkpoints/sweep/cache"
    assert parse_spec(job, strict=True).training.learning_rate == 1e-3
    assert "learningRate" not in JOB["training"], "the sweep's own spec stays as it is"


def test_a_cache_of_the_jobs_own_stays() -> None:
    own = {**JOB, "dataset": {**JOB["dataset"], "cache": "pvc://data/cache"}}
    found = read(job=own)
    assert job_of("lr", found, trials_of(found)[0], 0)["dataset"]["cache"] == "pvc://data/cache"
    bucket = {**JOB, "output": {"uri": "s3://bucket/sweep", "secret": "keys"}}
    found = read(job=bucket)
    assert "cache" not in job_of("lr", found, trials_of(found)[0], 0)["dataset"]


def test_rounds_of_halving_end_with_the_whole_length() -> None:
    found = read(search="random", trials=9, parameters=[RANGE], halving={"minSteps": 10, "factor": 3})
    assert rounds_of(found) == [(9, 10), (3, 30), (1, None)]
    first = trials_of(found)[0]
    assert job_of("lr", found, first, 0)["training"]["maxSteps"] == 10
    assert job_of("lr", found, first, 2)["training"]["maxSteps"] == 90
    assert job_name("lr", found, 4, 1) == "lr-4-r1"
    assert job_of("lr", found, first, 1)["output"]["uri"].endswith("/lr-0-r1")
    assert rounds_of(read()) == [(3, None)]


def test_metrics_by_their_path() -> None:
    results = {"evalLoss": 2.5, "scores": {"accuracy": 0.75}, "steps": 3}
    assert metric_of(results, "evalLoss") == 2.5
    assert metric_of(results, "scores.accuracy") == 0.75
    for missing in ("perplexity", "scores.mse", "evalLoss.deeper"):
        assert metric_of(results, missing) is None
    assert metric_of({"evalLoss": True}, "evalLoss") is None
    assert minimizes(read())
    assert minimizes(read(objective={"metric": "scores.mse"}))
    assert not minimizes(read(objective={"metric": "scores.accuracy"}))
    assert not minimizes(read(objective={"metric": "evalLoss", "goal": "maximize"}))


def test_what_may_be_edited_is_not_in_the_digest() -> None:
    assert digest_of(read()) == digest_of(read(parallel=4, suspend=True))
    assert digest_of(read()) != digest_of(read(seed=1))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parameters": []}, ("spec.parameters", "at least 1")),
        ({"parameters": [RANGE]}, ("spec.parameters", "range", "search: random")),
        ({"parameters": [RANGE], "search": "random"}, ("spec.trials", "how many")),
        ({"trials": 3}, ("spec.trials", "remove trials")),
        ({"parameters": [{**RATES, "min": 1.0, "max": 2.0}]}, ("values", "set one of the two")),
        ({"parameters": [{"field": "training.seed", "min": 1.0}]}, ("set both",)),
        ({"parameters": [{"field": "training.seed"}]}, ("set one of the two",)),
        ({"parameters": [{**RANGE, "min": 0.0}], "search": "random", "trials": 2}, ("min", "above 0")),
        ({"parameters": [{**RANGE, "max": 1e-6}], "search": "random", "trials": 2}, ("max", "above min")),
        ({"parameters": [RATES, RATES]}, ("stands twice",)),
        ({"parameters": [{"field": "Training", "values": [1]}]}, ("field", "match")),
        ({"parameters": [of("training.learnRate", 1)]}, ("spec.job.training.learnRate", "not a field")),
        ({"parameters": [of("training.learningRate", -1.0)]}, ("spec.job.training.learningRate", "trial 0")),
        ({"parameters": [of("output.uri", "pvc://a/b")]}, ("output.uri", "chosen by the sweep")),
        (
            {"job": {**JOB, "output": {"uri": "pvc://a/b", "publish": {"hub": "acme/a"}}}},
            ("spec.job.output.publish", "one repository"),
        ),
        ({"job": {**JOB, "output": {}}}, ("spec.job.output.uri", "required")),
        ({"job": {k: v for k, v in JOB.items() if k != "model"}}, ("spec.job", "model")),
        ({"objective": {"metric": "accuracy"}}, ("spec.objective.metric", "scores.accuracy")),
        ({"halving": {"minSteps": 90}}, ("spec.halving.minSteps", "use less")),
        (
            {"halving": {"minSteps": 9}, "parameters": [of("training.maxSteps", 20, 30)]},
            ("spec.halving", "the same for all"),
        ),
        ({"parameters": [of("training.seed", *range(20)), of("a", *range(20))]}, ("400 trials", "256")),
        ({"paralel": 2}, ("spec.paralel", "not a field")),
    ],
)
def test_a_mistake_is_one_sentence_with_its_field(fields: dict[str, Any], words: tuple[str, ...]) -> None:
    found = mistakes(**fields)
    assert any(all(word in text for word in words) for text in found), found


def test_names_of_jobs_fit() -> None:
    with pytest.raises(InvalidSweep, match="at most 50 characters"):
        read_sweep("a" * 51, spec(), strict=True)
    read_sweep("a" * 50, spec(), strict=True)
    with pytest.raises(InvalidSweep, match="lowercase"):
        read_sweep("Lr", spec(), strict=True)


def test_a_manifest_is_read_whole() -> None:
    document = {
        "apiVersion": "llmtrain.dev/v1alpha1",
        "kind": "LLMTrainingSweep",
        "metadata": {"name": "lr"},
        "spec": spec(),
    }
    found = parse_sweep(document)
    assert (found.namespace, found.name, found.spec) == ("default", "lr", read())
    others: tuple[object, ...] = ({**document, "kind": "Sweep"}, {**document, "spec": None}, [])
    for broken in others:
        with pytest.raises(InvalidSweep):
            parse_sweep(broken)
