"""Which layouts are proven or refused.

Families x ZeRO stages, tensor, pipeline and sequence parallelism, alone and with data parallelism. Options
(accumulation, checkpointing, packing) are spread so that each pair occurs. Compiled layers: `compiled`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from harness.builders import cut_as, unchecked_spec
from harness.layouts.answers import HOW
from harness.layouts.twins import NAME, TWINS, shape_for

from llmtrain_api import JobSpec, Layout, ModelShape, Packing, Precision, Task
from llmtrain_api.layouts.proven import DIALOGUES, FAIRNESS, PAIRS, REINFORCEMENT, Asked
from llmtrain_api.rules.adapter import REASONS
from llmtrain_api.schema.preference import PreferenceLoss

VOCAB, LENGTH, STEPS, SAMPLES = 320, 32, 5, 11
SIZES: dict[str, Any] = {"hiddenSize": 32, "numLayers": 2, "numHeads": 4, "vocabSize": VOCAB}
GROUPED = SIZES | {"numKvHeads": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": GROUPED | {"name": "builtin://tiny-llama"},
    "llama-tied": GROUPED | {"name": "builtin://tiny-llama", "tiedEmbeddings": True},
    "qwen": GROUPED | {"name": "builtin://tiny-qwen"},
    "qwen-tied": GROUPED | {"name": "builtin://tiny-qwen", "tiedEmbeddings": True},
    "gpt2": SIZES | {"name": "builtin://tiny-gpt2"},
    "bert": SIZES | {"name": "builtin://tiny-bert"},
    "t5": SIZES | {"name": "builtin://tiny-t5"},
}
SEEING = {
    "llava": GROUPED | {"name": "builtin://tiny-llava"},
    "llava-tied": GROUPED | {"name": "builtin://tiny-llava", "tiedEmbeddings": True},
}
SEEN = str(Task.IMAGE_CHAT)
CUT = ("llama", "llama-tied", "qwen", "qwen-tied")
"""Built-in families that may be cut in every way."""
DECODERS = (*CUT, "gpt2")
WRITERS = ("t5", "bart")
"""Encoders with a decoder, whose rows are of one document or of none."""
SAMPLED = tuple(str(task) for task in Task if task.on_samples or task is Task.REWARD)
"""Rows of samples, or of pairs that a head gives numbers, by the task that reads them."""
ADAPTER: dict[str, Any] = {"rank": 4, "alpha": 6}
"""Small, with a scale that is not 1 and no power of 2."""
ALIKE: dict[str, Any] = {"pairs": "pvc://data/pairs.jsonl", "weight": 0.05, "pairsPerStep": 3}
"""Odd too: a rank has a spare slot."""
WHOLE = Layout(data=2, zero=0)
GLOBAL_BATCH = {1: 3, 4: 7}
"""By accumulation steps; odd, so that slots stay spare wherever the batch is cut evenly."""


@dataclass(frozen=True)
class Row:
    """One proof, or one refusal with its demonstration."""

    family: str
    layout: Layout
    accumulation: int = 1
    checkpointing: bool = False
    packing: str = "concat"
    precision: str = "fp32"
    compiled: bool = False
    adapter: bool = False
    selective: bool = False
    chunked: bool = False

    def spec(self, *, clipping: float) -> JobSpec:
        """The job that asks for this, with its cut unvalidated."""
        batch, cut = GLOBAL_BATCH[self.accumulation], self.layout
        training: dict[str, Any] = {
            "globalBatchSize": batch,
            "microBatchSize": -(-batch // (cut.data * self.accumulation)),
            "activationCheckpointing": self.checkpointing or self.selective,
            "sequenceLength": LENGTH,
            "maxSteps": STEPS,
            "warmupSteps": 2,
            "learningRate": 1e-2,
            "weightDecay": 0.1,
            "gradientClipping": clipping,
        }
        if self.chunked:
            training["chunkedLogits"] = True
        if self.selective:
            training["activationCheckpointingMode"] = "selective"
        if self.rewarded:
            training["reinforcement"] = HOW
        if self.loss:
            training["preference"] = {"loss": self.loss, "beta": 0.3}
            if self.loss == "kto":
                training["preference"] |= {"desirableWeight": 1.25, "undesirableWeight": 0.7}
        if self.alike:
            training["fairness"] = ALIKE
        adapter: dict[str, Any] = {"adapter": ADAPTER} if self.adapter else {}
        # set apart: what validation refuses must be seen to go wrong
        return cut_as(
            unchecked_spec(
                model=(FAMILIES | SEEING).get(self.family, {"name": NAME}) | adapter,
                training=training,
                **self._task,
            ),
            cut,
            packing=self._packing,
            precision=Precision(self.precision),
            compile=self.compiled,
        )

    @property
    def _packing(self) -> Packing:
        if self.sampled is not None or self.rewarded or self.seen:
            return Packing.CONCAT
        return Packing.DOCUMENTS if self._task else Packing(self.packing.removeprefix(FAIRNESS))

    @property
    def _task(self) -> dict[str, Any]:
        if self.sampled is not None:
            return {"task": str(self.sampled), "dataset": {"name": "pvc://data/samples"}}
        rows = {"dataset": {"name": "pvc://data/rows"}}
        if self.seen:
            return rows | {"task": SEEN}
        if self.loss:
            return rows | {"task": "preference"}
        if self.rewarded:
            return rows | {"task": "reinforcement"}
        return rows | {"task": "chat"} if self.packing == DIALOGUES else {}

    @property
    def loss(self) -> str:
        """What is minimised over pairs of answers; empty for other rows."""
        return self.packing.removeprefix(PAIRS) if self.packing.startswith(PAIRS) else ""

    @property
    def alike(self) -> bool:
        """Whether pairs of sentences are held alike beside the batch."""
        return self.packing.startswith(FAIRNESS)

    @property
    def seen(self) -> bool:
        """Whether rows are dialogues with images."""
        return self.packing == SEEN

    @property
    def rewarded(self) -> bool:
        """Whether rows are groups of answers that rules rewarded."""
        return self.packing == REINFORCEMENT

    @property
    def sampled(self) -> Task | None:
        """The task on samples; None where rows are of text or dialogues."""
        return Task(self.packing) if self.packing in SAMPLED else None

    @property
    def asked(self) -> Asked:
        """What a job like this asks the table for."""
        again = self.spec(clipping=0.0).training.recompute
        options = (self.packing, again, self.precision, self.compiled, self.adapter)
        return Asked(self.family, self.layout, *options, chunked=self.chunked)

    @property
    def shape(self) -> ModelShape:
        """Its model's."""
        return shape_for(self.family, self.spec(clipping=0.0))

    @property
    def problem(self) -> tuple[str, int, str, bool]:
        """What is computed, however it is cut: rows of one problem share their reference."""
        return self.family, self.accumulation, self.packing, self.adapter

    def __str__(self) -> str:
        options = [f"accumulation {self.accumulation}"]
        options += ["checkpointing"] if self.checkpointing else []
        options += ["selective"] if self.selective else []
        options += ["chunked logits"] if self.chunked else []
        options += ["adapter"] if self.adapter else []
        options += ["compiled"] if self.compiled else []
        options += [self.packing] if self.packing != "concat" else []
        options += [self.precision] if self.precision != "fp32" else []
        return f"{self.family} {self.layout} ({', '.join(options)})"


def _spread(family: str, layouts: list[Layout], *, packs: bool) -> list[Row]:
    """Two rows a layout: both accumulations, both checkpointings, and both packings where there are two."""
    found = []
    for number, layout in enumerate(layouts):
        odd = bool(number % 2)
        packed = packs and family in (*DECODERS, *TWINS) and family not in WRITERS
        for accumulation, first in ((1, True), (4, False)):
            documents = packed and first != (number % 4 >= 2)
            found.append(
                Row(family, layout, accumulation, first == odd, "documents" if documents else "concat")
            )
    return found


def required() -> list[Row]:
    """Rows that must be equal."""
    found: list[Row] = []
    for family in FAMILIES:
        found += _spread(family, [Layout(zero=0)], packs=True)
        found += _spread(family, [Layout(data=2, zero=zero) for zero in (1, 2, 3)], packs=True)
    for family in CUT:
        found += _spread(family, [Layout(data, 2, zero=z) for data in (1, 2) for z in (1, 2, 3)], packs=True)
        found += _spread(family, [Layout(data, pipeline=2) for data in (1, 2)], packs=True)
        sequence = [Layout(data, sequence=2, zero=z) for data in (1, 2) for z in (1, 2, 3)]
        found += _spread(family, sequence, packs=False)
    found += _spread("bert", [Layout(data, 2) for data in (1, 2)], packs=False)
    found += dialogues()
    bf16 = [Layout(data=2, zero=1), Layout(data=2, zero=2), Layout(data=2, zero=3)]
    cut16 = [Layout(tensor=2), Layout(pipeline=2), Layout(sequence=2, zero=2), Layout(sequence=2, zero=3)]
    found += [Row(family, layout, 4, precision="bf16") for family, layout in product(FAMILIES, bf16)]
    found += [Row(family, layout, 4, precision="bf16") for family, layout in product(CUT, cut16)]
    # with gloo on a CPU, which has fp16 too; that a GPU computes the same: `bench.gpu`
    found += [Row(family, layout, 4, precision="fp16") for family, layout in product(FAMILIES, bf16)]
    found += compiled() + adapted() + of_twins() + sampled() + preferences() + fairness()
    found += reinforcements() + images() + selective() + chunked()
    return found + whole(found)


def whole(rows: list[Row]) -> list[Row]:
    """Rows of ranks that hold whole models: each one that is proven with ZeRO 1 by data parallelism alone."""
    return [
        replace(row, layout=WHOLE)
        for row in rows
        if row.layout == Layout(data=2, zero=1) and row.precision == "fp32"
    ]


def adapted() -> list[Row]:
    """Rows with adapters beside frozen weights, by data parallelism: of all but Llama each option once."""
    found: list[Row] = []
    for family in FAMILIES:
        found += _spread(family, [Layout(zero=0)], packs=True)
        rows = _spread(family, [Layout(data=2, zero=zero) for zero in (1, 2, 3)], packs=True)
        found += rows if family == "llama" else [rows[0], rows[3], rows[5]]
        stages = (1, 2, 3) if family in CUT else (1,)
        found += [Row(family, Layout(data=2, zero=zero), 4, precision="bf16") for zero in stages]
        if family in CUT:  # GPT-2's gradient norm was 6e-5 off with these
            found.append(Row(family, Layout(zero=0), 1, False, DIALOGUES))
        if family in CUT and family != "qwen":
            found.append(Row(family, Layout(data=2), 4, True, DIALOGUES))
    return [replace(row, adapter=True) for row in found]


def sampled() -> list[Row]:
    """Rows of tasks on samples, by data parallelism, against its samples one by one."""
    families = {
        "classification": ("bert", "llama", "qwen", "gpt2"),
        "regression": ("bert", "llama"),
        "text2text": WRITERS,
        "tokenClassification": ("bert",),
        "questionAnswering": ("bert",),
        "reward": ("llama", "qwen", "gpt2"),
    }
    found = []
    for task, of_task in families.items():
        for family in of_task:
            found += [Row(family, Layout(zero=0), 1, again, task) for again in (True, False)]
            for zero in (1, 2, 3):
                found.append(Row(family, Layout(data=2, zero=zero), 1 if zero == 2 else 4, zero > 1, task))
    return found


def dialogues() -> list[Row]:
    """Rows of `task: chat`: each family in each way that it may be cut, against its dialogues one by one."""
    usual = [Layout(zero=0), *(Layout(data=2, zero=zero) for zero in (1, 2, 3))]
    cut = [Layout(data, 2) for data in (1, 2)] + [Layout(data, pipeline=2) for data in (1, 2)]
    return [
        Row(family, layout, 4 if number % 2 else 1, bool(number % 2), DIALOGUES)
        for family in DECODERS
        for number, layout in enumerate([*usual, *(cut if family in CUT else [])])
    ]


def preferences() -> list[Row]:
    """Rows of `task: preference`: each loss by data parallelism, against its answers one by one."""
    layouts = [Layout(zero=0), *(Layout(data=2, zero=zero) for zero in (1, 2, 3))]
    return [
        Row("llama", layout, 4 if number % 2 else 1, bool(number % 2), f"{PAIRS}{loss}", adapter=adapter)
        for adapter in (False, True)
        for loss in (("dpo", "kto") if adapter else PreferenceLoss)
        for number, layout in enumerate(layouts)
    ]


def fairness() -> list[Row]:
    """Rows with the penalty on pairs of sentences, by data parallelism, against its texts one by one."""
    layouts = [Layout(zero=0), *(Layout(data=2, zero=zero) for zero in (1, 2, 3))]
    kinds = [("llama", packing, adapter) for adapter in (False, True) for packing in ("concat", "documents")]
    half = [Row("llama", layout, 4, packing=f"{FAIRNESS}concat", precision="bf16") for layout in layouts[1:]]
    return half + [
        Row(family, layout, 4 if odd else 1, bool(odd), f"{FAIRNESS}{packing}", adapter=adapter)
        for turn, (family, packing, adapter) in enumerate([*kinds, ("gpt2", "concat", False)])
        for number, layout in enumerate(layouts)
        for odd in ((number + turn) % 2,)
    ]


def reinforcements() -> list[Row]:
    """Rows of `task: reinforcement`, by data parallelism with whole weights, against answers one by one."""
    layouts = [Layout(zero=0), *(Layout(data=2, zero=zero) for zero in (1, 2))]
    rows = [
        Row(family, layout, 4 if number % 2 else 1, bool(number % 2), REINFORCEMENT, adapter=adapter)
        for family, adapter in (("llama", False), ("llama", True), ("qwen", False), ("gpt2", False))
        for number, layout in enumerate(layouts)
    ]
    return [
        *rows,
        *(Row("llama", layout, 4, precision="bf16", packing=REINFORCEMENT) for layout in layouts[1:]),
    ]


def images() -> list[Row]:
    """Rows of `task: imageChat`, by data parallelism, against dialogues one by one."""
    layouts = [Layout(zero=0), *(Layout(data=2, zero=zero) for zero in (1, 2, 3))]
    found: list[Row] = []
    for family in SEEING:
        found += [
            Row(family, layout, 4 if n % 2 else 1, bool(n % 2), SEEN) for n, layout in enumerate(layouts)
        ]
        found += [Row(family, layout, 1 if n % 2 else 4, not n % 2, SEEN) for n, layout in enumerate(layouts)]
        found += [Row(family, layout, 4, precision="bf16", packing=SEEN) for layout in layouts[1:3]]
    # of the other, ZeRO 3 in bf16 is refused
    return [*found, Row("llava-tied", layouts[3], 4, precision="bf16", packing=SEEN)]


def selective() -> list[Row]:
    """Rows that keep what matrix products and attention made, and compute the rest again. With adapters,
    images and compiled layers too, as those make other products."""
    whole = [Layout(zero=0), *(Layout(data=2, zero=zero) for zero in (1, 2, 3))]
    cut = [*(Layout(data, pipeline=2) for data in (1, 2)), Layout(sequence=2, zero=3)]
    cut.append(Layout(2, sequence=2, zero=2))
    found: list[Row] = []
    for family in (*FAMILIES, *(twin for twin in TWINS if twin not in WRITERS)):
        layouts = [*whole, *(cut if family in CUT else [])]
        for number, layout in enumerate(layouts):
            packs = family in (*DECODERS, *TWINS) and layout.sequence == 1 and not number % 2
            row = Row(family, layout, 4 if number % 2 else 1, packing="documents" if packs else "concat")
            found += [] if replace(row, selective=True) in REFUSED else [row]
    found += [Row(family, whole[2], 4, precision="bf16") for family in ("llama", "gpt2", "t5")]
    for family in FAMILIES:
        layouts = whole if family == "llama" else [whole[0], whole[2]]
        found += [Row(family, layout, 4, adapter=True) for layout in layouts]
    found += [Row(family, layout, 4, packing=SEEN) for family in SEEING for layout in (whole[0], whole[2])]
    found += [Row(family, whole[1], 4, compiled=True) for family in ("llama", "qwen")]
    return [replace(row, selective=True) for row in found]


def chunked() -> list[Row]:
    """Rows whose logits are made of a few tokens at a time: by data parallelism, as the output layer is whole
    there, tied or not, and frozen beside adapters."""
    whole = [Layout(zero=0), *(Layout(data=2, zero=zero) for zero in (1, 2, 3))]
    found: list[Row] = []
    for family in (*DECODERS, *(twin for twin in TWINS if twin not in (GEMMA2, *WRITERS))):
        for number, layout in enumerate(whole[:3] if family in TWINS or "qwen" in family else whole):
            packing = "concat" if number % 2 else "documents"
            found.append(Row(family, layout, 4 if number % 2 else 1, bool(number % 2), packing))
    found += [Row(family, whole[1], 4, precision="bf16") for family in ("llama", "llama-tied", "gpt2")]
    found.append(Row("llama", whole[1], 4, packing=DIALOGUES))
    found += [Row("llama", layout, 4, adapter=True) for layout in whole[:3]]
    return [replace(row, chunked=True) for row in found]


def of_twins() -> list[Row]:
    """Rows of models that are not built in, on their twins."""
    found: list[Row] = []
    for family in TWINS:
        found += _spread(family, [Layout(zero=0)], packs=True)
        found += _spread(family, [Layout(data=2, zero=zero) for zero in (1, 2, 3)], packs=True)
        found += [Row(family, Layout(data=2, zero=zero), 4, precision="bf16") for zero in (1, 2, 3)]
        for layout in (Layout(tensor=2), Layout(pipeline=2), Layout(sequence=2)):
            if Row(family, layout) in REFUSED:
                continue
            found += _spread(family, [layout], packs=layout.sequence == 1)
            half = replace(layout, zero=2) if layout.sequence > 1 else layout
            found.append(Row(family, half, 4, precision="bf16"))
    return found


def compiled() -> list[Row]:
    """Rows with compiled layers: those of Llama in every way, and the others where most jobs are."""
    found: list[Row] = []
    usual = [*(Layout(data=2, zero=zero) for zero in (1, 2)), Layout(zero=0)]
    for family in (*DECODERS, "bert"):
        found += _spread(family, usual, packs=True)
        found += [Row(family, layout, 4, precision="bf16") for layout in usual[:1]]
    found += _spread("llama", [Layout(tensor=2)], packs=True)
    found += _spread("llama", [Layout(pipeline=2)], packs=True)
    # not with checkpointing: that cuts code with Ulysses' collectives in it
    found += [Row("llama", Layout(sequence=2), accumulation) for accumulation in (1, 4)]
    cut16 = [Layout(tensor=2), Layout(pipeline=2), Layout(sequence=2, zero=2)]
    found += [Row("llama", layout, 4, precision="bf16") for layout in cut16]
    return [replace(row, compiled=True) for row in found]


GEMMA2 = "gemma2-tied head-size soft-cap:attention soft-cap:logits"
REFUSED: dict[Row, str] = {
    Row(
        "llava", Layout(data=2, zero=3), 4, precision="bf16", packing=SEEN
    ): "with ZeRO 3 in bf16 its gradient norm differs by more than is allowed from one process's",
    Row("phi3 window", Layout(tensor=2)): "DeepSpeed's AutoTP cannot cut Phi-3's fused matrices",
    **{
        Row(family, Layout(pipeline=2)): "there are pipeline stages for Llama, Mistral and Qwen only"
        for family in (GEMMA2, "phi3 window", "bart")
    },
    **{
        Row(family, Layout(sequence=2)): "Ulysses drops the mask of windows"
        for family in ("mistral window", "phi3 window")
    },
    Row(GEMMA2, Layout(sequence=2)): "Ulysses has no attention with soft caps",
    Row("bart", Layout(sequence=2)): "Ulysses reads key/value heads that only Llama and Qwen have",
    Row("t5", Layout(tensor=2)): "AutoTP leaves part of T5's attention bias out of the gradient norm",
    Row("gpt2", Layout(tensor=2)): "DeepSpeed's AutoTP cannot cut GPT-2's Conv1D",
    **{
        Row(family, Layout(pipeline=2)): "there are pipeline stages for Llama and Qwen only"
        for family in ("gpt2", "bert", "t5")
    },
    **{
        Row(family, Layout(sequence=2)): "Ulysses reads key/value heads that only Llama and Qwen have"
        for family in ("gpt2", "bert", "t5")
    },
    Row("llama", Layout(sequence=2), packing="documents"): "Ulysses drops the mask between documents",
    Row("llama", Layout(pipeline=2, zero=2)): "DeepSpeed has no pipeline with ZeRO 2 or 3",
    Row(
        "llama", Layout(data=2, zero=3), compiled=True
    ): "DeepSpeed's hooks at each weight cut compiled code into pieces, too many to compile in a deep model",
    Row("llama", Layout(tensor=2, pipeline=2)): "AutoTP does not cut a pipeline's stages",
    **{
        Row(
            family, Layout(data=2, zero=3), 4, selective=True
        ): "ZeRO 3 adds biases in place to what selective activation checkpointing keeps"
        for family in ("bert", "qwen2")
    },
    Row("llama", Layout(tensor=2), selective=True): "AutoTP sums in place, over its ranks, what selective "
    "activation checkpointing keeps",
    Row("llama", Layout(tensor=2), adapter=True): REASONS["tensor"],
    Row("llama", Layout(pipeline=2), adapter=True): REASONS["pipeline"],
}
"""Rows that are tried and go wrong, and why nobody may ask for them."""


def quick() -> list[Row]:
    """A part of the required rows in which each family, kind, stage and option occurs with each kind."""
    found, seen = [], set[tuple[str, str]]()
    for row in required():
        pairs = _pairs(row)
        if not pairs <= seen:
            seen |= pairs
            found.append(row)
    return found


def _pairs(row: Row) -> set[tuple[str, str]]:
    kind = row.layout.kind
    if row.sampled is not None:
        return {("samples", f"zero{row.layout.zero}"), (row.layout.kind, row.packing)}
    if row.family in TWINS:
        return {(row.family, kind)} if kind == "pp" else set()  # our own code; the rest is in the table
    if row.adapter:
        # GPT-2 keeps its matrices the other way round
        other = "gpt2" if row.family == "gpt2" else ""
        return {("adapter", f"zero{row.layout.zero}"), ("adapter", row.precision), ("adapter", other)}
    if row.chunked:
        return {("chunked", f"zero{row.layout.zero}")} if row.family == "llama-tied" else set()
    if row.selective:
        if row.family != "llama" or row.compiled:
            return set()
        if row.adapter:
            return {("selective", "adapter")}
        return {("selective", f"{kind.removesuffix('+dp')} zero{row.layout.zero}")}
    if row.compiled:
        # one with most in it: each compiles for half a minute
        return {("compiled", "documents")} if row.checkpointing and row.packing == "documents" else set()
    return {
        (row.family, kind.removesuffix("+dp")),
        (kind, f"zero{row.layout.zero}"),
        (kind, row.packing),
        (kind.removesuffix("+dp"), row.precision),
        (f"accumulation {row.accumulation}", f"checkpointing {row.checkpointing}"),
    }
