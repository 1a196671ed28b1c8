"""Every layout starts from the very numbers in the files of a model; a rank asks for its own."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness.builders import cut_as, spec

from llmtrain_api import Layout, Task

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    from deepspeed.utils import safe_get_full_fp32_param
    from harness.layouts.forked_gang import fork_each, gang
    from harness.models.tiny import facts_of, folder_of_llama

    from llmtrain_trainer import distributed
    from llmtrain_trainer.batch import BatchPlan
    from llmtrain_trainer.models.source import Source
    from llmtrain_trainer.models.start import start_weights
    from llmtrain_trainer.parallel import apply
    from llmtrain_trainer.parallel.apply import build

LAYOUTS = [
    Layout(),
    Layout(zero=1),
    Layout(data=2, zero=1),
    Layout(data=2, zero=2),
    Layout(data=2, zero=3),
    Layout(tensor=2, zero=1),
    Layout(pipeline=2, zero=1),
]
STORED = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def rank_main(folder: Path, layout: Layout, precision: str, out: Path) -> None:
    """Build the engine of a rank and compare what it holds with the files."""
    ranks = distributed.join()
    shape = facts_of(folder).shape
    asked = cut_as(spec(training={"precision": precision}), layout)
    plan = BatchPlan(4, 1, layout.data)
    sources: list[Source] = []
    opened: Any = apply.start_from

    def counting(engine: Any, weights: Any, **how: bool) -> None:
        sources.append(weights.source)
        opened(engine, weights, **how)

    setattr(apply, "start_from", counting)  # noqa: B010 (a fork's own)
    engine, _ = build(folder, asked, shape, layout, layout.place(ranks.rank), plan, 5)
    weights = start_weights(folder, Task.CAUSAL, 0)
    for name, parameter in engine.named_parameters():
        stored = weights.read(name, engine.whole_shape(name, parameter))
        trained = engine.whole_weight(name, parameter).cpu()
        assert trained.dtype == STORED[precision], (name, trained.dtype)
        assert torch.equal(trained, stored.to(trained.dtype)), name
        if layout.zero and layout.tensor == layout.pipeline == 1:
            assert torch.equal(safe_get_full_fp32_param(parameter).cpu().view(-1), stored.float().view(-1)), (
                name
            )
    if layout.zero == 3:
        whole = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        assert sources[0].asked <= 0.51 * whole, (sources[0].asked, whole)
    (out / f"held-{ranks.rank}").touch()
    distributed.leave()


CASES = [
    *((layout, "fp32", "fp32", False) for layout in LAYOUTS),
    *((layout, "bf16", "bf16", True) for layout in LAYOUTS if layout.zero),
    *((layout, "fp16", "bf16", False) for layout in (Layout(data=2, zero=2), Layout(data=2, zero=3))),
]


@pytest.mark.parametrize(("layout", "stored", "precision", "tied"), CASES, ids=str)
def test_every_rank_holds_what_the_files_say(
    tmp_path: Path, layout: Layout, stored: str, precision: str, tied: bool
) -> None:
    folder, out = tmp_path / "model", tmp_path / "out"

    def make(_: int) -> None:
        folder_of_llama(folder, dtype=STORED[stored], tie_word_embeddings=tied, shard="30KB")

    assert fork_each(1, make, tmp_path / "make") is None
    assert len(list(folder.glob("*.safetensors"))) > 1
    assert gang(layout.world, partial(rank_main, folder, layout, precision, out), out) is None
    assert len(list(out.glob("held-*"))) == layout.world
