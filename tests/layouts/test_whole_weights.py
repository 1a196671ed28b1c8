"""What every layout writes for the export is what its ranks hold, bit for bit, or no rank goes on."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness.builders import cut_as, spec

from llmtrain_api import Layout

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    from harness.layouts.forked_gang import fork_each, gang
    from harness.models.tiny import facts_of, folder_of_llama

    from llmtrain_trainer import distributed
    from llmtrain_trainer.batch import BatchPlan
    from llmtrain_trainer.checkpoint.full_weights import write_whole
    from llmtrain_trainer.errors import ExportMismatch
    from llmtrain_trainer.models.source import Source
    from llmtrain_trainer.models.stream import TensorFile
    from llmtrain_trainer.parallel.apply import build

KIB = 1 << 10
LARGEST = 24 * KIB
"""Bytes of a file: several for each stage."""
CASES: dict[str, tuple[Layout, dict[str, Any]]] = {
    "one": (Layout(), {}),
    "zero 0": (Layout(data=2, zero=0), {}),
    "zero 1": (Layout(data=2, zero=1), {}),
    "zero 2, tied": (Layout(data=2, zero=2), {"tie_word_embeddings": True}),
    "zero 3": (Layout(data=2, zero=3), {}),
    "tensor": (Layout(tensor=2, zero=1), {}),
    "tensor, zero 3": (Layout(tensor=2, zero=3), {}),
    "pipeline, tied": (Layout(pipeline=2, zero=1), {"tie_word_embeddings": True}),
    "sequence": (Layout(sequence=2, zero=2), {}),
}


def spoilt(add: Any, file: TensorFile, name: str, whole: torch.Tensor) -> None:
    """A disk, or a way to gather, that changes the lowest bit of one number of the last layer."""
    if name.endswith("layers.1.mlp.down_proj.weight"):
        whole = whole.detach().clone()
        whole.view(-1)[-1:].view(torch.int32).bitwise_xor_(1)
    add(file, name, whole)


def rank_main(folder: Path, layout: Layout, out: Path) -> None:
    """Write what was loaded; then once more, with one bit that is another."""
    ranks = distributed.join()
    asked = cut_as(spec(training={"precision": "fp32"}), layout)
    plan, place = BatchPlan(4, 1, layout.data), layout.place(ranks.rank)
    engine, _ = build(folder, asked, facts_of(folder).shape, layout, place, plan, 5)
    written = write_whole(engine, ranks, out / "whole", LARGEST)
    for name, entry in written.items():
        assert (out / "whole" / name).stat().st_size == entry["size"], name
    add = TensorFile.add
    TensorFile.add = lambda *of: spoilt(add, *of)  # type: ignore[method-assign]
    with pytest.raises(ExportMismatch, match=r"not those that were trained: .*layers\.1\.mlp\.down_proj"):
        write_whole(engine, ranks, out / "spoilt", LARGEST)
    (out / f"refused-{ranks.rank}").touch()
    distributed.leave()


@pytest.mark.parametrize("name", CASES)
def test_the_files_are_what_the_ranks_hold(name: str, tmp_path: Path) -> None:
    layout, config = CASES[name]
    folder, out = tmp_path / "model", tmp_path / "out"
    assert fork_each(1, lambda _: folder_of_llama(folder, **config), tmp_path / "make") is None
    error = gang(layout.world, partial(rank_main, folder, layout, out), out)
    assert error is None, error
    assert len(list(out.glob("refused-*"))) == layout.world
    begun, written = Source(folder), Source(out / "whole")
    assert written.names() == begun.names()
    for tensor in begun.names():
        assert torch.equal(written.read(tensor), begun.read(tensor)), tensor
    files = sorted((out / "whole").glob("*.safetensors"))
    assert len(files) >= 3
    largest = max(entry.bytes for entry in begun.entries.values())
    assert all(file.stat().st_size <= max(LARGEST, largest) + 8 * KIB for file in files)
    assert files[0].name == f"model-00001-of-{len(files):05}.safetensors"
