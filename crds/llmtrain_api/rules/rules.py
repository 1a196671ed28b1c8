"""What the fields of a job must be to each other. PURE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..estimate.zero_stage import too_large
from ..layouts.proven import Asked, families, refusal, stages
from ..schema.base import Rule
from ..schema.model import Task
from ..schema.optimization import JOB_RULES
from ..schema.training import Packing

if TYPE_CHECKING:
    from ..schema.spec import JobSpec


def _processes(spec: JobSpec) -> str | None:
    if spec.gpus_per_node and spec.processes_per_node not in (1, spec.gpus_per_node):
        return (
            f"processesPerNode {spec.processes_per_node} with gpusPerNode {spec.gpus_per_node}; remove "
            "processesPerNode: there is one process a GPU"
        )
    return None


def _divides(spec: JobSpec) -> str | None:
    cut, world = spec.parallelism.ranks, spec.world_size
    if world % cut == 0:
        return None
    return (
        f"tensor x pipeline x sequence = {cut} does not divide the world size {world} (nodes x processes); "
        "change one of them"
    )


def _batch_covers_data_ranks(spec: JobSpec) -> str | None:
    ranks = spec.world_size // spec.parallelism.ranks
    if spec.training.global_batch_size < ranks:
        return (
            f"globalBatchSize {spec.training.global_batch_size} is smaller than the {ranks} data-parallel "
            f"ranks (world size / (tensor x pipeline x sequence)); use at least {ranks}"
        )
    return None


def _whole_heads(spec: JobSpec) -> str | None:
    cut, model = spec.parallelism, spec.model
    for name, ranks in (("tensor", cut.tensor), ("sequence", cut.sequence)):
        for field, heads in (("numHeads", model.num_heads), ("numKvHeads", model.kv_heads)):
            if heads % ranks:
                return f"{name} {ranks} does not divide model.{field} {heads}; change one of them"
    return None


def _whole_matrices(spec: JobSpec) -> str | None:
    ranks, model = spec.parallelism.tensor, spec.model
    if model.width % ranks:
        return f"tensor {ranks} does not divide model.intermediateSize {model.width}; change one of them"
    return None


def _whole_sequences(spec: JobSpec) -> str | None:
    ranks, length = spec.parallelism.sequence, spec.training.sequence_length
    if length % ranks:
        return f"sequence {ranks} does not divide training.sequenceLength {length}; change one of them"
    return None


def _stage_has_layers(spec: JobSpec) -> str | None:
    if spec.parallelism.pipeline <= spec.model.num_layers:
        return None
    return (
        f"pipeline {spec.parallelism.pipeline} is more than model.numLayers {spec.model.num_layers}; "
        "each stage needs a layer"
    )


def _pipeline_zero(spec: JobSpec) -> str | None:
    if spec.parallelism.pipeline == 1 or spec.training.zero_stage in (None, 1):
        return None
    return (
        f"zeroStage {spec.training.zero_stage} with pipeline {spec.parallelism.pipeline}: DeepSpeed has no "
        "pipeline with ZeRO 2 or 3, and clips each stage by its own norm with 0; use 1"
    )


def _packed(spec: JobSpec) -> str | None:
    if spec.training.packing is Packing.CONCAT:
        return None
    if spec.model.task is not Task.CAUSAL:
        return f"packing documents is for decoder-only models, {spec.model.name} is none; use concat"
    if spec.parallelism.sequence > 1:
        return (
            "packing documents with parallelism.sequence: Ulysses drops the mask; use concat, or sequence 1"
        )
    return None


def _proven(spec: JobSpec) -> str | None:
    how = spec.training
    options = (how.packing, how.activation_checkpointing, how.precision)
    return refusal(Asked(spec.model.family, spec.layout, *options))


def _compiled(spec: JobSpec) -> str | None:
    how = spec.training
    if not how.compile:
        return None
    options = (how.packing, how.activation_checkpointing, how.precision)
    why = refusal(Asked(spec.model.family, spec.layout, *options, compiled=True))
    return f"compiled layers: {why}; or set compile to false" if why else None


WAYS = {"tensor": "tp", "pipeline": "pp", "sequence": "sp"}


def _family_cel(kind: str, *, compile_layers: bool = False) -> str:
    """Whether the model's family is proven in a kind of layout."""
    names = [f"builtin://tiny-{name}" for name in families(kind, compile_layers=compile_layers)]
    return f"(self.model.name + (self.model.tiedEmbeddings ? '-tied' : '')) in {names}"


def _proven_cel() -> str:
    """The part of `_proven` that CEL can say: which family may be cut how, and in one way at a time."""
    allowed = [f"(self.parallelism.{way} == 1 || {_family_cel(kind)})" for way, kind in WAYS.items()]
    used = " + ".join(f"(self.parallelism.{way} > 1 ? 1 : 0)" for way in WAYS)
    return " && ".join([*allowed, f"{used} <= 1"])


def _compiled_cel() -> str:
    """The part of `_compiled` that CEL can say: which family may be compiled, how cut, in which stage."""
    cut = [
        f"(self.parallelism.{way} == 1 || {_family_cel(kind, compile_layers=True)})"
        for way, kind in WAYS.items()
    ]
    stage = f"(!has(self.training.zeroStage) || self.training.zeroStage in {stages(compile_layers=True)})"
    allowed = [_family_cel("dp", compile_layers=True), *cut, stage]
    return f"!self.training.compile || ({' && '.join(allowed)})"


def _evaluates_each_source(spec: JobSpec) -> str | None:
    sources, most = len(spec.dataset.sources), spec.evaluation.max_sequences
    if most >= sources:
        return None
    return (
        f"maxSequences {most} is fewer than the {sources} sources of dataset.mixture; use at least {sources}"
    )


def _fits(spec: JobSpec) -> str | None:
    return too_large(spec, spec.lowest_layout) if spec.training.zero_stage is None else None


WORLD_CEL = "self.nodes * (self.gpusPerNode > 0 ? self.gpusPerNode : self.processesPerNode)"
CUT_CEL = "(self.parallelism.tensor * self.parallelism.pipeline * self.parallelism.sequence)"
KV_CEL = "(has(self.model.numKvHeads) ? self.model.numKvHeads : self.model.numHeads)"
WIDTH_CEL = "(has(self.model.intermediateSize) ? self.model.intermediateSize : 4 * self.model.hiddenSize)"

RULES: tuple[Rule, ...] = (
    Rule(
        "self.gpusPerNode == 0 || self.processesPerNode in [1, self.gpusPerNode]",
        ".processesPerNode",
        "remove processesPerNode: with gpusPerNode there is one process a GPU",
        _processes,
    ),
    Rule(
        f"{WORLD_CEL} % {CUT_CEL} == 0",
        ".parallelism",
        "tensor x pipeline x sequence must divide the world size (nodes x processes)",
        _divides,
    ),
    Rule(
        f"self.training.globalBatchSize * {CUT_CEL} >= {WORLD_CEL}",
        ".training.globalBatchSize",
        "globalBatchSize must be at least the data-parallel ranks: the world size (nodes x processes) "
        "/ (tensor x pipeline x sequence)",
        _batch_covers_data_ranks,
    ),
    Rule(
        "self.model.numHeads % self.parallelism.tensor == 0 && "
        "self.model.numHeads % self.parallelism.sequence == 0 && "
        f"{KV_CEL} % self.parallelism.tensor == 0 && {KV_CEL} % self.parallelism.sequence == 0",
        ".parallelism",
        "tensor and sequence must divide model.numHeads and model.numKvHeads",
        _whole_heads,
    ),
    Rule(
        f"{WIDTH_CEL} % self.parallelism.tensor == 0",
        ".parallelism.tensor",
        "tensor must divide model.intermediateSize",
        _whole_matrices,
    ),
    Rule(
        "self.training.sequenceLength % self.parallelism.sequence == 0",
        ".parallelism.sequence",
        "sequence must divide training.sequenceLength",
        _whole_sequences,
    ),
    Rule(
        "self.parallelism.pipeline <= self.model.numLayers",
        ".parallelism.pipeline",
        "pipeline must not be more than model.numLayers: each stage needs a layer",
        _stage_has_layers,
    ),
    Rule(
        "self.parallelism.pipeline == 1 || !has(self.training.zeroStage) || self.training.zeroStage == 1",
        ".training.zeroStage",
        "with parallelism.pipeline use zeroStage 1",
        _pipeline_zero,
    ),
    Rule(
        "self.training.packing == 'concat' || (self.parallelism.sequence == 1 && "
        "!(self.model.name in ['builtin://tiny-bert', 'builtin://tiny-t5']))",
        ".training.packing",
        "packing documents is for decoder-only models without parallelism.sequence; use concat",
        _packed,
    ),
    *JOB_RULES,
    Rule(
        "!has(self.dataset.mixture) || self.evaluation.maxSequences >= self.dataset.mixture.size()",
        ".evaluation.maxSequences",
        "maxSequences must be at least the number of sources of dataset.mixture",
        _evaluates_each_source,
    ),
    Rule(
        _proven_cel(),
        ".parallelism",
        "this family is not proven equal to one process when it is cut like this; use one of tensor, "
        "pipeline and sequence, with a Llama or Qwen model (tensor also with BERT), or none",
        _proven,
        proof=True,
    ),
    Rule(
        _compiled_cel(),
        ".training.compile",
        "compiled layers of this family are not proven equal to one process, or not when it is cut like "
        "this or with this zeroStage; set compile to false",
        _compiled,
        proof=True,
    ),
    # the last: it counts on all that is above
    Rule(None, ".resources", "training must fit into memory", _fits),
)
"""In this order; the first that is broken is told. The last counts on all that is above."""
