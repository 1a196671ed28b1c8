"""How a gang may be cut: sizes that divide each other, and layouts that are proven."""

from __future__ import annotations

from ..estimate.choice import applied, choose, proof_asked
from ..families import FAMILIES
from ..layouts.proven import families, refusal
from ..schema.base import Rule
from ..schema.model import HEADS, HIDDEN, LAYERS
from ..schema.spec import JobSpec
from ..shape import TIED
from .cel import UNCUT, bound
from .sized import Sized, SizedRule

WAYS = {"tensor": "tp", "pipeline": "pp", "sequence": "sp"}
WORLD_CEL = "self.nodes * (self.gpusPerNode > 0 ? self.gpusPerNode : self.processesPerNode)"
CUT_CEL = "(self.parallelism.tensor * self.parallelism.pipeline * self.parallelism.sequence)"
OWN_CEL = "!self.model.name.startsWith('builtin://')"
"""CEL knows no sizes of other models: the operator applies these rules once it knows them."""


def size_cel(field: str, default: int | str) -> str:
    """A size of a built-in model."""
    return f"(has(self.model.{field}) ? self.model.{field} : {default})"


HEADS_CEL = size_cel("numHeads", HEADS)
KV_CEL = size_cel("numKvHeads", HEADS_CEL)
WIDTH_CEL = size_cel("intermediateSize", f"4 * {size_cel('hiddenSize', HIDDEN)}")
TIED_CEL = "(has(self.model.tiedEmbeddings) && self.model.tiedEmbeddings)"


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


def _whole_heads(job: Sized) -> str | None:
    cut, shape = job.spec.parallelism, job.shape
    for name, ranks in (("tensor", cut.tensor), ("sequence", cut.sequence)):
        for field, heads in (("numHeads", shape.heads), ("numKvHeads", shape.kv_heads)):
            if heads % ranks:
                return f"{name} {ranks} does not divide {job.named(field)} {heads}; change one of them"
    return None


def _whole_matrices(job: Sized) -> str | None:
    ranks, width = job.spec.parallelism.tensor, job.shape.width
    if width % ranks:
        return f"tensor {ranks} does not divide {job.named('intermediateSize')} {width}; change one of them"
    return None


def _whole_sequences(spec: JobSpec) -> str | None:
    ranks, length = spec.parallelism.sequence, spec.training.sequence_length
    if length % ranks:
        return f"sequence {ranks} does not divide training.sequenceLength {length}; change one of them"
    return None


def _stage_has_layers(job: Sized) -> str | None:
    stages, layers = job.spec.parallelism.pipeline, job.shape.layers
    if stages <= layers:
        return None
    return f"pipeline {stages} is more than {job.named('numLayers')} {layers}; each stage needs a layer"


def _pipeline_zero(spec: JobSpec) -> str | None:
    if spec.parallelism.pipeline == 1 or spec.training.zero_stage in (None, 1):
        return None
    return (
        f"zeroStage {spec.training.zero_stage} with pipeline {spec.parallelism.pipeline}: DeepSpeed has no "
        "pipeline with ZeRO 2 or 3, and clips each stage by its own norm with 0; use 1"
    )


def refused_layout(job: Sized, *, compiled: bool = False) -> str | None:
    """Why a job may not run in the layout that it gets; None where that is proven.

    Args:
        job: with its model's shape.
        compiled: whether its layers are compiled.
    """
    choice = choose(job.shape, job.spec)
    return refusal(proof_asked(job.shape, applied(choice, job.spec), choice.layout, compiled=compiled))


def family_cel(kind: str, *, compile_layers: bool = False) -> str:
    """Whether the model's family is proven in a kind of layout, with compiled layers or without."""
    variants = families(kind, compile_layers=compile_layers)
    names = [
        f"{family.builtin}{'-tied' if tied else ''}"
        for family in FAMILIES.values()
        for tied in ((False, True) if family.grouped else (False,))
        if family.builtin and family.variant((TIED,) if tied else ()) in variants
    ]
    return f"({OWN_CEL} || (self.model.name + ({TIED_CEL} ? '-tied' : '')) in {sorted(names)})"


def _proven_cel() -> str:
    """The part of `_proven` that CEL can say: which family may be cut how, and in one way at a time."""
    allowed = [f"(self.parallelism.{way} == 1 || {family_cel(kind)})" for way, kind in WAYS.items()]
    used = " + ".join(f"(self.parallelism.{way} > 1 ? 1 : 0)" for way in WAYS)
    return f"{UNCUT} || ({' && '.join([*allowed, f'{used} <= 1'])})"


RULES: tuple[Rule, ...] = (
    Rule(
        "self.gpusPerNode == 0 || self.processesPerNode in [1, self.gpusPerNode]",
        ".processesPerNode",
        "remove processesPerNode: with gpusPerNode there is one process a GPU",
        _processes,
    ),
    Rule(
        f"{UNCUT} || {WORLD_CEL} % {CUT_CEL} == 0",
        ".parallelism",
        "tensor x pipeline x sequence must divide the world size (nodes x processes)",
        _divides,
    ),
    Rule(
        bound("b", "self.training.globalBatchSize", bound("w", WORLD_CEL, f"b >= w || b * {CUT_CEL} >= w")),
        ".training.globalBatchSize",
        "globalBatchSize must be at least the data-parallel ranks: the world size (nodes x processes) "
        "/ (tensor x pipeline x sequence)",
        _batch_covers_data_ranks,
    ),
    SizedRule(
        f"{UNCUT} || {OWN_CEL} || ({HEADS_CEL} % self.parallelism.tensor == 0 && "
        f"{HEADS_CEL} % self.parallelism.sequence == 0 && "
        f"{KV_CEL} % self.parallelism.tensor == 0 && {KV_CEL} % self.parallelism.sequence == 0)",
        ".parallelism",
        "tensor and sequence must divide model.numHeads and model.numKvHeads",
        _whole_heads,
    ),
    SizedRule(
        f"self.parallelism.tensor == 1 || {OWN_CEL} || {WIDTH_CEL} % self.parallelism.tensor == 0",
        ".parallelism.tensor",
        "tensor must divide model.intermediateSize",
        _whole_matrices,
    ),
    Rule(
        "self.parallelism.sequence == 1 || self.training.sequenceLength % self.parallelism.sequence == 0",
        ".parallelism.sequence",
        "sequence must divide training.sequenceLength",
        _whole_sequences,
    ),
    SizedRule(
        f"self.parallelism.pipeline == 1 || {OWN_CEL} || "
        f"self.parallelism.pipeline <= {size_cel('numLayers', LAYERS)}",
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
)
PROVEN: tuple[Rule, ...] = (
    SizedRule(
        _proven_cel(),
        ".parallelism",
        "this family is not proven equal to one process when it is cut like this; use one of tensor, "
        "pipeline and sequence, with a Llama or Qwen model (tensor also with BERT), or none",
        refused_layout,
    ),
)
"""They count on all other rules but those of memory."""
