"""The trained model as a Hugging Face folder: the last checkpoint's own files, and what describes them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from llmtrain_api import JobFile, Task, task_of

from .. import log
from ..checkpoint.manifest import WEIGHTS
from ..data.store import INITIAL, TOKENIZER
from ..errors import ConfigError, ExportMismatch
from ..files import read_json, write_json
from ..models.build import DTYPES
from ..models.head import DESCRIBED, Head
from ..models.headers import CONFIG, INDEX, SINGLE
from ..models.location import folder_of
from ..models.source import Source
from ..models.start import configuration_of, empty_model, parts_of
from ..special_tokens import MASK, ends_of_ours

GENERATION, WORDS = "generation_config.json", "tokenizer_config.json"
FEW = 3
"""Names that a message lists."""


def weights_of(checkpoint: Path) -> Source:
    """The whole model's trained weights, or an adapter's.

    Raises:
        ConfigError: the checkpoint is not one that can be exported.
    """
    if not (checkpoint / WEIGHTS).is_dir():
        raise ConfigError(
            f"{checkpoint.name} has no {WEIGHTS} folder: it is neither the last step's nor a best one's"
        )
    return Source(checkpoint / WEIGHTS)


def write_model(job: JobFile, checkpoint: Path, data: Path, folder: Path, head: Head | None = None) -> None:
    """Make a folder that anybody opens. No number is read: weights are links to the checkpoint's files.

    Args:
        job: the job.
        checkpoint: of the last step.
        data: the prepared data, with the tokenizer.
        folder: to be made.
        head: that was trained; None for a language model's own.

    Raises:
        ExportMismatch: the checkpoint's weights are not those of the job's model.
    """
    base, found = folder_of(job), weights_of(checkpoint)
    with torch.device("meta"):
        model = empty_model(
            configuration_of(base or data / INITIAL, head=head),
            task_of(job.spec, job.shape),
            DTYPES[job.spec.training.precision],
        )
    _require_same(model, found)
    shutil.copytree(data / TOKENIZER, folder)
    _describe(model, folder)
    if base is not None:
        _keep_configuration(base, model.config, folder, DESCRIBED if head else ())
    else:
        say_of_ours(folder, task_of(job.spec, job.shape))
    _link(found.folder, folder)


def say_of_ours(folder: Path, task: Task) -> None:
    """Say in the folder of a built-in model what else only this project's programs know: the token that hides
    a word, and how text is written: with a cache, which is off in training, and in dialogues up to the end of
    a message.

    Args:
        folder: with its tokenizer, and with ``generation_config.json`` if it writes text.
        task: that it has learnt.
    """
    if task is Task.MASKED and (words := read_json(folder / WORDS)) is not None:
        write_json(folder / WORDS, words | {"mask_token": MASK})
    told = read_json(folder / GENERATION)
    if told is None:
        return
    told["use_cache"] = True
    if task.on_dialogues:
        told["eos_token_id"] = ends_of_ours(task)
    write_json(folder / GENERATION, told)


def _require_same(model: Any, found: Source) -> None:
    wanted = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    there = {name: found.shape(name) for name in found.names()}
    wrong = sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))
    if wrong:
        listed = ", ".join(
            f"{name} ({list(there[name]) if name in there else 'missing'})" for name in wrong[:FEW]
        )
        raise ExportMismatch(f"the checkpoint's weights are not those of the model: {listed}")


def _describe(model: Any, folder: Path) -> None:
    """Write what ``save_pretrained`` writes beside weights."""
    for part in parts_of(model.config):
        part.use_cache = True  # off in training; whoever reads the folder wants to generate
    model.config.dtype = str(model.dtype).removeprefix("torch.")
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)


def _keep_configuration(base: Path, trained: Any, folder: Path, decided: Sequence[str] = ()) -> None:
    """The configuration that the base came with: also with its dropout, and with what is not known here."""
    config = read_json(base / CONFIG) or {}
    kept = ("architectures", "dtype", "transformers_version", *decided)
    written = read_json(folder / CONFIG) or {}
    config.pop("torch_dtype", None)
    config.update({name: written[name] for name in kept if name in written})
    if len(parts_of(trained)) == 1:  # else that of its language model, which stays what it was
        config["vocab_size"] = trained.vocab_size
    write_json(folder / CONFIG, config)
    if (generation := base / GENERATION).is_file():
        shutil.copyfile(generation, folder / GENERATION)


def _link(weights: Path, folder: Path) -> None:
    """The weights under a second name: no second copy, and they stay when the checkpoint goes."""
    files = sorted(path for path in weights.iterdir() if path.suffix == ".safetensors")
    for path in files:
        target = folder / (SINGLE if len(files) == 1 else path.name)
        try:
            os.link(path, target)
        except OSError as error:  # some volumes know no second name
            log.get().warning("weights are copied, as the volume links no files", error=error.strerror)
            shutil.copyfile(path, target)
    if len(files) > 1:
        shutil.copyfile(weights / INDEX, folder / INDEX)
