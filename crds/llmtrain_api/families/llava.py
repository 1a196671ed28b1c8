"""LLaVA: a Llama that also reads images, which CLIP's blocks see patch by patch and two layers translate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..schema.model import BuiltinModel, ModelSpec
from ..shape import ModelShape, Task, VisionShape
from .base import Family, Linear, Parts, Saved, Tensors
from .config import Config, InvalidModel
from .decoder import Decoder

IMAGE, PATCH = 32, 8
"""Pixels of an image and of a patch on either side, in a model that is built in."""
LEAST_BLOCKS = 2
"""Of what sees: the last one is not used, as in the published models."""
COLOURS = 3
VISION = 1
"""The stack of what sees, beside the language model's."""
TEXT_DEFAULTS: Mapping[str, Any] = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
}
"""What a ``text_config`` leaves out, as transformers' LlamaConfig has it."""
VISION_DEFAULTS: Mapping[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "image_size": 336,
    "patch_size": 14,
}
"""What a ``vision_config`` leaves out, as transformers' LlavaConfig has it."""
FIXED: Mapping[str, tuple[Any, ...]] = {
    "vision_feature_select_strategy": ("default",),
    "projector_hidden_act": ("gelu",),
    "multimodal_projector_bias": (True,),
}
"""Fields that choose other code, each with its usual value, which is the only one that is read here."""
BEFORE_LAST = -2
SAVED = Saved(8, 0, 0, 0, 3)
"""What one of CLIP's blocks keeps for the backward pass, for a token of its own."""
MADE = Saved(7, 0, 0, 0, 1)
"""What one of them keeps where the cheap part is computed again: its input, and what its six linear layers
and its attention made."""
_TEXT = Decoder()


def vision_of(model: ModelSpec) -> VisionShape:
    """What sees, in a model that is built in: as wide as its language model, over small images."""
    layers = max(LEAST_BLOCKS, model.layers)
    return VisionShape(
        hidden=model.hidden,
        layers=layers,
        used=layers - 1,
        heads=model.heads,
        width=model.width,
        image=IMAGE,
        patch=PATCH,
    )


def parts(shape: ModelShape) -> Parts:
    """Its tensors: the language model's, and what sees before them."""
    text, vision = _TEXT.parts(shape), seeing(shape)
    wide, hidden = vision.hidden, shape.hidden
    block = [
        Tensors(wide * wide, 4, stack=VISION),
        Tensors(wide, 4, stack=VISION),  # their biases
        Tensors(wide * vision.width, 2, stack=VISION),
        Tensors(vision.width, stack=VISION),
        Tensors(wide, stack=VISION),
        Tensors(wide, 4, stack=VISION),  # two norms with biases
    ]
    sees = [
        Tensors(COLOURS * vision.patch**2 * wide, stack=VISION),
        Tensors(vision.sees * wide, looked_up=True, stack=VISION),
        Tensors(wide, stack=VISION),  # the token that stands for the whole image
        Tensors(wide, 4, stack=VISION),  # a norm before the blocks, and one after them
        *(one.times(vision.layers) for one in block),
        Tensors(wide * hidden, stack=VISION),
        Tensors(hidden * hidden, stack=VISION),
        Tensors(hidden, 2, stack=VISION),
    ]
    return Parts([*sees, *text.first], text.block, text.last, text.shared)


def linears(shape: ModelShape) -> list[Linear]:
    """The language model's linear layers; adapters stand beside none of the others."""
    return _TEXT.linears(shape)


def seeing(shape: ModelShape) -> VisionShape:
    """What sees in a model of this family.

    Raises:
        ValueError: the shape is of another family.
    """
    if shape.vision is None:
        raise ValueError(f"{shape.architecture} has nothing that sees images")
    return shape.vision


def read(config: Config) -> dict[str, object]:
    """Fields of its shape.

    Raises:
        InvalidModel: it is made of other parts than CLIP and Llama, or put together in another way.
    """
    text = _part(config, "text_config", "llama", TEXT_DEFAULTS)
    vision = _part(config, "vision_config", "clip_vision_model", VISION_DEFAULTS)
    for name, allowed in FIXED.items():
        if (found := config.fields.get(name, allowed[0])) not in allowed:
            raise InvalidModel(f"config.json: {name} is {repr(found)[:60]}; only {allowed[0]!r} is trained")
    if config.flag("tie_word_embeddings") and not text.flag("tie_word_embeddings"):
        raise InvalidModel(
            "config.json: tie_word_embeddings is true, and that of its text_config is not; set both alike"
        )
    if (act := vision.text("hidden_act", "quick_gelu")) != "quick_gelu":
        raise InvalidModel(
            f"config.json: hidden_act of its vision_config is {act!r}; only 'quick_gelu' is trained"
        )
    return _TEXT.read(text) | {"vision": _vision(config, vision)}


def _vision(config: Config, vision: Config) -> dict[str, int]:
    layers, image, patch = (vision.size(one) for one in ("num_hidden_layers", "image_size", "patch_size"))
    place = config.fields.get("vision_feature_layer", BEFORE_LAST)
    if isinstance(place, bool) or not isinstance(place, int) or not -layers <= place <= -1:
        raise InvalidModel(
            f"config.json: vision_feature_layer is {repr(place)[:60]}; it must be a whole number from "
            f"{-layers} to -1: one layer of its {layers}, counted from the last"
        )
    if image % patch:
        raise InvalidModel(
            f"config.json: image_size {image} of its vision_config is no multiple of patch_size {patch}"
        )
    return {
        "hidden": vision.size("hidden_size"),
        "layers": layers,
        "used": layers + 1 + place,
        "heads": vision.size("num_attention_heads"),
        "width": vision.size("intermediate_size"),
        "image": image,
        "patch": patch,
    }


def _part(config: Config, name: str, kind: str, defaults: Mapping[str, Any]) -> Config:
    fields = config.fields.get(name)
    if not isinstance(fields, Mapping):
        raise InvalidModel(f"config.json: {name} is missing, which a LLaVA model has")
    if (found := fields.get("model_type", kind)) != kind:
        raise InvalidModel(
            f"config.json: model_type of its {name} is {repr(found)[:60]}; only LLaVA models with {kind!r} "
            "there are trained"
        )
    return Config({**defaults, **{key: value for key, value in fields.items() if value is not None}})


LLAVA = Family(
    architecture="LlavaForConditionalGeneration",
    model_type="llava",
    name="llava",
    title="LLaVA",
    builtin=BuiltinModel.TINY_LLAVA,
    task=Task.IMAGE_CHAT,
    grouped=True,
    saved=Saved(6, 2, 2, 0, 4),
    parts=parts,
    linears=linears,
    read=read,
)
