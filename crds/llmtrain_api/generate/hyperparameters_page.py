"""``docs/hyperparameters.md``: the tables of recipes and of defaults, for people."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..recipes import Recipe, Use, recipes
from ..schema.hyperparameters import DEFAULTS

_HEAD = """# Hyper-parameters and where they come from

Generated from `recipes.json` and `schema/hyperparameters.py` of `crds/llmtrain_api` by `make generate`.
`llmtrain presets --hyperparameters` prints the same (`-o json` for programs).

Recipes are for you to choose by: a job gets none of them by itself. `status.resolved.recipe`,
`llmtrain check` and `llmtrain show` name the one of the job's task whose model is the nearest in size. A cell
is empty where the source does not say. Your own data have the last word: `llmtrain check JOB.yaml --lr-range`
([how](how-it-works.md#how-a-learning-rate-is-tested)), or an [`LLMTrainingSweep`](sweeps.md).
"""
_DEFAULTS = """
## Defaults

What a job gets that does not say. `status.resolved.learningRate` and `status.resolved.defaults` have those
that a job runs by, and so has the model card. They are not those of each recipe: a default that fits a laptop
and a cluster is kept until a measurement speaks against it.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for use in Use:
        found = [row for row in recipes() if row.use is use]
        cells = [_cells(row) for row in found]
        parts += [f"## {use.value[0].upper()}{use.value[1:]}\n", _table(_COLUMNS, cells)]
    parts.append(_DEFAULTS)
    told = [(f"`{d.field}`", f"`{d.text}`", d.what, _linked(d.source)) for d in DEFAULTS]
    parts.append(_table(("field of `training`", "value", "for", "source"), told))
    return "\n".join(parts)


_COLUMNS = (
    "model",
    "size",
    "learning rate",
    "warm-up",
    "schedule",
    "a step",
    "length",
    "weight decay",
    "betas",
    "LoRA",
    "source",
)


def _cells(row: Recipe) -> tuple[str, ...]:
    decay = "" if row.decay is None else f"{row.decay:g}"
    how = (row.warmup, row.schedule, row.batch, row.length, decay, row.betas, row.adapter)
    return (row.model, row.size, f"`{row.rate:g}`", *how, _linked(row.source))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    lines += [list(row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _linked(text: str) -> str:
    """A source with links to the papers that it names."""
    return re.sub(r"arXiv:(\d{4}\.\d{5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
