"""A model and another one that gives its answers numbers, in two folders."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from harness.trainer.tiny_models import llama_config, tokenizer, write_llama

from llmtrain_trainer.data.chat.template import CHATML


def write_both(folder: Path) -> tuple[Path, Path]:
    """A Llama with its tokenizer, and one with a head of one number, whose numbers differ by more than 1.

    Args:
        folder: in which both folders are made, ``policy`` and ``reward``.
    """
    policy = write_llama(folder / "policy", template=CHATML)
    return policy, write_reward_model(folder / "reward")


def write_reward_model(
    folder: Path, template: str = CHATML, *, labels: int = 1, positions: int = 256
) -> Path:
    """A Llama with a head, and the tokenizer of these models.

    Args:
        folder: to be made.
        template: of its dialogues.
        labels: numbers of its head.
        positions: tokens that it reads.
    """
    words = tokenizer(template)
    words.pad_token = words.eos_token
    torch.manual_seed(1)
    config = llama_config(words, positions, pad_token_id=words.pad_token_id, num_labels=labels)
    model = transformers.LlamaForSequenceClassification(config)
    with torch.no_grad():
        model.score.weight.normal_(0, 0.5)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
