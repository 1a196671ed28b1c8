"""The real Hugging Face layers of a decoder as a list of pipeline layers, and the names of their weights."""

from __future__ import annotations

from typing import Any

import torch
from deepspeed.pipe import LayerSpec, TiedLayerSpec
from torch import nn
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask

from .families import STAGES

TIED = "embedding"
SLIDING = "sliding_attention"
"""What configurations call layers whose tokens see only some of those before them."""
Flow = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
"""What goes from layer to layer: hidden states, and positions where documents must not see each other."""


class Embedding(nn.Module):
    """Token ids to hidden states."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)

    def forward(self, flow: Flow) -> Flow:
        """[batch, length] to [batch, length, hidden]."""
        if isinstance(flow, tuple):
            return self.embed_tokens(flow[0]), flow[1]
        hidden: torch.Tensor = self.embed_tokens(flow)
        return hidden


class Block(nn.Module):
    """One decoder layer, which knows positions and mask itself: both are cheaper to compute than to send."""

    def __init__(self, config: Any, number: int) -> None:
        super().__init__()
        made_of = STAGES[config.model_type]
        self.config = config
        self.layer = made_of.block(config, number)
        kinds = getattr(config, "layer_types", None)
        slides = kinds[number] == SLIDING if kinds else getattr(config, "sliding_window", None) is not None
        self.mask = create_sliding_window_causal_mask if slides else create_causal_mask
        self.rotary = made_of.rotary(config)

    def forward(self, flow: Flow) -> Flow:
        """Hidden states to hidden states."""
        hidden = flow[0] if isinstance(flow, tuple) else flow
        if isinstance(flow, tuple):
            positions = flow[1]
        else:
            positions = torch.arange(hidden.shape[1], device=hidden.device).expand(hidden.shape[:2])
        mask = self.mask(
            config=self.config,
            inputs_embeds=hidden,
            attention_mask=None,
            past_key_values=None,
            position_ids=positions,
        )
        out: torch.Tensor = self.layer(
            hidden,
            attention_mask=mask,
            position_embeddings=self.rotary(hidden, position_ids=positions),
            position_ids=positions,
            use_cache=False,
        )
        return (out, flow[1]) if isinstance(flow, tuple) else out


class Norm(nn.Module):
    """The last norm."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.norm = STAGES[config.model_type].norm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, flow: Flow) -> torch.Tensor:
        """Hidden states; positions end here."""
        hidden: torch.Tensor = self.norm(flow[0] if isinstance(flow, tuple) else flow)
        return hidden


class Head(nn.Module):
    """Hidden states to logits."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[batch, length, hidden] to [batch, length, vocabulary]."""
        logits: torch.Tensor = self.lm_head(hidden)
        return logits


def _tied_head(embedding: Embedding, hidden: torch.Tensor) -> torch.Tensor:
    return nn.functional.linear(hidden, embedding.embed_tokens.weight)


def layers(config: Any) -> list[LayerSpec]:
    """The whole model in order; a stage builds only its own."""
    weight = "embed_tokens.weight"
    tied = bool(config.tie_word_embeddings)
    first = (
        TiedLayerSpec(TIED, Embedding, config, tied_weight_attr=weight)
        if tied
        else LayerSpec(Embedding, config)
    )
    last = (
        TiedLayerSpec(TIED, Embedding, config, forward_fn=_tied_head, tied_weight_attr=weight)
        if tied
        else LayerSpec(Head, config)
    )
    blocks = [LayerSpec(Block, config, number) for number in range(config.num_hidden_layers)]
    return [first, *blocks, LayerSpec(Norm, config), last]


def whole_name(name: str) -> str:
    """The whole model's name of a stage's weight: ``3.layer.mlp.up_proj.weight`` is of decoder layer 2."""
    where, _, rest = name.partition(".")
    if where == "tied_modules":
        return f"model.{rest.partition('.')[2]}"
    part, _, inside = rest.partition(".")
    if part == "layer":
        return f"model.layers.{int(where) - 1}.{inside}"
    return rest if part == "lm_head" else f"model.{rest}"
