"""The model families that can be trained, one a file, by the architectures that the contract knows."""

from __future__ import annotations

from .base import PipelineLayers, TrainedFamily
from .bert import BERT
from .gpt2 import GPT2
from .llama import LLAMA
from .llava import LLAVA
from .others import STAGES_OF_OTHERS
from .qwen import QWEN
from .t5 import T5

TRAINED: dict[str, TrainedFamily] = {
    "LlamaForCausalLM": LLAMA,
    "Qwen3ForCausalLM": QWEN,
    "GPT2LMHeadModel": GPT2,
    "BertForMaskedLM": BERT,
    "T5ForConditionalGeneration": T5,
    "LlavaForConditionalGeneration": LLAVA,
}
"""Every trained family, by the architecture that `ModelShape` names."""
STAGES: dict[str, PipelineLayers] = {
    family.config.model_type: family.stages for family in TRAINED.values() if family.stages
} | STAGES_OF_OTHERS
"""By the name of a configuration, such as ``qwen3``: layers of the families that pipelines are for."""

__all__ = ["STAGES", "TRAINED", "PipelineLayers", "TrainedFamily"]
