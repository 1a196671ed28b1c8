"""Small random models in folders, as Hugging Face writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import processors
from transformers import AutoConfig

from llmtrain_api import ModelFacts, ModelShape, Task
from llmtrain_trainer.data.tokenizer import train_bpe
from llmtrain_trainer.models.build import HEADS

TEXT = [Path(json.__file__).read_text(), Path(json.decoder.__file__).read_text()]
TEMPLATE = "{% for m in messages %}<|user|>{{ m['content'] }}</s>{% endfor %}"
VOCABULARY = 512
LLAMA: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "attention_dropout": 0.1,
    "initializer_range": 0.1,
}


def folder_of_llama(
    folder: Path, *, dtype: torch.dtype = torch.float32, shard: str = "50GB", **config: Any
) -> Path:
    """A random Llama with a tokenizer that begins each text with a token, and with a chat template."""
    return make(folder, "llama", Task.CAUSAL, dtype, shard, **LLAMA | config)


def make(folder: Path, kind: str, task: Task, dtype: torch.dtype, shard: str = "50GB", **config: Any) -> Path:
    """A random model of a kind of transformers, with a tokenizer of its own."""
    tokenizer = write_tokenizer(folder)
    torch.manual_seed(3)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    fields = {"vocab_size": VOCABULARY, "pad_token_id": tokenizer.pad_token_id, **ends, **config}
    made = HEADS[task].from_config(AutoConfig.for_model(kind, **fields), dtype=dtype)
    made.save_pretrained(folder, max_shard_size=shard)
    return folder


def write_tokenizer(folder: Path) -> Any:
    """A tokenizer whose special tokens have ids that nobody would guess."""
    backend = train_bpe(TEXT, VOCABULARY - 8, [])
    names = ["<|user|>", "<pad>", "</s>", "<s>", "<mask>"]
    backend.add_special_tokens(names)
    begin = backend.token_to_id("<s>")
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>", mask_token="<mask>"
    )
    whole.chat_template = TEMPLATE
    whole.save_pretrained(folder)
    return whole


def facts_of(folder: Path) -> ModelFacts:
    """What an inspection finds of a Llama."""
    config = AutoConfig.from_pretrained(folder)
    model = HEADS[Task.CAUSAL].from_config(config)
    shape = ModelShape(
        architecture="LlamaForCausalLM",
        switches=("tied",) if config.tie_word_embeddings else (),
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_size=config.head_dim,
        width=config.intermediate_size,
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        parameters=sum(p.numel() for p in model.parameters()),
    )
    return ModelFacts(shape=shape, digest="0" * 64)
