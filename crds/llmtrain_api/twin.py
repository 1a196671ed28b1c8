"""A model's tiny twin: the same code in sizes that a proof runs in seconds.

Whether a layout computes what one process computes depends on which code runs, not on how large its matrices
are. So a layout is proven for a configuration on its twin: the same class and the same switches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .facts import shape_of_config
from .families import FAMILIES

HEADS, HEAD_SIZE, LAYERS, VOCABULARY, POSITIONS, WINDOW = 4, 8, 2, 320, 64, 8
"""Sizes of a twin: windows are shorter than a proof's sequences, so that they cut something off."""
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
DROPOUT = ("dropout", "_pdrop", "dropout_prob", "dropout_rate", "layerdrop")


def shrink(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a model's twin.

    Sizes are divided, down to the same few; what was grouped, of another head size, windowed, scaled or
    fused stays so. Tokens that the twin's vocabulary has not lose their ids, and dropout is off.

    Args:
        config: the model's parsed ``config.json``.

    Raises:
        InvalidModel: its architecture is not known, or a size is missing.
    """
    shape = shape_of_config(config)
    other = shape.query_width != shape.hidden
    head_size, hidden = (2 if other else 1) * HEAD_SIZE, HEADS * HEAD_SIZE
    kv_heads = HEADS if shape.kv_heads == shape.heads else HEADS // 2
    sizes = {
        ("hidden_size", "n_embd", "d_model"): hidden,
        ("intermediate_size", "n_inner", "d_ff", *_sides("ffn_dim")): 4 * hidden,
        ("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers", *_sides("layers")): LAYERS,
        ("num_attention_heads", "n_head", "num_heads", *_sides("attention_heads")): HEADS,
        ("num_key_value_heads",): kv_heads,
        ("head_dim", "d_kv", "query_pre_attn_scalar"): head_size,
        ("vocab_size",): VOCABULARY,
        ("max_position_embeddings", "n_positions", "n_ctx", "original_max_position_embeddings"): POSITIONS,
        ("sliding_window", "sliding_window_size"): WINDOW,
        ("max_window_layers", "sliding_window_pattern"): 1,
    }
    small = {name: size for names, size in sizes.items() for name in names}
    twin = {
        name: small[name] if name in small and value is not None else value for name, value in config.items()
    }
    known = {name: config.get(name) for name in TOKENS}
    twin |= {name: one if _in_vocabulary(one) else None for name, one in known.items() if one is not None}
    if FAMILIES[shape.architecture].grouped:
        twin.setdefault("pad_token_id", None)  # or a usual one, of a larger vocabulary
    if shape.kv_heads != shape.heads:
        twin["num_key_value_heads"] = kv_heads
    if other or "head_dim" in twin:
        twin["head_dim"] = head_size
    if config.get("layer_types"):
        twin["layer_types"] = _each_once(config["layer_types"])
    twin |= {name: 0.0 for name in twin if name.endswith(DROPOUT)}
    for name in ("rope_scaling", "rope_parameters"):
        if isinstance(rope := config.get(name), Mapping):
            twin[name] = _scaled(rope, head_size)
    return twin


def _sides(name: str) -> tuple[str, str]:
    """A size of an encoder, and that of the decoder beside it (BART)."""
    return f"encoder_{name}", f"decoder_{name}"


def _in_vocabulary(token: object) -> bool:
    return isinstance(token, int) and 0 <= token < VOCABULARY


def _each_once(kinds: list[Any]) -> list[Any]:
    """As many layers as the twin has, and of each kind one where there are two."""
    found = list(dict.fromkeys(kinds))
    return (found * LAYERS)[:LAYERS]


def _scaled(rope: Mapping[str, Any], head_size: int) -> dict[str, Any]:
    """The same scaling of positions: from a quarter of what the twin sees."""
    made = dict(rope)
    for name, value in rope.items():
        if name == "original_max_position_embeddings":
            made[name] = POSITIONS // 4
        elif isinstance(value, list):  # a factor for each frequency
            made[name] = value[: head_size // 2]
        elif isinstance(value, Mapping):
            made[name] = _scaled(value, head_size)
    return made
