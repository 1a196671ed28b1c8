"""The real Hugging Face layers of a decoder as a list of pipeline layers, and the names of their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from deepspeed.pipe import LayerSpec, TiedLayerSpec
from torch import nn
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask

from .families import STAGES

TIED = "embedding"
SLIDING = "sliding_attention"
"""What configurations call layers whose tokens see only some of those before them."""


@dataclass(frozen=True)
class Surroundings:
    """What every block of a stage needs of a micro-batch beside hidden states. It goes from block to block
    with them, as a pipeline has several micro-batches under way, and blocks may be computed again.

    Attributes:
        positions: [batch, length].
        rotary: what positions turn queries and keys by.
        masks: whether tokens see each other, for blocks with a window and for those without.
    """

    positions: torch.Tensor
    rotary: tuple[torch.Tensor, torch.Tensor]
    masks: dict[bool, torch.Tensor | None]


class Around(nn.Module):
    """Makes surroundings: a stage does so itself, as they are cheaper to compute than to send.

    Args:
        config: of the whole model.
        kinds: of masks, as its blocks need them.
    """

    def __init__(self, config: Any, kinds: set[bool]) -> None:
        super().__init__()
        self.config, self.kinds = config, kinds
        self.rotary = STAGES[config.model_type].rotary(config)

    def forward(self, positions: torch.Tensor, dtype: torch.dtype) -> Surroundings:
        """Those of a micro-batch, for hidden states of a precision."""
        # whose values nobody reads
        hidden = torch.empty((*positions.shape, 0), dtype=dtype, device=positions.device)
        masks = {
            slides: (create_sliding_window_causal_mask if slides else create_causal_mask)(
                config=self.config,
                inputs_embeds=hidden,
                attention_mask=None,
                past_key_values=None,
                position_ids=positions,
            )
            for slides in self.kinds
        }
        return Surroundings(positions, self.rotary(hidden, position_ids=positions), masks)


Flow = tuple[torch.Tensor, Surroundings]
"""What goes from layer to layer of a stage: token ids or hidden states, and what is around them."""


class Embedding(nn.Module):
    """Token ids to hidden states."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)

    def forward(self, flow: Flow) -> Flow:
        """[batch, length] to [batch, length, hidden]."""
        return self.embed_tokens(flow[0]), flow[1]


class Block(nn.Module):
    """One decoder layer."""

    def __init__(self, config: Any, number: int) -> None:
        super().__init__()
        self.layer = STAGES[config.model_type].block(config, number)
        kinds = getattr(config, "layer_types", None)
        self.slides = (
            kinds[number] == SLIDING if kinds else getattr(config, "sliding_window", None) is not None
        )

    def forward(self, flow: Flow) -> Flow:
        """Hidden states to hidden states."""
        hidden, around = flow
        out: torch.Tensor = self.layer(
            hidden,
            attention_mask=around.masks[self.slides],
            position_embeddings=around.rotary,
            position_ids=around.positions,
            use_cache=False,
        )
        return out, around


class Norm(nn.Module):
    """The last norm."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.norm = STAGES[config.model_type].norm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, flow: Flow) -> torch.Tensor:
        """Hidden states; what was around them ends here."""
        hidden: torch.Tensor = self.norm(flow[0])
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
