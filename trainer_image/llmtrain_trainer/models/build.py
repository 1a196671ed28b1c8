"""From ``spec.model`` to a transformers model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from llmtrain_api import JobSpec, ModelShape, Precision, Task, task_of

from .families import TRAINED
from .head import Head

transformers.utils.logging.disable_progress_bar()

DTYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}
HEADS = {task: getattr(transformers, task.auto_class) for task in Task}
"""The class of transformers that makes and opens a model, by the task."""


def configuration(shape: ModelShape, eos: int) -> Any:
    """The configuration of a built-in family."""
    family = TRAINED[shape.architecture]
    text = family.text or family
    own = text.config(
        vocab_size=shape.vocabulary,
        bos_token_id=eos,
        eos_token_id=eos,
        use_cache=False,
        **text.sizes(shape),
    )
    return own if family.text is None else family.config(text_config=own, **family.sizes(shape))


def write_initial(
    spec: JobSpec, shape: ModelShape, eos: int, folder: Path, config: Any = None, head: Head | None = None
) -> dict[str, Any]:
    """The step-0 model, made by one seeded process so that every layout starts from the same weights.

    Args:
        spec: the job.
        shape: its model's.
        eos: id of the end-of-document token.
        folder: to make.
        config: of a model that exists, whose weights are to be random; None for a built-in family.
        head: that the task trains; None for a language model's own.
    """
    torch.manual_seed(spec.training.seed)
    config = configuration(shape, eos) if config is None else config
    if head is not None:
        head.describe(config)
    model = HEADS[task_of(spec, shape)].from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    return dict(config.to_diff_dict()) | {"parameters": sum(p.numel() for p in model.parameters())}


def load(folder: Path, task: Task, dtype: torch.dtype) -> Any:
    """A model from a folder, for evaluation.

    Args:
        folder: a Hugging Face folder.
        task: decides the head.
        dtype: given, as the default would follow the file.
    """
    return HEADS[task].from_pretrained(folder, dtype=dtype, local_files_only=True)
