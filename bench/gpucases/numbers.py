"""Whether a GPU computes what one fp64 process on a CPU computes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from typing import Any

from harness.layouts import nonfinite
from harness.layouts.forked_gang import fork_each, gang
from harness.layouts.proof import Bench
from harness.layouts.prove import identity
from harness.layouts.rows import DECODERS, Row
from harness.layouts.rows import FAMILIES as TRAINED
from harness.layouts.worker import first_weights, overflow_main

from llmtrain_api import Layout

from .runner import Context

FAMILIES = list(TRAINED)


def rows_of(family: str, precision: str) -> list[Row]:
    """One rank in each ZeRO stage: options differ, so that each occurs with each family."""
    lowest = 0 if precision == "fp32" else 1
    found = []
    for zero in range(lowest, 4):
        documents = family in DECODERS and zero % 2 == 0
        row = Row(family, Layout(zero=zero), 1 if zero % 2 == 0 else 4, checkpointing=zero in (1, 2))
        found.append(replace(row, packing="documents" if documents else "concat", precision=precision))
    return found


def rows(context: Context, family: str, precision: str) -> None:
    """Losses, gradients and weights of a family in every ZeRO stage."""
    _prove(context, rows_of(family, precision)[: 1 if context.tiny else None])


def compiled(context: Context, family: str) -> None:
    """The same with layers that torch.compile compiles for the GPU."""
    asked = [
        Row(family, Layout(zero=0), 1, True, "documents"),
        Row(family, Layout(zero=1), 4, precision="bf16"),
    ]
    _prove(context, [replace(row, compiled=True) for row in asked])


def sparing(context: Context) -> None:
    """The same where memory is spared: by selective checkpointing, and by chunks of logits."""
    asked = [Row("llama", Layout(zero=0), 1, packing="documents"), Row("llama", Layout(zero=1), 4)]
    asked.append(replace(asked[1], precision="bf16"))
    both = [replace(row, selective=True) for row in asked] + [replace(row, chunked=True) for row in asked]
    _prove(context, both[: 1 if context.tiny else None])


def _prove(context: Context, asked: list[Row]) -> None:
    bench, wrong = Bench(context.folder), []
    for row in asked:
        proof = bench.prove(row)
        found: dict[str, Any] = {"row": identity(row), "equal": proof.error is None}
        found["seconds"] = round(proof.seconds, 1)
        if proof.error is not None:
            found["error"] = proof.error[-2500:]
            wrong.append(str(row))
        for name, errors in (("gpu", proof.found), ("one_process", proof.alone)):
            found[name] = vars(errors) if errors else None
        context.say(found)
    assert not wrong, wrong


def not_finite(context: Context) -> None:
    """A NaN step is dropped and told, and a return to a checkpoint gives the same bits."""
    options = [(0, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16"), (1, "fp16"), (2, "fp16"), (3, "fp16")]
    model, wrong = context.folder / "model", []
    asked = [Row("llama", Layout(zero=zero), 4, precision=precision) for zero, precision in options]
    assert fork_each(1, partial(first_weights, asked[0].spec(clipping=0.0), model), context.folder) is None
    for number, row in enumerate(asked[: 1 if context.tiny else None]):
        out = context.folder / f"row-{number}"
        error = gang(1, partial(nonfinite.poisoned_main, row, model, out), out)
        seen = {} if error else json.loads((out / "rank-0.json").read_text())
        right = [step != nonfinite.POISONED for step in range(nonfinite.STEPS)]
        good = not error and seen["applied"] == seen["moved"] == right and all(seen["finite"])
        good = good and seen["norms"][nonfinite.POISONED] == "inf" and seen["back"] and seen["again"]
        context.say({"row": identity(row), "good": bool(good), "seen": seen, "error": error})
        if not good:
            wrong.append(str(row))
    assert not wrong, wrong


def loss_scale(context: Context) -> None:
    """Gradients far too large for fp16: the scale is halved until they fit, and none reaches the weights."""
    model = context.folder / "model"
    spec = Row("llama", Layout(zero=1), 4).spec(clipping=0.0)
    assert fork_each(1, partial(first_weights, spec, model), context.folder) is None
    wrong = []
    for zero in (1,) if context.tiny else (1, 2, 3):
        row, out = Row("llama", Layout(zero=zero), 4, precision="fp16"), context.folder / f"scale-{zero}"
        error = gang(1, partial(overflow_main, row, model, out), out)
        seen = {} if error else json.loads((out / "rank-0.json").read_text())
        context.say({"row": identity(row), "seen": seen, "error": error})
        if error or not found_its_scale(seen):
            wrong.append(f"zero{zero}")
    assert not wrong, wrong


def found_its_scale(seen: dict[str, Any]) -> bool:
    """Whether steps were dropped first, then applied with a lower scale and the right norm."""
    applied, scales = seen["applied"], seen["scales"]
    dropped = applied.index(True) if True in applied else len(applied)
    return bool(
        0 < dropped < len(applied)
        and all(applied[dropped:])
        and scales[-1] < scales[0]
        and seen["finite"]
        and math.isclose(seen["norm"], seen["right"], rel_tol=2e-2)
    )
