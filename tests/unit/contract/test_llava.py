"""What is known of a LLaVA model before it is trained, against the module itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from llmtrain_api import JobSpec, shape_of
from llmtrain_api.estimate.flops import image_flops
from llmtrain_api.facts import InvalidModel, StoredTensor, facts_of, shape_of_config
from llmtrain_api.families.llava import SAVED
from llmtrain_trainer.models.build import configuration
from llmtrain_trainer.models.families.llava import keep_unused, unused

TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "vocab_size": 330,
}
VISION = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 40,
    "image_size": 28,
    "patch_size": 7,
}


def config(**more: Any) -> dict[str, Any]:
    whole = {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "text_config": {"model_type": "llama", **TEXT},
        "vision_config": {"model_type": "clip_vision_model", **VISION},
        "image_token_index": 3,
    }
    return whole | more


def made(raw: dict[str, Any]) -> Any:
    own = {key: value for key, value in raw.items() if key not in ("architectures", "model_type")}
    return transformers.AutoModelForImageTextToText.from_config(transformers.LlavaConfig(**own))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"vision_feature_layer": -1},
        {
            "text_config": {
                "model_type": "llama",
                **TEXT,
                "num_key_value_heads": 2,
                "tie_word_embeddings": True,
            }
        },
    ],
)
def test_parameters_are_those_of_the_module(more: dict[str, Any]) -> None:
    raw = config(**more)
    shape = shape_of_config(raw)
    assert shape.parameters == sum(one.numel() for one in made(raw).parameters())
    assert shape.vision is not None
    assert (shape.vision.tokens, shape.vision.used) == (16, 3 if "vision_feature_layer" in more else 2)


def test_a_built_in_one_is_counted_too() -> None:
    spec = JobSpec.model_validate(
        {
            "model": {
                "name": "builtin://tiny-llava",
                "hiddenSize": 32,
                "numHeads": 4,
                "tiedEmbeddings": True,
            },
            "dataset": {"name": "pvc://a/b"},
            "output": {"uri": "pvc://a/c"},
        }
    )
    shape = shape_of(spec)
    model = transformers.AutoModelForImageTextToText.from_config(configuration(shape, 0))
    assert shape.parameters == sum(one.numel() for one in model.parameters())


def test_files_in_the_names_of_transformers_are_inspected(tmp_path: Path) -> None:
    raw = config()
    made(raw).save_pretrained(tmp_path)
    from safetensors import safe_open

    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        headers = {name: StoredTensor("F32", tuple(file.get_slice(name).get_shape())) for name in file.keys()}  # noqa: SIM118
    assert facts_of(raw, headers).shape.layers == 2
    with pytest.raises(InvalidModel, match=r"hold 2 blocks, and config\.json says 4"):
        facts_of(config(text_config={"model_type": "llama", **TEXT, "num_hidden_layers": 4}), headers)


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "another language model": (
        {"text_config": {"model_type": "mistral", **TEXT}},
        "only LLaVA models with 'llama'",
    ),
    "another eye": ({"vision_config": {"model_type": "siglip_vision_model"}}, "'clip_vision_model'"),
    "no eye": ({"vision_config": None}, "vision_config is missing"),
    "the token of the whole image": ({"vision_feature_select_strategy": "full"}, "only 'default' is trained"),
    "several layers": ({"vision_feature_layer": [-2, -5]}, "one layer of its 3"),
    "a layer that is not there": ({"vision_feature_layer": -9}, "from -3 to -1"),
    "no bias": ({"multimodal_projector_bias": False}, "only True is trained"),
    "patches that do not fit": (
        {"vision_config": {"model_type": "clip_vision_model", **VISION, "patch_size": 5}},
        "no multiple of patch_size 5",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_put_together_in_another_way_is_refused(name: str) -> None:
    more, words = OTHERS[name]
    with pytest.raises(InvalidModel) as error:
        shape_of_config(config(**more))
    assert words in str(error.value)


def test_the_arithmetic_of_an_image_is_the_modules() -> None:
    wide = {"hidden_size": 96, "intermediate_size": 384}
    raw = config(vision_config={"model_type": "clip_vision_model", **VISION, **wide})
    model, shape = made(raw), shape_of_config(raw)
    model.set_attn_implementation("eager")  # the counter knows no fused attention on a CPU
    with FlopCounterMode(display=False) as counted:
        model.get_image_features(torch.zeros(1, 3, 28, 28))
    # forward alone is a third; the convention counts biases and norms as if they were multiplied with
    assert counted.get_total_flops() * 3 == pytest.approx(image_flops(shape), rel=0.05)


def test_what_a_block_that_sees_saves_is_counted() -> None:
    shape = shape_of_config(config())
    assert shape.vision is not None
    block = made(config()).model.vision_tower.encoder.layers[0].train()
    wide, saved = shape.vision.hidden, dict[int, int]()
    own = {one.data_ptr() for one in block.parameters()}

    def keep(one: torch.Tensor) -> torch.Tensor:
        if one.untyped_storage().data_ptr() not in own:
            saved[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        return one

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        out = block(torch.randn(1, shape.vision.sees, wide, requires_grad=True), attention_mask=None)
    assert out is not None
    said = 4 * shape.vision.sees * (SAVED.hidden * wide + SAVED.feed * shape.vision.width)
    assert sum(saved.values()) == pytest.approx(said, rel=0.1)


def test_weights_after_the_last_used_block_get_a_gradient_of_zero() -> None:
    raw = config()
    model, shape = made(raw), shape_of_config(raw)
    keep_unused(model)
    ids = torch.full((1, 20), 5)
    ids[0, :16] = 3
    before = made(raw)
    before.load_state_dict(model.state_dict())
    inputs = {"input_ids": ids, "pixel_values": torch.randn(1, 3, 28, 28)}
    assert torch.equal(model(**inputs).logits, before(**inputs).logits)
    model(**inputs).logits.sum().backward()
    still = {name for name, one in model.named_parameters() if not one.grad.any()}
    tail = {name for name, _ in model.named_parameters() if unused(name, shape)}
    assert len(tail) == 18
    assert tail <= still
