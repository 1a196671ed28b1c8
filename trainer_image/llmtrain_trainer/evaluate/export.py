"""The trained model as one Hugging Face folder, read back and compared before the job may succeed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import transformers

from llmtrain_api import JobFile, Precision, Results

from .. import log
from ..attempt import Start
from ..checkpoint.ownership import uri_of
from ..checkpoint.save import STATE
from ..data.loader import open_held_out
from ..data.sources import PYTHON_STDLIB
from ..data.store import INITIAL, TOKENIZER, read_marker
from ..errors import ConfigError
from ..files import discard, read_json, sync_tree, write_json
from ..models.build import DTYPES
from .generate import generate, open_folder
from .heldout import loss_sum, perplexity

TOLERANCE = {Precision.FP32: 1e-4, Precision.BF16: 1e-2}
"""Largest relative difference of the perplexity between the trained engine and the exported folder."""
NAME = "export"


class ExportMismatch(Exception):
    """What was written does not compute what was trained."""


def export(job: JobFile, start: Start) -> Results:
    """Write, reload, compare, generate, then publish the folder and ``results.json``."""
    output = start.output
    marker, trained = read_marker(output.data), read_json(output.evaluation)
    newest = output.committed()
    if marker is None or trained is None or not newest or newest[0] != trained["step"]:
        raise ConfigError("nothing to export: training has not finished in this output folder")
    folder = start.fence.folder / NAME
    discard(folder)
    dtype = DTYPES[job.spec.training.precision]
    _write(output.step(newest[0]), output.data, folder, dtype)
    model, tokenizer = open_folder(folder, dtype)
    again = _compare(job, model, open_held_out(output.data), trained["loss"])
    sample = generate(model, tokenizer, "def " if job.spec.dataset.name == PYTHON_STDLIB else "")
    sync_tree(folder)
    if output.export.exists():
        output.export.rename(start.fence.folder / f"old-{NAME}")
    start.fence.commit(NAME, output.export)
    results = Results(
        steps=trained["step"],
        train_loss=trained["trainLoss"],
        eval_loss=again,
        perplexity=perplexity(again),
        unigram_entropy=marker.unigram_entropy,
        export_uri=f"{uri_of(job, output.root)}/{NAME}",
        sample=sample[:4096],
    )
    write_json(output.results, results.to_json())
    return results


def _write(checkpoint: Path, data: Path, folder: Path, dtype: torch.dtype) -> None:
    """ZeRO-1 keeps whole weights on every rank, so one file of the checkpoint has them all."""
    state = torch.load(
        checkpoint / STATE / "mp_rank_00_model_states.pt", map_location="cpu", mmap=True, weights_only=False
    )
    config = transformers.AutoConfig.from_pretrained(data / INITIAL, local_files_only=True)
    config.use_cache = True  # off in training; whoever reads the folder wants to generate
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.load_state_dict(state["module"])
    model.save_pretrained(folder)
    shutil.copytree(data / TOKENIZER, folder, dirs_exist_ok=True)


def _compare(job: JobFile, model: Any, rows: Any, trained: float) -> float:
    micro = job.spec.training.micro_batch_size
    losses, tokens = loss_sum(model, rows, micro, torch.device("cpu"))
    again = losses / tokens
    difference = abs(perplexity(again) / perplexity(trained) - 1)
    log.get().info(
        "export compared", trained_loss=trained, exported_loss=again, relative_difference=difference
    )
    if not difference <= TOLERANCE[job.spec.training.precision]:
        raise ExportMismatch(
            f"the exported folder's perplexity {perplexity(again):.6g} is not the trained engine's "
            f"{perplexity(trained):.6g}"
        )
    return again
