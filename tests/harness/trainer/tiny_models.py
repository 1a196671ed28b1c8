"""Small Hugging Face folders: a random model with a trained tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers

END, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = ["Hello world, how are you? Fine, thanks. user assistant system 0123456789"] * 3


def tokenizer(template: str | None = CHATML) -> transformers.PreTrainedTokenizerFast:
    """Byte-level BPE with a turn's begin and end; only END is the end that its files name."""
    trained = tokenizers.Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=[END, TURN, TURN_END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator(TEXT, trainer)
    found = transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained, eos_token=END, additional_special_tokens=[TURN, TURN_END]
    )
    found.chat_template = template
    return found


def llama_config(words: Any, positions: int, **more: Any) -> transformers.LlamaConfig:
    """Two layers of width 32.

    Args:
        words: the tokenizer.
        positions: tokens that it reads.
        **more: what differs from these models.
    """
    return transformers.LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=positions,
        bos_token_id=0,
        eos_token_id=0,
        **more,
    )


def write_llama(folder: Path, *, positions: int = 256, template: str | None = CHATML, seed: int = 0) -> Path:
    """A Llama with two layers of width 32, and its tokenizer."""
    words = tokenizer(template)
    torch.manual_seed(seed)
    transformers.LlamaForCausalLM(llama_config(words, positions)).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
