"""LLaVA."""

from __future__ import annotations

import re
from typing import Any

import transformers

from llmtrain_api import ModelShape
from llmtrain_api.families.llava import BEFORE_LAST, seeing

from ...special_tokens import image_token_of_ours
from .base import TrainedFamily
from .llama import LLAMA

BLOCK = re.compile(r".*vision_tower\..*layers\.(\d+)\..*")
LAST_NORM = "vision_tower.post_layernorm."


def sizes(shape: ModelShape) -> dict[str, Any]:
    """Fields of its configuration, but for those of its language model."""
    vision = seeing(shape)
    return {
        "vision_config": transformers.CLIPVisionConfig(
            hidden_size=vision.hidden,
            num_hidden_layers=vision.layers,
            num_attention_heads=vision.heads,
            intermediate_size=vision.width,
            image_size=vision.image,
            patch_size=vision.patch,
        ),
        "image_token_index": image_token_of_ours(),
        "image_seq_length": vision.tokens,
        "vision_feature_layer": BEFORE_LAST,
        "tie_word_embeddings": shape.tied,
    }


def unused(name: str, shape: ModelShape) -> bool:
    """Whether nothing that is learnt depends on a weight: those after the block whose output is taken."""
    found = BLOCK.fullmatch(name)
    return LAST_NORM in name or (found is not None and int(found[1]) >= seeing(shape).used)


def keep_unused(model: Any) -> None:
    """Give what is not used a gradient, which is zero.

    A weight without a gradient has no moments, and engines differ in what they make of it: it stands still in
    all of them once its gradient is zero and it has no decay.
    """
    place = model.config.vision_feature_layer

    def with_last(_module: Any, _inputs: Any, outputs: Any) -> Any:
        states = list(outputs.hidden_states)
        states[place] = states[place] + 0.0 * outputs.pooler_output.sum()
        outputs.hidden_states = tuple(states)
        return outputs

    model.model.vision_tower.register_forward_hook(with_last)


LLAVA = TrainedFamily(
    config=transformers.LlavaConfig,
    sizes=sizes,
    text=LLAMA,
    unused=unused,
    prepare=keep_unused,
)
