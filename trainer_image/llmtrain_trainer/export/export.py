"""The trained model as one Hugging Face folder, read back and compared before the job may succeed."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers

from llmtrain_api import AdapterSpec, JobFile, Place, Precision, Results, Task, task_of
from llmtrain_api.messages import figure
from llmtrain_api.schema.dataset import PYTHON_STDLIB

from .. import log
from ..batch import BatchPlan
from ..checkpoint.manifest import WEIGHTS
from ..checkpoint.ownership import uri_of
from ..data.loader import held_out_passes, open_held_out
from ..data.rows import Ids
from ..data.store import INITIAL, TOKENIZER, read_marker
from ..errors import ConfigError
from ..evaluate.generate import generate, open_folder
from ..evaluate.heldout import loss_sum
from ..files import discard, read_json, sync_tree, write_json
from ..floats import finite, perplexity
from ..models.build import DTYPES, load
from ..models.headers import CONFIG
from ..models.location import folder_of, start_of
from ..models.source import Source
from ..models.start import configuration_of, empty_model
from ..output import Output
from ..records import EvaluationRecord, read_record
from ..storage.start_marker import Start
from ..tasks import Tokens, encoder
from .adapter import FOLDER, GENERATION, open_adapter, write_adapter, write_merged

TOLERANCE = {Precision.FP32: 1e-4, Precision.BF16: 1e-2, Precision.FP16: 1e-2}
"""Largest relative difference of the perplexity between the trained engine and the exported folder."""
SANE_LOSS = 20.0
"""Nat a token that no model exceeds unless it has diverged: above, a difference is relative to the loss."""
NAME = "export"
ALONE = Place(0, 0, 0, 0)


class ExportMismatch(Exception):
    """What was written does not compute what was trained."""


def export(job: JobFile, start: Start) -> Results:
    """Write, reload, compare, generate, then publish the folder and ``results.json``."""
    output = start.output
    marker, trained = read_marker(output.data), read_record(output.evaluation, EvaluationRecord)
    newest = output.committed()
    if marker is None or trained is None or not newest or newest[0] != trained.step:
        raise ConfigError("nothing to export: training has not finished in this output folder")
    folder = start.fence.folder / NAME
    discard(folder)
    task = task_of(job.spec, job.shape)
    if job.spec.model.adapter:
        model, tokenizer = _write_adapted(job, job.spec.model.adapter, output, newest[0], folder)
    else:
        _write(job, output.step(newest[0]), output.data, folder)
        model, tokenizer = open_folder(folder, task, DTYPES[job.spec.training.precision])
    again = _compare(job, model, open_held_out(output.data), marker.special, trained.loss)
    sample = None
    if task is Task.CAUSAL and again is not None:  # nothing can be drawn from what is not finite
        code = PYTHON_STDLIB in (source.name for source in job.spec.dataset.sources)
        sample = generate(model, tokenizer, "def " if code else "")[:4096]
    sync_tree(folder)
    if output.export.exists():
        output.export.rename(start.fence.folder / f"old-{NAME}")
    start.fence.commit(NAME, output.export)
    results = Results(
        steps=trained.step,
        train_loss=figure(trained.train_loss),
        eval_loss=figure(again),
        perplexity=None if again is None else figure(perplexity(again)),
        data=marker.summary,
        unigram_entropy=marker.unigram_entropy,
        export_uri=f"{uri_of(job, output.root)}/{NAME}",
        sample=sample,
        **trained.run_state,
    )
    write_json(output.results, results.to_json())
    return results


def _write(job: JobFile, checkpoint: Path, data: Path, folder: Path) -> None:
    """The last checkpoint has the whole model's weights beside each rank's part."""
    found, task = _weights(checkpoint), task_of(job.spec, job.shape)
    base = folder_of(job)
    config = configuration_of(base or data / INITIAL)
    model = empty_model(config, task, DTYPES[job.spec.training.precision])
    missing, unknown = model.load_state_dict({name: found.read(name) for name in found.names()}, strict=False)
    model.tie_weights()
    # names of one tensor that is shared: only one of them is written
    missing = [name for name in missing if name not in model.all_tied_weights_keys]
    if missing or unknown:
        raise ExportMismatch(f"the checkpoint's weights lack {missing} and have {unknown} beside the model's")
    model.config.use_cache = True  # off in training; whoever reads the folder wants to generate
    model.save_pretrained(folder)
    shutil.copytree(data / TOKENIZER, folder, dirs_exist_ok=True)
    if base is not None:
        _keep_configuration(base, model.config, folder)


def _keep_configuration(base: Path, trained: Any, folder: Path) -> None:
    """The configuration that the base came with: also with its dropout, and with what is not known here."""
    config = read_json(base / CONFIG) or {}
    kept = ("architectures", "dtype", "transformers_version")
    written = read_json(folder / CONFIG) or {}
    config.pop("torch_dtype", None)
    config.update({name: written[name] for name in kept if name in written}, vocab_size=trained.vocab_size)
    write_json(folder / CONFIG, config)
    if (generation := base / GENERATION).is_file():
        shutil.copyfile(generation, folder / GENERATION)


def _write_adapted(
    job: JobFile, adapter: AdapterSpec, output: Output, step: int, folder: Path
) -> tuple[Any, Any]:
    """The adapter, and unless that is unwanted the merged model; what is there now, opened again."""
    trained, task = _weights(output.step(step)), task_of(job.spec, job.shape)
    initial, dtype = output.data / INITIAL, DTYPES[job.spec.training.precision]
    base, name = start_of(job, initial), job.spec.model.name
    if base == initial:
        name = f"{uri_of(job, output.root)}/{output.data.name}/{INITIAL}"
    shutil.copytree(output.data / TOKENIZER, folder)
    write_adapter(job, adapter, trained, name, folder / FOLDER)
    if job.spec.output.merged:
        write_merged(job, adapter, trained, base, folder)
        return open_folder(folder, task, dtype)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return open_adapter(load(base, task, dtype), folder), tokenizer


def _weights(checkpoint: Path) -> Source:
    """The whole model's trained weights.

    Raises:
        ConfigError: the checkpoint is not the last step's.
    """
    if not (checkpoint / WEIGHTS).is_dir():
        raise ConfigError(f"{checkpoint.name} has no {WEIGHTS} folder: it is not the last step's checkpoint")
    return Source(checkpoint / WEIGHTS)


def _compare(job: JobFile, model: Any, rows: Ids, tokens: Tokens, trained: float | None) -> float | None:
    """The exported folder's held-out loss; None where it is not finite, as the trained engine's was not."""
    plan = BatchPlan(len(rows), job.spec.training.micro_batch_size, 1)
    task = encoder(job.spec, job.shape, tokens)
    losses, labels = loss_sum(model, held_out_passes(rows, plan, ALONE, task, torch.device("cpu")))
    again = finite(losses / labels)
    difference = _difference(again, trained)
    log.get().info(
        "export compared", trained_loss=trained, exported_loss=again, relative_difference=difference
    )
    if difference > TOLERANCE[job.spec.training.precision]:
        raise ExportMismatch(
            f"the exported folder's held-out loss {again} is not the trained engine's {trained}"
        )
    return again


def _difference(again: float | None, trained: float | None) -> float:
    """Relative difference of two perplexities, also of losses at which a perplexity overflows."""
    if again is None or trained is None:
        return 0.0 if again is trained else math.inf
    return abs(math.expm1(min(again - trained, 700.0))) / max(1.0, abs(trained) / SANE_LOSS)
