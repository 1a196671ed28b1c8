"""Text as it is drawn, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TextStreamer

from ..errors import ConfigError
from .folder import Opened

Show = Callable[[str], None]
PROBE = "x"
"""An answer that no template changes, to see what it puts after one."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        tokens: to add at most.
        temperature: of the distribution; 0 takes the likeliest token.
        top_p: share of the probability that is drawn from.
        seed: of the draw.
    """

    tokens: int = 512
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0

    @property
    def options(self) -> dict[str, Any]:
        """What transformers' ``generate`` takes."""
        if self.temperature == 0:
            return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p, "top_k": 0}


class _Streamer(TextStreamer):  # type: ignore[misc]
    """Hands text on as soon as it is whole words."""

    def __init__(self, tokenizer: Any, show: Show, *, skip_prompt: bool) -> None:
        super().__init__(tokenizer, skip_prompt=skip_prompt, skip_special_tokens=True)
        self._show = show

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Called by transformers."""
        self._show(text + ("\n" if stream_end else ""))


def visible(text: str) -> str:
    """Text that moves no cursor and sets no colour: a model may write anything."""
    return "".join(one for one in text if one.isprintable() or one in "\n\t")


def prompt_ids(opened: Opened, prompt: str) -> list[int]:
    """The tokens of a prompt; an empty one is the end of a document, after which another begins."""
    ids = opened.tokenizer(prompt)["input_ids"] if prompt else []
    start = opened.tokenizer.bos_token_id, opened.tokenizer.eos_token_id
    return [int(one) for one in ids] or [next(one for one in start if one is not None)]


def stops(opened: Opened) -> list[int]:
    """Tokens that end an answer: those that the model's files name, and what its chat template puts after
    an answer, which files often forget."""
    named = opened.model.generation_config.eos_token_id
    found = {*(named if isinstance(named, list) else [named]), opened.tokenizer.eos_token_id}
    if opened.tokenizer.chat_template:
        found.add(_after_an_answer(opened.tokenizer))
    return sorted(one for one in found if one is not None)


def _after_an_answer(tokenizer: Any) -> int | None:
    """The first special token after an assistant's message."""
    messages = [{"role": "user", "content": PROBE}, {"role": "assistant", "content": PROBE}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    tail = tokenizer(text[text.rindex(PROBE) + len(PROBE) :], add_special_tokens=False)["input_ids"]
    return next((int(one) for one in tail if one in tokenizer.all_special_ids), None)


def write(
    opened: Opened,
    ids: Sequence[int],
    sampling: Sampling,
    show: Show,
    *,
    skip_prompt: bool = True,
    pixels: torch.Tensor | None = None,
) -> list[int]:
    """Draw tokens after some, and show their text while it comes.

    Args:
        opened: the model.
        ids: the prompt.
        sampling: how tokens are chosen.
        show: gets pieces of text.
        skip_prompt: whether the prompt itself is not shown.
        pixels: of the images that the prompt has places for.

    Returns:
        The tokens that were added.

    Raises:
        ConfigError: the prompt leaves no room for an answer.
    """
    left = opened.room - len(ids)
    if left < 1 and not opened.model.config.is_encoder_decoder:
        raise ConfigError(
            f"the prompt has {len(ids)} tokens, and the model sees {opened.room} at once", "shorten it"
        )
    torch.manual_seed(sampling.seed)
    given = torch.tensor([list(ids)], device=opened.model.device)
    stop = stops(opened)
    pad = opened.tokenizer.pad_token_id
    out = opened.model.generate(
        input_ids=given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=max(1, min(sampling.tokens, left)),
        eos_token_id=stop,
        pad_token_id=stop[0] if pad is None else pad,
        streamer=_Streamer(opened.tokenizer, lambda text: show(visible(text)), skip_prompt=skip_prompt),
        **sampling.options,
        **({} if pixels is None else {"pixel_values": pixels.to(opened.model.device)}),
    )[0]
    skip = 1 if opened.model.config.is_encoder_decoder else len(ids)
    return [int(one) for one in out[skip:]]
