"""The ZeRO stage that a job gets: the lowest that fits, in words, and a refusal when none does."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.jobs import SEVEN_BILLION, manifest

from llmtrain_api import InvalidJob, JobSpec, Layout, changed, layout_of, parse_spec, shape_of
from llmtrain_api.estimate.activations import activations, loss_bytes
from llmtrain_api.estimate.host import host_bytes
from llmtrain_api.estimate.memory import estimate, reduce_bucket
from llmtrain_api.estimate.zero_stage import limit, lowest_layout, quantity
from llmtrain_api.names import KIND
from llmtrain_operator.plan.resolved import resolve

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").glob("**/*.yaml"))
BASE = {"precision": "bf16", "microBatchSize": 1, "globalBatchSize": 64, "activationCheckpointing": True}


def spec(**fields: Any) -> JobSpec:
    return parse_spec(manifest(**fields)["spec"], strict=True)


def decided(job: JobSpec) -> Layout:
    return layout_of(shape_of(job), job)


def peak(job: JobSpec) -> int:
    return estimate(shape_of(job), job, decided(job)).peak


def large(nodes: int = 2, gpus: int = 8, memory: str = "80Gi", **training: Any) -> JobSpec:
    return spec(
        model=SEVEN_BILLION,
        nodes=nodes,
        gpusPerNode=gpus,
        resources={"gpuMemory": memory, "memory": "900Gi"},
        training=BASE | training,
    )


def test_seven_billion_parameters_are_counted_as_llama_2_has_them() -> None:
    # published: 6,738,415,616
    assert shape_of(large()).parameters == 6_738_415_616


@pytest.mark.parametrize(("memory", "zero"), [("80Gi", 1), ("40Gi", 2), ("20Gi", 3)])
def test_the_lowest_stage_that_fits_is_taken(memory: str, zero: int) -> None:
    job = large(memory=memory)
    assert decided(job).zero == zero, decided(job).why
    assert peak(job) <= limit(job)


def test_the_reason_names_the_stage_that_did_not_fit_and_both_sizes() -> None:
    job = large(memory="40Gi")
    resolved = resolve(job, shape_of(job), "image").layout
    need = peak(large(zeroStage=1)) / 2**30
    assert resolved == f"dp16 zero2 bf16 (zero2: stage 1 needs {need:.1f} GiB a rank of 38.0 GiB)"


def test_nothing_fits_is_a_mistake_that_names_the_field_and_the_numbers() -> None:
    with pytest.raises(InvalidJob) as refused:
        large(memory="12Gi")
    [said] = refused.value.mistakes
    assert said.startswith("spec.resources: gpuMemory 12Gi leaves 10.0 GiB a rank, and training needs ")
    assert "raise resources.gpuMemory" in said


def test_a_node_of_gpus_needs_memory_of_its_own() -> None:
    tiny = {"name": "builtin://tiny-llama"}
    with pytest.raises(InvalidJob) as refused:
        spec(model=tiny, gpusPerNode=8, resources={"memory": "4Gi"})
    [said] = refused.value.mistakes
    assert said.startswith(
        "spec.resources: memory 4Gi is less than the 20.3 GiB that a node needs: 8 processes "
    )
    assert said.endswith("raise resources.memory to at least 21Gi")
    assert spec(model=tiny, gpusPerNode=8, resources={"memory": "21Gi"}).gpus_per_node == 8
    assert spec(model=tiny, gpusPerNode=1, resources={"memory": "4Gi"}).gpus_per_node == 1
    assert spec(model=tiny, processesPerNode=8, resources={"memory": "8Gi"}).processes_per_node == 8


def test_a_copy_of_the_state_for_background_checkpoints_counts() -> None:
    # 6.7 billion parameters: fp32 weights and moments over 16 ranks, and the weights once
    job = large(memory="80Gi", zeroStage=2)
    layout = decided(job)
    copied = host_bytes(shape_of(job), job, layout) - host_bytes(
        shape_of(job), changed(job, checkpoint=changed(job.checkpoint, background=False)), layout
    )
    assert copied == pytest.approx(6_738_415_616 * (12 / 2 + 2), rel=0.01)
    with pytest.raises(InvalidJob, match=r"or set checkpoint\.async to false"):
        spec(model=SEVEN_BILLION, nodes=2, gpusPerNode=8, training=BASE, resources={"memory": "60Gi"})
    spec(
        model=SEVEN_BILLION,
        nodes=2,
        gpusPerNode=8,
        training=BASE,
        resources={"memory": "60Gi"},
        checkpoint={"async": False},
    )


def test_logits_are_counted_once_with_their_gradient() -> None:
    """Measured at 1024 x 128,256 in bf16: 5.2 bytes a logit."""
    logits = 1024 * 128_256
    assert loss_bytes(logits, 2) / logits == pytest.approx(5.2, rel=0.1)


def test_on_cpus_the_memory_of_the_node_is_shared_by_its_processes() -> None:
    sizes = {"name": "builtin://tiny-llama", "hiddenSize": 1024, "numLayers": 12, "numHeads": 16}
    assert decided(spec(model=sizes, resources={"memory": "8Gi"})).zero == 0
    assert decided(spec(model=sizes, resources={"memory": "8Gi"}, processesPerNode=4)).zero > 1
    with pytest.raises(InvalidJob, match="memory 6Gi leaves"):
        spec(model=sizes, resources={"memory": "6Gi"}, processesPerNode=4)


def test_cpus_reduce_in_small_buckets_and_a_tensor_that_is_larger_by_itself() -> None:
    size = {"name": "builtin://tiny-llama", "hiddenSize": 256, "numLayers": 2, "numHeads": 4}
    on_cpu, on_gpu = spec(), large()
    assert reduce_bucket(on_cpu, 10) == reduce_bucket(on_gpu, 10) == 10
    assert (reduce_bucket(on_cpu, 10**10), reduce_bucket(on_gpu, 10**10)) == (8_000_000, 500_000_000)
    for zero, vocabulary in product((1, 2), (40_000, 60_000)):
        job = spec(model=size | {"vocabSize": vocabulary}, training={"zeroStage": zero})
        memory, trained = estimate(shape_of(job), job, decided(job)), shape_of(job).parameters
        active = activations(shape_of(job), job, decided(job), 0)
        once = vocabulary * 256 if zero == 2 else trained
        assert memory.backward - active == 4 * (once + max(8_000_000, vocabulary * 256))


def test_who_sets_the_stage_gets_it() -> None:
    assert decided(large(memory="12Gi", zeroStage=1)).zero == 1
    assert [decided(spec(training={"zeroStage": zero})).zero for zero in range(4)] == [0, 1, 2, 3]
    assert decided(large(zeroStage=3)).zero == 3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_get_the_lowest_stage(path: Path) -> None:
    documents = yaml.safe_load_all(path.read_text())
    for document in (one for one in documents if one["kind"] == KIND):
        job = parse_spec(document["spec"], strict=True)
        if job.training.zero_stage is None and job.model.builtin is not None:
            assert decided(job).zero == lowest_layout(job).zero, decided(job).why


def test_ranks_hold_whole_models_where_each_has_room_and_the_model_is_not_cut() -> None:
    assert decided(spec()).zero == 0
    assert decided(spec(nodes=1)).zero == 0
    assert decided(spec(training={"precision": "bf16"})).zero == 1
    for way in ("tensor", "pipeline", "sequence"):
        assert decided(spec(parallelism={way: 2})).zero == 1
    for way in ("tensor", "sequence"):
        assert decided(spec(parallelism={way: 2}, training={"zeroStage": 0})).zero == 1
    assert decided(spec(nodes=1, training={"precision": "bf16"})).zero == 1


def test_more_ranks_never_need_more_memory() -> None:
    for zero in (1, 2, 3):
        jobs = [large(nodes=nodes, zeroStage=zero) for nodes in (1, 2, 4, 8)]
        for few, more in pairwise(map(peak, jobs)):
            assert more < few


@pytest.mark.parametrize(
    ("text", "number"), [("4Gi", 2**32), ("1500m", 1.5), ("7", 7), ("2k", 2000), ("1.5G", 1.5e9)]
)
def test_a_quantity_is_what_kubernetes_says(text: str, number: float) -> None:
    assert quantity(text) == number
