"""The model families that can be trained, one a file, by the names that the contract has for them."""

from __future__ import annotations

from .base import PipelineLayers, TrainedFamily
from .bert import BERT
from .gpt2 import GPT2
from .llama import LLAMA
from .qwen import QWEN
from .t5 import T5

TRAINED: dict[str, TrainedFamily] = {"llama": LLAMA, "qwen": QWEN, "gpt2": GPT2, "bert": BERT, "t5": T5}
"""Every trained family, by the name that `ModelShape.family` holds."""
STAGES: dict[str, PipelineLayers] = {
    family.config.model_type: family.stages for family in TRAINED.values() if family.stages
}
"""By the name of a configuration, such as ``qwen3``: layers of the families that pipelines are for."""

__all__ = ["STAGES", "TRAINED", "PipelineLayers", "TrainedFamily"]
