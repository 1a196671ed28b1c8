"""From ``spec.model`` to a transformers model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from llmtrain_api import BuiltinModel, JobSpec, ModelSpec, Precision, Task

from ..tasks.seq2seq import PAD_ID

transformers.utils.logging.disable_progress_bar()

DTYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}
HEADS = {
    Task.CAUSAL: transformers.AutoModelForCausalLM,
    Task.MASKED: transformers.AutoModelForMaskedLM,
    Task.SEQ2SEQ: transformers.AutoModelForSeq2SeqLM,
}


def _grouped(model: ModelSpec, length: int) -> dict[str, Any]:
    return {
        "hidden_size": model.hidden_size,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_heads,
        "num_key_value_heads": model.kv_heads,
        "intermediate_size": model.width,
        "head_dim": model.hidden_size // model.num_heads,
        "tie_word_embeddings": model.tied_embeddings,
        "max_position_embeddings": length,
        "pad_token_id": None,
    }


def _gpt2(model: ModelSpec, length: int) -> dict[str, Any]:
    return {
        "n_embd": model.hidden_size,
        "n_layer": model.num_layers,
        "n_head": model.num_heads,
        "n_inner": model.width,
        "n_positions": length,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "pad_token_id": None,
    }


def _bert(model: ModelSpec, length: int) -> dict[str, Any]:
    return {
        "hidden_size": model.hidden_size,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_heads,
        "intermediate_size": model.width,
        "max_position_embeddings": length,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": None,
    }


def _t5(model: ModelSpec, length: int) -> dict[str, Any]:
    del length  # relative positions
    return {
        "d_model": model.hidden_size,
        "d_kv": model.hidden_size // model.num_heads,
        "d_ff": model.width,
        "num_layers": model.num_layers,
        "num_heads": model.num_heads,
        "dropout_rate": 0.0,
        "pad_token_id": PAD_ID,
        "decoder_start_token_id": PAD_ID,
    }


FAMILIES: dict[BuiltinModel, tuple[type[Any], Callable[[ModelSpec, int], dict[str, Any]]]] = {
    BuiltinModel.TINY_LLAMA: (transformers.LlamaConfig, _grouped),
    BuiltinModel.TINY_QWEN: (transformers.Qwen3Config, _grouped),
    BuiltinModel.TINY_GPT2: (transformers.GPT2Config, _gpt2),
    BuiltinModel.TINY_BERT: (transformers.BertConfig, _bert),
    BuiltinModel.TINY_T5: (transformers.T5Config, _t5),
}


def configuration(spec: JobSpec, eos: int) -> Any:
    """The configuration of a built-in family. Dropout is off: one epoch over much text does not overfit."""
    model = spec.model
    config, sizes = FAMILIES[model.name]
    return config(
        vocab_size=model.vocab_size,
        bos_token_id=eos,
        eos_token_id=eos,
        use_cache=False,
        **sizes(model, spec.training.sequence_length),
    )


def write_initial(spec: JobSpec, eos: int, folder: Path) -> dict[str, Any]:
    """The step-0 model, made by one seeded process so that every layout starts from the same weights."""
    torch.manual_seed(spec.training.seed)
    config = configuration(spec, eos)
    model = HEADS[spec.model.task].from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    return dict(config.to_diff_dict()) | {"parameters": sum(p.numel() for p in model.parameters())}


def load(folder: Path, task: Task, dtype: torch.dtype, *, checkpointing: bool = False) -> Any:
    """A model from a folder.

    Args:
        folder: a Hugging Face folder.
        task: decides the head.
        dtype: given, as the default would follow the file.
        checkpointing: compute activations again in the backward pass.
    """
    model = HEADS[task].from_pretrained(folder, dtype=dtype, local_files_only=True)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model
