"""Runs rows in the forked gang: references once a problem, then the ranks, then the verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from harness.layouts import samples
from harness.layouts.forked_gang import fork_each, gang
from harness.layouts.reference import reference
from harness.layouts.rows import Row
from harness.layouts.tolerances import Errors, errors, wrong
from harness.layouts.twins import TWINS
from harness.layouts.worker import rank_main

from llmtrain_api import Layout
from llmtrain_trainer.models.build import write_initial

RUNS = {"sgd": 0.0, "adamw": 0.5}
"""Optimizers and their clipping: SGD shows the scale of a gradient, AdamW is what is shipped."""


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Proof:
    """What came of a row.

    Attributes:
        error: why it could not run, or what was not equal; None = equal.
        found: the worst of both runs.
        alone: the same of one process of that precision.
    """

    row: Row
    error: str | None
    found: Errors | None = None
    alone: Errors | None = None
    seconds: float = 0.0


def uncompiled(ranks: list[dict[str, Any]]) -> str | None:
    """Whether the layers of a compiled row were not, or not as a whole: its numbers would be right too."""
    seen = [rank["compiled"] for rank in ranks]
    whole = all(one["compiled"] and not one["cuts"] for one in seen)
    return None if whole else f"layers were not compiled, or in pieces: {seen}"


def _twin(family: str) -> Any:
    """The configuration of a twin; None for a built-in family."""
    config = TWINS.get(family)
    return None if config is None else transformers.AutoConfig.for_model(**config, use_cache=False)


class Bench:
    """A folder with initial weights and references, shared by rows of one problem."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: dict[Any, dict[str, Any]] = {}

    def prove(self, row: Row) -> Proof:
        """Both runs of a row."""
        began, found, alone = time.monotonic(), [], []
        for kind, clipping in RUNS.items():
            model, out = self._initial(row), self.root / "out"
            error = gang(row.layout.world, partial(rank_main, row, kind, clipping, model, out), out)
            if error:
                return Proof(row, error, seconds=time.monotonic() - began)
            ranks = [torch.load(out / f"rank-{r}.pt", weights_only=False) for r in range(row.layout.world)]
            exact = self._reference(row, kind, torch.float64)
            one = self._reference(row, kind, DTYPES[row.precision])
            try:
                found.append(errors(ranks, exact))
            except AssertionError as different:
                return Proof(row, str(different), seconds=time.monotonic() - began)
            alone.append(errors([one | {"place": Layout().place(0)}], exact))
            if row.compiled and (seen := uncompiled(ranks)):
                return Proof(row, seen, found[-1], alone[-1], time.monotonic() - began)
        said = [wrong(row, *pair) for pair in zip(found, alone, strict=True)]
        return Proof(
            row,
            "; ".join(text for text in said if text) or None,
            max(found, key=lambda e: e.gradient),
            max(alone, key=lambda e: e.gradient),
            time.monotonic() - began,
        )

    def _initial(self, row: Row) -> Path:
        family, head = row.family, None if row.sampled is None else samples.head(row.sampled)
        folder = self.root / "initial" / (family if head is None else f"{family} {row.packing}")
        if not folder.exists():
            spec = row.spec(clipping=0.0) if head else Row(family, Layout()).spec(clipping=0.0)
            self._forked(lambda: write_initial(spec, row.shape, 0, folder, _twin(family), head))
        return folder

    def reference(self, row: Row) -> None:
        """Compute what the row is compared with now, before anything is changed."""
        for kind in RUNS:
            for dtype in (torch.float64, DTYPES[row.precision]):
                self._reference(row, kind, dtype)

    def _reference(self, row: Row, kind: str, dtype: torch.dtype) -> dict[str, Any]:
        key, path = (row.problem, kind, dtype), self.root / "reference.pt"
        if key not in self._made:
            model = self._initial(row)
            # the exact one by a CPU; the other one by what the rows run on
            there = "cpu" if dtype == torch.float64 or not torch.cuda.is_available() else "cuda"
            self._forked(lambda: torch.save(reference(row, kind, RUNS[kind], model, dtype, there), path))
            self._made[key] = torch.load(path, weights_only=False)
        return self._made[key]

    def _forked(self, make: Any) -> None:
        """In a process of its own: one that has computed must not be forked."""
        error = fork_each(1, lambda _rank: make(), self.root / "log")
        assert error is None, error
