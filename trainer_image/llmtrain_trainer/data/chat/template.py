"""A tokenizer's chat template, and which characters of what it renders are trained on.

Where a template marks the assistant's part (``{% generation %}``), the mark decides. Elsewhere it is found by
rendering each dialogue up to an answer and past it: the answer is what the second adds to the first, up to
the special token that ends it. A template that renders an earlier answer in another way once more follows
(one that drops what was thought) is used on each answer by itself: what the model will see when it answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jinja2
import tokenizers
from transformers.utils.chat_template_utils import render_jinja_template

from ...cpu_limit import CpuLimit, cpu_limit
from ...errors import ConfigError
from .dialogue import ASSISTANT, Message, said

CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The form that models get which are trained here from the start."""
LONGEST = 64 << 20
"""Characters that one dialogue is rendered to at most."""
RENDERING = 20.0
"""Seconds of a processor that rendering one dialogue once may take; usual ones take a thousandth."""
_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PROBE = "x"
"""A message that no template changes."""
_PRIVATE = range(0xE000, 0xF8FF)
Span = tuple[int, int]


@dataclass(frozen=True)
class Rendered:
    """A dialogue as the model sees it.

    Attributes:
        ids: its tokens.
        trained: for each, whether it is trained on.
    """

    ids: list[int]
    trained: list[bool]

    @property
    def complete(self) -> bool:
        """Whether it has what its task needs beside tokens."""
        return True


class Template:
    """Renders dialogues for one tokenizer.

    Args:
        whole: the tokenizer of transformers, with its special tokens.
        template: Jinja text; None for the tokenizer's own.

    Raises:
        ConfigError: there is no template, or it is no Jinja.
    """

    def __init__(self, whole: Any, template: str | None = None) -> None:
        text = template or whole.chat_template
        if isinstance(text, dict):
            text = text.get("default")
        if not text:
            raise ConfigError(
                "the model's tokenizer has no chat template",
                "give one in dataset.chatTemplate, such as ChatML",
            )
        self.text: str = text
        self._words = {
            name: str(value) for name, value in whole.special_tokens_map.items() if isinstance(value, str)
        }
        backend = whole.backend_tokenizer
        self._special = {
            token.content: number
            for number, token in backend.get_added_tokens_decoder().items()
            if token.special
        }
        longest_first = sorted(self._special, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._plain, self._literal = (_copy(backend, literal=literal) for literal in (False, True))

    def samples(self, messages: Sequence[Message], where: str) -> Iterator[Rendered]:
        """What is trained on of a dialogue: one sample, or one for each answer.

        Raises:
            ConfigError: the template refuses the messages, or shows no answer in them.
        """
        safe, put_back = self._without_control(messages)
        text, spans = self._whole(safe, where)
        if spans is None:
            answers = [at for at, message in enumerate(messages) if message["role"] == ASSISTANT]
            for at in answers:
                text, span = self._last(safe[: at + 1], where)
                yield self._encoded(text, [span], put_back, where)
        else:
            yield self._encoded(text, spans, put_back, where)

    def answer(self, messages: Sequence[Message], where: str) -> Rendered:
        """The dialogue, of which only the last message is trained on.

        Raises:
            ConfigError: the template refuses the messages, or shows no answer at their end.
        """
        safe, put_back = self._without_control(messages)
        text, span = self._last(safe, where)
        found = self._encoded(text, [span], put_back, where)
        if not any(found.trained[1:]):
            raise ConfigError(
                f"{where}: the chat template puts nothing before the answer that it could follow from",
                "give another in dataset.chatTemplate",
            )
        return found

    def prompt(self, messages: Sequence[Message], where: str) -> list[int]:
        """The tokens of messages that an answer is to follow.

        Raises:
            ConfigError: the template refuses the messages, or makes nothing of them.
        """
        safe, put_back = self._without_control(messages)
        text = self._render(safe, where, prompt=True)
        ids, _ = self._mixed(text, put_back) if put_back else _offsets(self._plain, text, 0)
        if not ids:
            raise ConfigError(
                f"{where}: the chat template makes nothing of it", "give another in dataset.chatTemplate"
            )
        return ids

    @property
    def end(self) -> int:
        """The special token that ends an answer."""
        return self.ending[0]

    @property
    def ending(self) -> list[int]:
        """That token, and what stands after it at the end of a dialogue."""
        asked = [said("user", _PROBE), said(ASSISTANT, _PROBE)]
        found = self.answer(asked, "a dialogue of two words")
        return found.ids[max(at for at, trained in enumerate(found.trained) if trained) :]

    def _whole(self, messages: list[Message], where: str) -> tuple[str, list[Span] | None]:
        """The rendered dialogue and its answers; None where they cannot be told from it alone."""
        if _MARKED.search(self.text):
            return self._marked(messages, where)
        text, spans, stable = self._render(messages, where), [], True
        for at, message in enumerate(messages):
            if message["role"] == ASSISTANT:
                before = self._render(messages[:at], where, prompt=True)
                after = self._render(messages[: at + 1], where)
                stable = stable and after.startswith(before) and text.startswith(after)
                spans.append(self._answer(before, after, where) if stable else (0, 0))
        return text, spans if stable else None

    def _last(self, messages: list[Message], where: str) -> tuple[str, Span]:
        before, text = self._render(messages[:-1], where, prompt=True), self._render(messages, where)
        if not text.startswith(before):
            raise ConfigError(
                f"{where}: the chat template does not render an answer as what follows its own prompt",
                "mark the assistant's part with {% generation %} in dataset.chatTemplate",
            )
        return text, self._answer(before, text, where)

    def _answer(self, before: str, after: str, where: str) -> Span:
        """The answer with the special token that ends it, and nothing of what stands before the next turn."""
        ends = [match.end() for match in self._control.finditer(after, len(before))]
        if not ends:
            raise ConfigError(
                f"{where}: the chat template puts no special token after an answer, so the model would "
                "never learn to stop",
                "give dataset.chatTemplate one that ends answers with the tokenizer's eos_token",
            )
        return len(before), ends[-1]

    def _marked(self, messages: list[Message], where: str) -> tuple[str, list[Span]]:
        with _rendering(where):
            texts, spans = render_jinja_template(
                conversations=[messages],
                chat_template=self.text,
                return_assistant_tokens_mask=True,
                **self._words,
            )
        return texts[0], [(start, end) for start, end in spans[0]]

    def _render(self, messages: list[Message], where: str, *, prompt: bool = False) -> str:
        with _rendering(where):
            texts, _ = render_jinja_template(
                conversations=[messages], chat_template=self.text, add_generation_prompt=prompt, **self._words
            )
        text = str(texts[0])
        if len(text) > LONGEST:
            raise ConfigError(
                f"{where}: the chat template makes {len(text):,} characters of it", "shorten it"
            )
        return text

    def _without_control(self, messages: Sequence[Message]) -> tuple[list[Message], dict[str, str]]:
        """Messages in which no text spells a special token, and how characters are put back."""
        spelled = {match.group()[0] for text in _texts(messages) for match in self._control.finditer(text)}
        if not spelled:
            return [dict(message) for message in messages], {}
        used = {one for text in _texts(messages) for one in text}
        spare = (chr(code) for code in _PRIVATE if chr(code) not in used)
        replaced = dict(zip(sorted(spelled), spare, strict=False))

        def safe(text: str) -> str:
            return self._control.sub(lambda found: replaced[found.group()[0]] + found.group()[1:], text)

        return [_mapped(message, safe) for message in messages], {new: old for old, new in replaced.items()}

    def _encoded(self, text: str, spans: Sequence[Span], put_back: dict[str, str], where: str) -> Rendered:
        ids, starts = self._mixed(text, put_back) if put_back else _offsets(self._plain, text, 0)
        trained = [any(start <= at < end for start, end in spans) for at in starts]
        if not any(trained):
            raise ConfigError(
                f"{where}: no token of it would be trained on",
                "give it an answer of the assistant with some text",
            )
        return Rendered(ids, trained)

    def _mixed(self, text: str, put_back: dict[str, str]) -> tuple[list[int], list[int]]:
        """Special tokens where the template put them; the same words in a message are text."""
        ids: list[int] = []
        starts: list[int] = []
        back, at = str.maketrans(put_back), 0
        for match in [*self._control.finditer(text), None]:
            end = match.start() if match else len(text)
            more, places = _offsets(self._literal, text[at:end].translate(back), at)
            ids, starts = ids + more, starts + places
            if match:
                ids.append(self._special[match.group()])
                starts.append(end)
                at = match.end()
        return ids, starts


def _copy(backend: Any, *, literal: bool) -> Any:
    copy = tokenizers.Tokenizer.from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    copy.encode_special_tokens = literal
    return copy


def _offsets(tokenizer: Any, text: str, base: int) -> tuple[list[int], list[int]]:
    encoding = tokenizer.encode(text, add_special_tokens=False)
    return list(encoding.ids), [base + start for start, _ in encoding.offsets]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _mapped(one, change) for name, one in value.items()}
    return [_mapped(one, change) for one in value] if isinstance(value, list | tuple) else value


@contextmanager
def _rendering(where: str) -> Iterator[None]:
    """A template is a program of whoever published the model: it may fail in any way, and may never end.

    Raises:
        ConfigError: it did.
    """
    try:
        with cpu_limit(RENDERING):
            yield
    except CpuLimit:
        raise ConfigError(
            f"{where}: the chat template does not end: it was stopped after {RENDERING:g} s",
            "give another in dataset.chatTemplate",
        ) from None
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise _refused(where, error) from None
    except (RecursionError, MemoryError) as error:
        raise _refused(where, error) from None


def _refused(where: str, error: BaseException) -> ConfigError:
    said = " ".join(str(error).split())[:300] or type(error).__name__
    return ConfigError(
        f"{where}: the chat template refuses it: {said}", "change the row, or dataset.chatTemplate"
    )
