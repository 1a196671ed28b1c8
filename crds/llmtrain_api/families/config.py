"""Reads a ``config.json`` as Hugging Face's transformers would: its sizes, and which code they choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..schema.model_facts import TIED

LONGEST = 1 << 20
"""Positions of a model that knows distances only: the longest sequence that a job may ask for."""
MOST = 1 << 24
"""The largest size that is believed."""
SHOWN = 60


class InvalidModel(ValueError):
    """A model that cannot be trained: a sentence that names what is wrong with it, and the way out."""


class Config:
    """The fields of a ``config.json``, none of which is trusted.

    Args:
        fields: the parsed file.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def size(self, name: str, default: int | None = None) -> int:
        """A whole number of 1 at least.

        Raises:
            InvalidModel: it is none, or it is missing and has no default.
        """
        value = self.fields.get(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
            shown = repr(value)[:SHOWN]
            raise InvalidModel(f"config.json: {name} is {shown}; it must be a whole number from 1 to {MOST}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """A yes or no; what is neither counts as transformers counts it."""
        value = self.fields.get(name)
        return default if value is None else bool(value)

    def text(self, name: str, default: str) -> str:
        """A word.

        Raises:
            InvalidModel: it is none.
        """
        value = self.fields.get(name)
        value = default if value is None else value
        if not isinstance(value, str) or len(value) > SHOWN:
            raise InvalidModel(f"config.json: {name} is {repr(value)[:SHOWN]}; it must be a short text")
        return value

    def has(self, name: str) -> bool:
        """Whether a field has a value."""
        return self.fields.get(name) is not None

    def ropes(self) -> list[Mapping[str, Any]]:
        """How positions are turned into angles: one way, or one for each kind of layer."""
        found = self.fields.get("rope_parameters") or self.fields.get("rope_scaling")
        if not isinstance(found, Mapping):
            return []
        each = [one for one in found.values() if isinstance(one, Mapping)]
        return each or [found]

    def positions(self, default: int) -> int:
        """Tokens that it can see at once; scaled rotary positions reach further than unscaled ones."""
        most = self.size("max_position_embeddings", default)
        for rope in self.ropes():
            factor, original = rope.get("factor"), rope.get("original_max_position_embeddings")
            if isinstance(factor, int | float) and isinstance(original, int) and 0 < original <= MOST:
                most = max(most, min(int(original * min(max(factor, 1), 1024)), MOST))
        return min(most, LONGEST)


def switches(config: Config, *, tied: bool, activation: tuple[str, str]) -> set[str]:
    """What may be switched in most architectures.

    Args:
        config: the model's.
        tied: whether embeddings are tied where the file does not say.
        activation: the name of its field, and its usual value.
    """
    found = {TIED} if config.flag("tie_word_embeddings", tied) else set()
    name, usual = activation
    if (used := config.text(name, usual)) != usual:
        found.add(f"activation:{used}"[:40])
    return found


def rotary(config: Config, *, hidden: int, heads: int, head_size: int) -> set[str]:
    """What may be switched in a decoder with rotary positions."""
    found = {"attention-bias"} if config.flag("attention_bias") else set()
    if config.flag("mlp_bias"):
        found.add("mlp-bias")
    if heads * head_size != hidden:
        found.add("head-size")
    for rope in config.ropes():
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            found.add(f"rope:{kind}"[:40])
        if rope.get("partial_rotary_factor", 1) != 1:
            found.add("partial-rotary")
    if config.fields.get("partial_rotary_factor", 1) not in (None, 1, 1.0):
        found.add("partial-rotary")
    if config.flag("use_bidirectional_attention"):
        found.add("bidirectional")
    return found


def window(config: Config) -> set[str]:
    """A window that all layers have (Mistral, Phi-3)."""
    return {"window"} if config.has("sliding_window") else set()


def window_of_some(config: Config) -> set[str]:
    """A window that some layers have where it is turned on (Qwen)."""
    layers = config.fields.get("layer_types")
    slides = isinstance(layers, list) and "sliding_attention" in layers
    return {"window:some"} if slides or config.flag("use_sliding_window") else set()


CAPS = (("attn_logit_softcapping", "attention"), ("final_logit_softcapping", "logits"))


def soft_caps(config: Config) -> set[str]:
    """Bounds of scores and of logits that are there unless the configuration has null (Gemma 2)."""
    return {f"soft-cap:{what}" for name, what in CAPS if config.fields.get(name, 1.0) is not None}


def soft_caps_if_said(config: Config) -> set[str]:
    """Bounds of scores and of logits that are there where the configuration has them (Gemma 3)."""
    return {f"soft-cap:{what}" for name, what in CAPS if config.has(name)}
