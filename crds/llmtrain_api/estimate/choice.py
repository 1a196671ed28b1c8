"""What a job gets that it leaves open: micro-batch, chunked logits, activation checkpointing and ZeRO stage,
by the estimate.

In this order: without computing activations again; with whole logits; the lowest stage; the largest
micro-batch. So a stage is raised only where not even one sequence at once fits, logits are made in chunks
only where no stage helps, which costs a few percent at most, and activations are computed again only where
that does not: first what is cheap to compute again, then all. What the job says itself is never changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product, takewhile
from math import ceil

from ..families import FAMILIES
from ..layouts.layout import Layout
from ..layouts.proven import DIALOGUES, FAIRNESS, PAIRS, Asked, refusal
from ..schema.preference import PreferenceSpec
from ..schema.spec import JobSpec
from ..schema.task import Task
from ..schema.training import Recompute
from ..shape import ModelShape
from .logits import not_chunked
from .memory import estimate
from .zero_stage import limit, lowest_layout, said, stages

CPU_SEQUENCES = 8
"""Sequences at once that CPUs get at most: more are no faster, and take memory."""
GPU_TOKENS = 32_768
"""Tokens at once beyond which a GPU gets no faster: its matrix products are large enough."""
PASSES_A_STAGE = 2
"""Passes of a step for each stage of a pipeline, where a rank has so many sequences."""
MICRO, CHECKPOINTING = "micro_batch_size", "activation_checkpointing"
MODE = f"{CHECKPOINTING}_mode"
CHUNKED = "chunked_logits"


@dataclass(frozen=True)
class Choice:
    """How a job will be computed.

    Attributes:
        layout: how its gang is cut, with the ZeRO stage.
        micro_batch: sequences that a rank computes at once.
        recompute: which activations are computed again in the backward pass; None: none.
        chunked: whether logits are made a chunk at a time.
        need: bytes that a rank needs, as far as the estimate tells.
        why_micro_batch: the reason, for people.
        why_checkpointing: the reason, for people.
        why_chunked: the reason, for people.
    """

    layout: Layout
    micro_batch: int
    recompute: Recompute | None
    chunked: bool
    need: int
    why_micro_batch: str = ""
    why_checkpointing: str = ""
    why_chunked: str = ""


def choose(shape: ModelShape, spec: JobSpec) -> Choice:
    """How a job is computed: as it says, and for the rest what fits best; if nothing fits, what needs least.

    Whoever starts a job decides this once; its ranks obey what ``job.json`` says.

    Args:
        shape: the model's sizes.
        spec: the job.
    """
    room, tried = limit(spec), _Tried(shape, spec)
    for one in tried:
        if one.need <= room:
            return tried.told(one)
    return tried.told(tried.least)


def layout_of(shape: ModelShape, spec: JobSpec) -> Layout:
    """How the gang is cut, with the ZeRO stage decided: as asked, or the lowest that fits into memory."""
    return choose(shape, spec).layout


def applied(choice: Choice, spec: JobSpec) -> JobSpec:
    """The job with what it left open filled in, as its ranks are told it."""
    return _with(spec, choice.micro_batch, choice.recompute, chunked=choice.chunked)


def proof_asked(shape: ModelShape, spec: JobSpec, layout: Layout, *, compiled: bool = False) -> Asked:
    """What a job asks the table of proven layouts for.

    Args:
        shape: the model's.
        spec: the job, with what it left open filled in.
        layout: how its gang is cut.
        compiled: whether its layers are compiled.
    """
    how, variant = spec.training, FAMILIES[shape.architecture].variant(shape.switches)
    packing = packing_of(spec, FAMILIES[shape.architecture].task)
    options = (packing, how.recompute, how.precision)
    adapter, inspected = spec.model.adapter is not None, spec.model.builtin is None
    return Asked(variant, layout, *options, compiled, adapter, inspected, how.chunked_logits)


def packing_of(spec: JobSpec, task: Task | None = None) -> str:
    """What a row of a job's data is, in the words of the table.

    Args:
        spec: the job.
        task: what its model usually learns, where the job does not say.
    """
    if (spec.task or task) is Task.IMAGE_CHAT:
        return str(Task.IMAGE_CHAT)
    if spec.task is Task.CHAT:
        return DIALOGUES
    if spec.task is Task.PREFERENCE:
        return f"{PAIRS}{(spec.training.preference or PreferenceSpec()).loss}"
    if spec.task is not None and (spec.task.on_samples or spec.task in (Task.REWARD, Task.REINFORCEMENT)):
        return str(spec.task)
    return f"{FAIRNESS if spec.training.fairness else ''}{spec.training.packing}"


def too_large(shape: ModelShape, spec: JobSpec) -> str | None:
    """Why nothing fits, and what would help; None when something does."""
    room, choice = limit(spec), choose(shape, spec)
    if choice.need <= room:
        return None
    gpus, given = bool(spec.gpus_per_node), spec.resources
    field, size = ("gpuMemory", given.gpu_memory) if gpus else ("memory", given.memory)
    again = " and activations computed again" if choice.recompute else ""
    at_once = f"{choice.micro_batch} sequence{'' if choice.micro_batch == 1 else 's'} at once"
    lower = "microBatchSize" if choice.micro_batch > 1 else "sequenceLength"
    if spec.evaluation.only:
        return (
            f"{field} {size} leaves {said(room)}, and the model needs {said(choice.need)} to be measured, "
            f"with {at_once}; raise resources.{field}, or lower training.{lower}"
        )
    return (
        f"{field} {size} leaves {said(room)} a rank, and training needs {said(choice.need)} even with "
        f"ZeRO stage {choice.layout.zero}, {at_once}{again}; raise resources.{field}, add nodes, lower "
        f"training.{lower}, or set training.zeroStage to try it all the same"
    )


class _Tried:
    """All ways to compute a job, in the order in which they are preferred.

    Attributes:
        least: the way that needs least of those that were tried.
    """

    least: Choice

    def __init__(self, shape: ModelShape, spec: JobSpec) -> None:
        self._shape, self._spec, self._lowest = shape, spec, lowest_layout(spec)
        self._room = limit(spec)
        asked = spec.training.zero_stage
        own = asked is not None and range(max(self._lowest.zero, asked), max(self._lowest.zero, asked) + 1)
        self._stages = own or stages(self._lowest, whole=spec.task is Task.REINFORCEMENT)
        self._too_much: list[Choice] = []

    def __iter__(self) -> Iterator[Choice]:
        for again, chunked, stage in self._ways():
            layout = replace(self._lowest, zero=stage)
            for micro in self._micros():
                spec = _with(self._spec, micro, again, chunked=chunked)
                one = Choice(layout, micro, again, chunked, estimate(self._shape, spec, layout).peak)
                if not self._too_much or one.need < self.least.need:
                    self.least = one
                yield one
                self._too_much.append(one)

    def told(self, one: Choice) -> Choice:
        """The way with its reasons: of the stage in the layout."""
        return replace(
            one,
            layout=replace(one.layout, why=self._why_stage(one)),
            why_micro_batch=f"{one.micro_batch}{self._why_micro(one)}",
            why_checkpointing=f"{one.recompute or 'off'}{self._why_recompute(one)}",
            why_chunked=f"{'on' if one.chunked else 'off'}{self._why_chunked(one)}",
        )

    def _ways(self) -> Iterator[tuple[Recompute | None, bool, int]]:
        """What is computed again, whether logits are made in chunks, and in which stage."""
        training = self._spec.training
        agains = [training.recompute] if training.says_recompute else [None, *Recompute]
        for again, chunked, stage in product(agains, self._chunks(), self._stages):
            added = again is not None and not training.says_recompute
            if not (added or (chunked and not self._says_chunked)):
                yield again, chunked, stage
                continue
            # what is not proven is nobody's choice but the job's own, which is told why
            spec = _with(self._spec, training.micro_batch_size, again, chunked=chunked)
            layout = replace(self._lowest, zero=stage)
            if refusal(proof_asked(self._shape, spec, layout, compiled=training.compile)) is None:
                yield again, chunked, stage

    def _chunks(self) -> list[bool]:
        """Whether logits may be made in chunks, the preferred way first."""
        if self._says_chunked:
            return [self._spec.training.chunked_logits]
        never = self._spec.evaluation.only or not_chunked(self._shape, self._spec) is not None
        return [False] if never else [False, True]

    @property
    def _says_chunked(self) -> bool:
        return CHUNKED in self._spec.training.model_fields_set

    def _micros(self) -> Iterator[int]:
        """Sizes whose passes are about as full as each other, from the largest that is worth it to one."""
        if MICRO in self._spec.training.model_fields_set:
            yield min(self._spec.training.micro_batch_size, self._share)
            return
        passes, micro = ceil(self._share / self._most), 0
        while micro != 1:
            last, micro = micro, ceil(self._share / passes)
            if micro != last:
                yield micro
            passes *= 2

    @property
    def _share(self) -> int:
        """Sequences of a rank in a step."""
        return ceil(self._spec.training.global_batch_size / self._lowest.data)

    @property
    def _most(self) -> int:
        """Sequences at once at most. The stages of a pipeline idle less the more passes a step has."""
        gpus, length = self._spec.gpus_per_node, self._spec.training.sequence_length
        each = self._spec.sequences_a_sample
        most = max(1, GPU_TOKENS // (length * each)) if gpus else max(1, CPU_SEQUENCES // each)
        passes = 1 if self._lowest.pipeline == 1 else PASSES_A_STAGE * self._lowest.pipeline
        return max(1, min(most, self._share // passes))

    def _why_stage(self, one: Choice) -> str:
        if self._spec.training.zero_stage is not None:
            return "as zeroStage says"
        before, how = one.layout.zero - 1, f"zero{one.layout.zero}: "
        needs = [
            other.need
            for other in self._too_much
            if (other.recompute, other.chunked, other.layout.zero) == (one.recompute, one.chunked, before)
        ]
        if needs:
            return f"{how}stage {before} needs {said(min(needs))} a rank of {said(self._room)}"
        return f"{how}the lowest, and it fits" if one.need <= self._room else f"{how}what needs least"

    def _why_micro(self, one: Choice) -> str:
        if MICRO in self._spec.training.model_fields_set:
            whole = one.micro_batch == self._spec.training.micro_batch_size
            return ", as microBatchSize says" if whole else ": a rank has no more"
        larger = [
            other
            for other in self._too_much
            if (other.layout, other.recompute, other.chunked) == (one.layout, one.recompute, one.chunked)
        ]
        if larger and larger[-1].micro_batch > one.micro_batch:
            return f": {larger[-1].micro_batch} at once need {said(larger[-1].need)} of {said(self._room)}"
        return ": a rank has no more" if one.micro_batch == self._share else ": more are no faster"

    def _why_recompute(self, one: Choice) -> str:
        if self._spec.training.says_recompute:
            written = MODE in self._spec.training.model_fields_set
            return f", as activationCheckpointing{'Mode' if written else ''} says"
        if one.recompute is None:
            return ": it fits without" if one.need <= self._room else ": it does not help, or is not proven"
        *_, less = takewhile(lambda other: other.recompute != one.recompute, self._too_much)
        need = min(other.need for other in self._too_much if other.recompute == less.recompute)
        before = f"with {less.recompute}" if less.recompute else "without it"
        return f": {before} a rank needs {said(need)} of {said(self._room)}"

    def _why_chunked(self, one: Choice) -> str:
        if self._says_chunked:
            return ", as chunkedLogits says"
        if not one.chunked:
            return ": whole logits fit" if one.need <= self._room else ": it does not help, or is not proven"
        alike = [
            other.need
            for other in self._too_much
            if (other.recompute, other.chunked) == (one.recompute, False)
        ]
        return f": with whole logits a rank needs {said(min(alike))} of {said(self._room)}"


def _with(spec: JobSpec, micro: int, again: Recompute | None, *, chunked: bool) -> JobSpec:
    decided = {MICRO: micro, CHECKPOINTING: again is not None, MODE: again, CHUNKED: chunked}
    return spec.model_copy(update={"training": spec.training.model_copy(update=decided)})
