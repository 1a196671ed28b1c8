"""What there is to explain of a model, by its head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from ..errors import ConfigError


class Kind(StrEnum):
    """What a model's one number is, whose parts are told."""

    NEXT = "next"
    HIDDEN = "hidden"
    WRITTEN = "written"
    CLASS = "class"
    NUMBER = "number"
    TAGS = "tags"
    PLACE = "place"


ENDS = {
    "ForCausalLM": Kind.NEXT,
    "LMHeadModel": Kind.NEXT,
    "ForMaskedLM": Kind.HIDDEN,
    "ForConditionalGeneration": Kind.WRITTEN,
    "ForSequenceClassification": Kind.CLASS,
    "ForTokenClassification": Kind.TAGS,
    "ForQuestionAnswering": Kind.PLACE,
}
"""How the names of transformers' classes end."""
EXPLAINED = {
    Kind.NEXT: "the log-likelihood of the text: of each token after those before it",
    Kind.HIDDEN: "the pseudo-log-likelihood of the text: of each token, hidden, among all others",
    Kind.WRITTEN: "the log-likelihood of what is written of the text",
    Kind.CLASS: "the logit of the class that the model says",
    Kind.NUMBER: "the number that the model says",
    Kind.TAGS: "the logits of the tags that the model says, one of each token",
    Kind.PLACE: "the logits of the answer's first and last token",
}
"""In words, for people."""


def kind_of(model: Any) -> Kind:
    """What there is to explain of a model.

    Raises:
        ConfigError: nothing that is known here.
    """
    name = type(plain(model)).__name__
    kind = next((kind for end, kind in ENDS.items() if name.endswith(end)), None)
    if kind is None:
        raise ConfigError(f"nobody knows here what a {name} says", f"use a model {', '.join(ENDS)}")
    return Kind.NUMBER if kind is Kind.CLASS and model.config.num_labels == 1 else kind


def plain(model: Any) -> Any:
    """The model itself, with the layers of an adapter in it where it has one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def explainable(model: Any) -> Iterator[Any]:
    """The model as it gives attentions, and gradients of nothing but what is asked; then as it was."""
    itself = plain(model)
    before = itself.config._attn_implementation, getattr(itself.config, "use_cache", None)
    learning = [one for one in itself.parameters() if one.requires_grad]
    try:
        itself.requires_grad_(False)
        itself.set_attn_implementation("eager")
        if before[1] is not None:
            itself.config.use_cache = False
        yield itself.eval()
    finally:
        itself.set_attn_implementation(before[0])
        if before[1] is not None:
            itself.config.use_cache = before[1]
        for one in learning:
            one.requires_grad_(True)
