"""From ``spec.model`` to a transformers model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from llmtrain_api import BuiltinModel, JobSpec, Precision

transformers.utils.logging.disable_progress_bar()

DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}


def configuration(spec: JobSpec, eos: int) -> Any:
    """The configuration of a built-in family. Dropout is off: one epoch over much text does not overfit."""
    model, length = spec.model, spec.training.sequence_length
    shared: dict[str, Any] = {
        "vocab_size": model.vocab_size,
        "bos_token_id": eos,
        "eos_token_id": eos,
        "pad_token_id": None,
        "use_cache": False,
    }
    if model.name is BuiltinModel.TINY_LLAMA:
        return transformers.LlamaConfig(
            hidden_size=model.hidden_size,
            num_hidden_layers=model.num_layers,
            num_attention_heads=model.num_heads,
            num_key_value_heads=model.num_kv_heads or model.num_heads,
            intermediate_size=model.intermediate_size or 4 * model.hidden_size,
            tie_word_embeddings=model.tied_embeddings,
            max_position_embeddings=length,
            **shared,
        )
    return transformers.GPT2Config(
        n_embd=model.hidden_size,
        n_layer=model.num_layers,
        n_head=model.num_heads,
        n_inner=model.intermediate_size or 4 * model.hidden_size,
        n_positions=length,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **shared,
    )


def write_initial(spec: JobSpec, eos: int, folder: Path) -> dict[str, Any]:
    """The step-0 model, made by one seeded process so that every layout starts from the same weights."""
    torch.manual_seed(spec.training.seed)
    config = configuration(spec, eos)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    return dict(config.to_diff_dict()) | {"parameters": sum(p.numel() for p in model.parameters())}


def load(folder: Path, dtype: torch.dtype) -> Any:
    """A model from a folder, in an explicit dtype (the default would follow the file)."""
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
