"""Chat templates in the styles of well-known models, each with an oracle of what it renders.

Written for these tests. An oracle is plain Python: pieces of text and whether each is the assistant's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers

Message = dict[str, Any]
Pieces = list[tuple[str, bool]]
TEXT = "how are you fine thanks what is the weather like today in a small town <b> 12"
WORDS = [*TEXT.split(), "\n"]


@dataclass(frozen=True)
class Style:
    """One template.

    Attributes:
        template: Jinja.
        special: its special tokens.
        pieces: the oracle.
        apart: whether earlier answers are rendered in another way once more follows.
        marked: the same template with the assistant's part marked, where that is written here.
    """

    template: str
    special: tuple[str, ...]
    pieces: Callable[[Sequence[Message]], Pieces]
    apart: bool = False
    marked: str | None = None


def _chatml(messages: Sequence[Message]) -> Pieces:
    pieces: Pieces = []
    for one in messages:
        answer = one["role"] == "assistant"
        pieces += [
            (f"<|im_start|>{one['role']}\n", False),
            (f"{one['content']}<|im_end|>", answer),
            ("\n", False),
        ]
    return pieces


def _qwen(messages: Sequence[Message]) -> Pieces:
    if messages[0]["role"] == "system":
        return _chatml(messages)
    return _chatml([{"role": "system", "content": "You are helpful."}, *messages])


def _llama(messages: Sequence[Message]) -> Pieces:
    pieces: Pieces = [("<|begin_of_text|>", False)]
    for one in messages:
        head = f"<|start_header_id|>{one['role']}<|end_header_id|>\n\n"
        pieces += [(head, False), (f"{one['content'].strip()}<|eot_id|>", one["role"] == "assistant")]
    return pieces


def _gemma(messages: Sequence[Message]) -> Pieces:
    pieces: Pieces = [("<bos>", False)]
    for one in messages:
        answer = one["role"] == "assistant"
        role = "model" if answer else one["role"]
        pieces += [
            (f"<start_of_turn>{role}\n", False),
            (f"{one['content'].strip()}<end_of_turn>", answer),
            ("\n", False),
        ]
    return pieces


def _thinking(messages: Sequence[Message]) -> Pieces:
    """Of the last answer alone: what was thought earlier is dropped."""
    last = messages[-1]["content"]
    thought, _, said = last.rpartition("</think>")
    thought = thought.removeprefix("<think>").strip("\n")
    head = [
        (f"<|im_start|>{one['role']}\n{one['content'].rpartition('</think>')[2].strip()}<|im_end|>\n", False)
        for one in messages[:-1]
    ]
    tail = f"<think>\n{thought}\n</think>\n\n{said.strip()}<|im_end|>"
    return [*head, ("<|im_start|>assistant\n", False), (tail, True), ("\n", False)]


_TURN = "<|im_start|>{{ m.role }}\n"
STYLES = {
    "chatml": Style(
        "{% for m in messages %}" + _TURN + "{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        ("<|im_start|>", "<|im_end|>"),
        _chatml,
        marked="{% for m in messages %}"
        + _TURN
        + "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        "<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}{{ '\n' }}{% endfor %}",
    ),
    "qwen2.5": Style(
        "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}"
        "{% for m in messages %}" + _TURN + "{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        ("<|im_start|>", "<|im_end|>"),
        _qwen,
    ),
    "llama3": Style(
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{{ m.content | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        _llama,
    ),
    "gemma": Style(
        "{{ bos_token }}{% for m in messages %}"
        "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
        ("<bos>", "<start_of_turn>", "<end_of_turn>"),
        _gemma,
    ),
    "qwen3": Style(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' and loop.last %}"
        "<think>\n"
        "{{ m.content.split('</think>')[0].split('<think>')[-1].strip('\n') if '</think>' in m.content }}"
        "\n</think>\n\n{{ m.content.split('</think>')[-1] | trim }}<|im_end|>\n"
        "{% else %}{{ m.content.split('</think>')[-1] | trim }}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        ("<|im_start|>", "<|im_end|>"),
        _thinking,
        apart=True,
    ),
}


def tokenizer(style: Style, template: str | None = None) -> transformers.PreTrainedTokenizerFast:
    """A byte-level tokenizer with a style's special tokens and template."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>", *style.special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator([" ".join(WORDS), "system user assistant model"] * 3, trainer)
    begins = [name for name in style.special if "beg" in name or "bos" in name]
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|end|>",
        additional_special_tokens=list(style.special),
        **({"bos_token": begins[0]} if begins else {}),
    )
    whole.chat_template = template or style.template
    return whole


def dialogue(random: Random, *, thinking: bool = False) -> list[Message]:
    """Some turns, with or without a system message, of texts with any kind of white space and letters."""

    def text() -> str:
        words = [random.choice([*WORDS, "naïve", "東京", "🙂"]) for _ in range(random.randint(1, 9))]
        return " ".join(words).strip() or "yes"

    messages: list[Message] = [{"role": "system", "content": text()}] if random.random() < 0.4 else []
    for _ in range(random.randint(1, 4)):
        thought = f"<think>\n{text()}\n</think>\n\n" if thinking and random.random() < 0.7 else ""
        messages += [{"role": "user", "content": text()}, {"role": "assistant", "content": thought + text()}]
    return messages
