"""Which layouts may be asked for: those that `proven.json` has a proof for.

`make layouts` writes the table: each row was trained for five steps of SGD and five of AdamW and compared
with one fp64 process. Rows spread their options, so a layout is allowed when each pair of the family and its
kind with a stage, a packing, a checkpointing and a precision has a row that is equal. Compiled layers, and
layers with adapters, are other code: only rows of their own speak for them.
A family is an architecture with its switches; one that the table does not name may only what does not depend
on the code of a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from .layout import Layout

TABLE = Path(__file__).with_name("proven.json")


SELECTIVE = "selective"
"""Rows whose layers kept what matrix products and attention made, and computed the rest again."""
CHUNKED = "chunkedLogits"
"""Rows whose logits were made of a few tokens at a time."""
DIALOGUES = "dialogues"
"""How rows of task chat are packed, in the words of the table."""
REINFORCEMENT = "reinforcement"
"""What rows of answers are that the model wrote and rules rewarded, in the words of the table."""
PAIRS = "pairs "
"""Before what is minimised over rows of task preference, in the words of the table."""
FAIRNESS = "fairness "
"""Before how documents are packed, where pairs of sentences are held alike beside them, in the words of the
table."""
UNPACKED = {
    DIALOGUES: "documents",
    "classification": "concat",
    "regression": "concat",
    "text2text": "concat",
    "tokenClassification": "concat",
    "questionAnswering": "concat",
    "reward": "concat",
}
"""Tasks whose rows are not of plain text, in the words of the table, and which rows of text speak for them
where a family has none of its own."""


@dataclass(frozen=True)
class Asked:
    """What a job asks for, in the words of the table.

    Attributes:
        recompute: which activations are computed again, as `Recompute` has it; None: none.
        inspected: whether the model is not built in: of such models there are more than rows, so that what
            does not depend on the code of their layers is allowed without one.
        chunked: whether logits are made of a few tokens at a time.
    """

    family: str
    layout: Layout
    packing: str
    recompute: str | None
    precision: str
    compiled: bool = False
    adapter: bool = False
    inspected: bool = False
    chunked: bool = False

    @property
    def model(self) -> str:
        """What is trained, for people."""
        return f"{self.family} with an adapter" if self.adapter else self.family


@cache
def table() -> tuple[dict[str, Any], ...]:
    """The rows of `proven.json`."""
    return tuple(json.loads(TABLE.read_text()))


def refusal(asked: Asked, rows: Iterable[dict[str, Any]] | None = None) -> str | None:
    """Why a layout may not be asked for; None when it is proven.

    Args:
        asked: the layout and its options.
        rows: of the table.
    """
    of_family = [row for row in (table() if rows is None else rows) if row["family"] == asked.family]
    asked = _proven_elsewhere(asked, of_family)
    known = [row for row in of_family if _code(row) == (asked.compiled, asked.adapter) and not chunked(row)]
    if asked.inspected and not known:
        return _unknown(asked)
    equal = [row for row in known if row["verdict"] == "equal"]
    kind = asked.layout.kind
    if kind == "one" and asked.layout.zero:
        kind = "dp"  # one rank of ZeRO is its smallest gang
    of_kind = [row for row in equal if row["layout"] == kind]
    for row in known:
        alike = _same_kind(row["layout"], kind) and row["packing"] == asked.packing
        same = (row["zero"], row["precision"]) == (asked.layout.zero, asked.precision)
        # a reason is about one stage in one precision only where others are proven
        alike = alike and recomputed(row) in (None, asked.recompute)
        if row["verdict"] == "refused" and alike and (same or not of_kind):
            return f"{asked.model} with {kind}: {row['reason']}"
    pairs = (
        ("zero", asked.layout.zero, "zeroStage"),
        ("packing", asked.packing, "packing"),
        ("checkpointing", asked.recompute, "activationCheckpointing"),
    )
    if not equal:
        return f"{asked.model} is not proven equal to one process in any layout"
    for field, value, name in pairs:
        if not any(_option(row, field) == value for row in of_kind):
            proven = sorted({f"{row['layout']} {field} {_said(_option(row, field))}" for row in equal})
            return (
                f"{asked.model} with {kind} and {name} {_said(value)} is not proven equal to one process; "
                f"proven are {', '.join(proven)}"
            )
    if told := _stage_unproven(asked, kind, of_kind, of_family):
        return told
    model = kind.removesuffix("+dp")
    if not any(row["precision"] == asked.precision and _same_kind(row["layout"], model) for row in equal):
        return f"{asked.model} with {kind} in {asked.precision} is not proven equal to one process; use fp32"
    return None


def _stage_unproven(
    asked: Asked, kind: str, of_kind: list[dict[str, Any]], of_family: list[dict[str, Any]]
) -> str | None:
    """What must be proven in the very stage, as that decides what is done to products and to weights."""
    told = f"{asked.model} with {kind} and {{}} in ZeRO stage {asked.layout.zero} is not proven equal to one "
    if asked.recompute == SELECTIVE and not any(
        (recomputed(row), row["zero"]) == (SELECTIVE, asked.layout.zero) for row in of_kind
    ):
        # one that adds in place to what was kept would have it added twice
        return told.format("activationCheckpointingMode selective") + "process; use full"
    if asked.chunked and not any(
        (row["layout"], row["zero"]) == (kind, asked.layout.zero)
        for row in of_family
        if chunked(row) and _equal(row) and adapted(row) == asked.adapter
    ):
        return told.format("chunkedLogits") + "process; set chunkedLogits to false"
    return None


def _proven_elsewhere(asked: Asked, of_family: list[dict[str, Any]]) -> Asked:
    """What to look for in the place of kinds of rows that a family has no proof of, and others have."""
    if asked.packing in UNPACKED and not any(row["packing"] == asked.packing for row in of_family):
        # the same code as other rows with fewer labels or another head
        return replace(asked, packing=UNPACKED[asked.packing])
    if asked.packing.startswith((PAIRS, REINFORCEMENT)) and not any(
        row["packing"] == asked.packing and _code(row) == (asked.compiled, asked.adapter) for row in of_family
    ):
        # plain rows under another sum over what the model says
        return replace(asked, packing="concat")
    if asked.packing.startswith(FAIRNESS) and not any(
        row["packing"] == asked.packing and _code(row) == (asked.compiled, asked.adapter) for row in of_family
    ):
        # plain passes beside those of the batch
        return replace(asked, packing=asked.packing.removeprefix(FAIRNESS))
    return asked


def _unknown(asked: Asked) -> str | None:
    """What a model without rows may not ask for: whatever depends on the code of its layers.

    Data-parallel ranks with ZeRO 0 to 2 hold whole weights, and compute what one process does with them.
    """
    wrong = [
        what
        for what, used in (
            (f"layout {asked.layout.kind}", asked.layout.kind not in ("one", "dp")),
            (f"ZeRO stage {asked.layout.zero}", asked.layout.zero > 2),
            (f"packing {asked.packing}", asked.packing != "concat"),
            (f"precision {asked.precision}", asked.precision not in ("fp32", "bf16")),
            ("compiled layers", asked.compiled),
            ("chunkedLogits", asked.chunked),
            ("activationCheckpointingMode selective", asked.recompute == SELECTIVE),
        )
        if used
    ]
    if not wrong:
        return None
    return (
        f"no layout of {asked.model} is proven equal to one process yet, and {wrong[0]} depends on the code "
        "of its layers; use data parallelism with ZeRO 1 or 2, or prove it: rows of the model's tiny twin in "
        "the harness of `make layouts`"
    )


def families(kind: str, *, compile_layers: bool = False) -> list[str]:
    """Families that may be cut so, by ``dp``, ``tp``, ``pp`` or ``sp``, with compiled layers or without."""
    cut = [row for row in table() if _equal(row) and row["layout"] == kind]
    return sorted({row["family"] for row in cut if _code(row) == (compile_layers, False)})


def stages(*, compile_layers: bool = False) -> list[int]:
    """ZeRO stages that are proven for any family, with compiled layers or without."""
    return sorted({row["zero"] for row in table() if _equal(row) and _code(row) == (compile_layers, False)})


def compiled(row: dict[str, Any]) -> bool:
    """Whether a row's layers were compiled; told only where they were."""
    return bool(row.get("compiled"))


def adapted(row: dict[str, Any]) -> bool:
    """Whether adapters were trained instead of the weights; told only where they were."""
    return bool(row.get("adapter"))


def recomputed(row: dict[str, Any]) -> str | None:
    """Which activations a row computed again, as a job says it; that it was not all of them is told only
    where it is so."""
    if row.get(SELECTIVE):
        return SELECTIVE
    return "full" if row["checkpointing"] else None


def chunked(row: dict[str, Any]) -> bool:
    """Whether logits were made of a few tokens at a time; told only where they were. Layers, compiled or not,
    know nothing of it."""
    return bool(row.get(CHUNKED))


def _option(row: dict[str, Any], field: str) -> object:
    return recomputed(row) if field == "checkpointing" else row[field]


def _said(value: object) -> object:
    return "false" if value is None else value


def _code(row: dict[str, Any]) -> tuple[bool, bool]:
    """Which code a row speaks for."""
    return compiled(row), adapted(row)


def _equal(row: dict[str, Any]) -> bool:
    return bool(row["verdict"] == "equal")


def _same_kind(one: str, other: str) -> bool:
    """Whether two layouts cut the model alike; data-parallel ranks beside it change no reason."""
    return one.removesuffix("+dp") == other.removesuffix("+dp")
