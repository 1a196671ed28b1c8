"""Tiny twins of published models, by their names in the table of proven layouts."""

from __future__ import annotations

from typing import Any

from harness.models.configs import CONFIGS

from llmtrain_api import JobSpec, ModelShape, changed, shape_of, shape_of_config
from llmtrain_api.families import FAMILIES
from llmtrain_api.twin import shrink

PUBLISHED = {
    "meta-llama/Llama-3.1-8B": "llama rope:llama3",
    "Qwen/Qwen2.5-7B": "qwen2",
    "mistralai/Mistral-7B-v0.1": "mistral window",
    "mistralai/Mistral-7B-v0.3": "mistral",
    "google/gemma-2-9b": "gemma2-tied head-size soft-cap:attention soft-cap:logits",
    "microsoft/Phi-3-mini-4k-instruct": "phi3 window",
    "facebook/bart-base": "bart",
}
TWINS: dict[str, dict[str, Any]] = {
    family: shrink(CONFIGS[name].config) for name, family in PUBLISHED.items()
}
"""Configurations by family."""
NAME = "file:///twin"
"""What a twin's job calls its model."""


def family_of(config: dict[str, Any]) -> str:
    """The name of a configuration's family in the table."""
    shape = shape_of_config(config)
    return FAMILIES[shape.architecture].variant(shape.switches)


def shape_for(family: str, spec: JobSpec) -> ModelShape:
    """The shape of a row's model: a twin's, or that of a built-in one."""
    twin = TWINS.get(family)
    if twin is None:
        return shape_of(spec)
    return changed(shape_of_config(twin), positions=spec.training.sequence_length)
