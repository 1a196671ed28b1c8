"""A random model of a size that shows whether it is held or read twice, and what ranks hold of it.

``python -m harness.sizes.large`` prints a line of JSON a rank, with 1 GB of weights unless told otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from deepspeed.utils import safe_get_full_fp32_param
from harness.builders import cut_as, spec
from harness.layouts.forked_gang import fork_each, gang
from harness.models.tiny import facts_of, write_tokenizer
from harness.sizes.anonymous import anonymous, give_back_at_once, trimmed, watched

from llmtrain_api import JobSpec, Layout, Task
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan
from llmtrain_trainer.checkpoint.full_weights import write_whole
from llmtrain_trainer.data.loader import held_out_passes
from llmtrain_trainer.models.build import load
from llmtrain_trainer.models.source import Source
from llmtrain_trainer.models.start import configuration_of, shapes_of, start_weights
from llmtrain_trainer.models.stream import write_tensors
from llmtrain_trainer.parallel import apply
from llmtrain_trainer.tasks import OURS, encoder

MIB = 1 << 20
SIZES: dict[str, dict[str, int]] = {
    "170 MB": {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 12},
    "1 GB": {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 19},
}
VOCABULARY, LENGTH, ROWS = 4_000, 32, 4
LAYOUTS = {
    "zero 0": Layout(data=2, zero=0),
    "zero 1": Layout(data=2, zero=1),
    "zero 2": Layout(data=2, zero=2),
    "zero 3": Layout(data=2, zero=3),
    "tensor": Layout(tensor=2, zero=1),
    "pipeline": Layout(pipeline=2, zero=1),
}


def write_model(folder: Path, size: str) -> None:
    """A random Llama as a Hugging Face folder, one tensor in memory at a time."""
    if (folder / "config.json").exists():
        return
    write_tokenizer(folder)
    config: dict[str, Any] = SIZES[size] | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
    }
    partial_config = folder / ".config" / "config.json"
    partial_config.parent.mkdir()
    partial_config.write_text(json.dumps(config))
    shapes = shapes_of(configuration_of(partial_config.parent), Task.CAUSAL)
    write_tensors(folder, shapes, partial(_random, shapes), torch.float32, largest=200 * MIB)
    partial_config.rename(folder / "config.json")
    partial_config.parent.rmdir()


def _random(shapes: dict[str, tuple[int, ...]], name: str) -> torch.Tensor:
    if len(shapes[name]) == 1:
        return torch.ones(shapes[name])
    generator = torch.Generator().manual_seed(list(shapes).index(name))
    return torch.empty(shapes[name]).normal_(0.0, 0.02, generator=generator)


def job_of(layout: Layout) -> JobSpec:
    """A job of two ranks."""
    return cut_as(spec(training={"precision": "fp32", "sequenceLength": LENGTH}), layout)


def rows() -> np.ndarray[Any, Any]:
    """Sequences whose loss is compared."""
    return np.random.default_rng(5).integers(40, VOCABULARY, (ROWS, LENGTH)).astype(np.uint16)


def weights_of(folder: Path) -> int:
    """Bytes of a folder's weights."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def plain_loss(folder: Path) -> float:
    """Of `rows`, by transformers alone."""
    model = load(folder, Task.CAUSAL, torch.float32).eval()
    ids = torch.from_numpy(rows().astype(np.int64))
    with torch.no_grad():
        logits = model(ids).logits[:, :-1]
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1).double(), ids[:, 1:].flatten()))


def prepared(folder: Path, size: str, work: Path) -> float:
    """Write a model, in a fork that leaves no memory behind; the loss of plain transformers."""
    assert (error := fork_each(1, lambda _: write_model(folder, size), work)) is None, error
    assert (error := fork_each(1, partial(write_loss, folder, work / "loss.json"), work)) is None, error
    return float(json.loads((work / "loss.json").read_text()))


def rank_main(folder: Path, layout: Layout, out: Path) -> None:
    """Load as training does, and tell what it took."""
    give_back_at_once()
    ranks = distributed.join()
    asked, shape = job_of(layout), facts_of(folder).shape
    plan, place = BatchPlan(ROWS, 1, layout.data), layout.place(ranks.rank)
    told: dict[str, Any] = {"layout": str(layout), "rank": ranks.rank, "before": anonymous()}
    opened: Any = apply.start_from

    def counting(engine: Any, weights: Any, **how: bool) -> None:
        told["built"] = trimmed()
        with watched() as peak:
            opened(engine, weights, **how)
        told.update(peak=peak.value, loaded=anonymous(), asked=weights.source.asked)

    setattr(apply, "start_from", counting)  # noqa: B010 (a fork's own)
    with watched() as whole:
        engine, _ = apply.build(folder, asked, shape, layout, place, plan, 5)
    told["built peak"] = whole.value
    weights = start_weights(folder, Task.CAUSAL, 0)
    source = Source(folder)
    largest = max(entry.bytes for entry in source.entries.values())
    told |= {"largest": largest, "files": weights_of(folder)}
    for name, parameter in engine.named_parameters():
        stored = weights.read(name, engine.whole_shape(name, parameter))
        assert torch.equal(engine.whole_weight(name, parameter), stored), name
        if layout.tensor == layout.pipeline == 1:
            assert torch.equal(safe_get_full_fp32_param(parameter).view(-1), stored.view(-1)), name
    passes = held_out_passes(rows(), plan, place, encoder(asked, shape, OURS), ranks.device)
    losses, labels = distributed.all_reduce_sum_float(ranks, *engine.loss_sum(passes))
    told["loss"] = losses / labels
    told["training"] = trimmed()
    with watched() as peak:
        write_whole(engine, ranks, out / "whole", 256 * MIB)
    told["writing"] = peak.value
    told["written"] = trimmed()
    (out / f"told-{ranks.rank}.json").write_text(json.dumps(told))
    distributed.leave()


def write_loss(folder: Path, out: Path, _rank: int) -> None:
    """`plain_loss` into a file, from a fork of its own: it computes in threads."""
    out.write_text(json.dumps(plain_loss(folder)))


def faults(told: dict[str, Any], loss: float) -> list[str]:
    """What a rank held or read too much, and where it computed something else.

    Args:
        told: by the rank.
        loss: of plain transformers.
    """
    room, written = told["largest"] + 64 * MIB, min(128 * MIB, 4 * told["largest"] + 48 * MIB)
    return [
        f"{what}: {value} is more than {limit}"
        for what, value, limit in (
            ("loading, above the engine", told["peak"] - told["built"], room),
            ("writing, above training", told["writing"] - told["training"], written),
            ("asked of the files", told["asked"], told["files"] * (0.51 if "zero3" in told["layout"] else 1)),
            ("loss, relative", abs(told["loss"] - loss) / loss, 1e-6),
        )
        if value > limit
    ]


def measured(folder: Path, layout: Layout, out: Path) -> list[dict[str, Any]]:
    """What each rank of a layout told.

    Raises:
        AssertionError: a rank failed.
    """
    error = gang(layout.world, partial(rank_main, folder, layout, out), out)
    assert error is None, error
    begun, written = Source(folder), Source(out / "whole")
    assert written.names() == begun.names()
    for name in begun.names():
        assert torch.equal(written.read(name), begun.read(name)), name
    shutil.rmtree(out / "whole")
    return [json.loads((out / f"told-{rank}.json").read_text()) for rank in range(layout.world)]


def main() -> int:
    """All layouts, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="1 GB")
    parser.add_argument("-k", metavar="LAYOUT", choices=LAYOUTS)
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as root:
        folder, wrong = Path(root, "model"), 0
        loss = prepared(folder, asked.size, Path(root, "loss"))
        for name in [asked.k] if asked.k else LAYOUTS:
            for told in measured(folder, LAYOUTS[name], Path(root, "out")):
                found = faults(told, loss)
                wrong += len(found)
                print(json.dumps(told | {"faults": found}), flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
