"""Text from an exported folder. torch and transformers only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from llmtrain_api import Task

from ..models.build import load
from .placement import device_of

NEW_TOKENS = 64


def generate(model: Any, tokenizer: Any, prompt: str, *, new_tokens: int = NEW_TOKENS, seed: int = 0) -> str:
    """Prompt and continuation, sampled with a fixed seed."""
    torch.manual_seed(seed)
    ids = tokenizer(prompt or tokenizer.eos_token, return_tensors="pt")["input_ids"].to(device_of())
    room = max(1, model.config.max_position_embeddings - ids.shape[1])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=min(new_tokens, room),
        do_sample=True,
        temperature=0.8,
        top_k=50,
        pad_token_id=tokenizer.eos_token_id,
    )
    return str(tokenizer.decode(out[0], skip_special_tokens=True))


def open_folder(folder: Path, task: Task, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and tokenizer of an exported folder."""
    model = load(folder, task, dtype)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
