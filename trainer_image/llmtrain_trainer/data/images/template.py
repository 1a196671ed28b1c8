"""Dialogues with images as a model reads them: an image is as many tokens as it has patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from typing_extensions import override

from ...errors import ConfigError
from ..chat.dialogue import Message
from ..chat.template import Rendered, Template
from .dialogue import numbers_of

IMAGE_CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The form that models get which are trained here from the start."""


@dataclass(frozen=True)
class Seen(Rendered):
    """A dialogue as the model sees it, with its images.

    Attributes:
        images: which of the dialogue's images it shows, in their order.
    """

    images: tuple[int, ...] = ()

    @property
    @override
    def complete(self) -> bool:
        """Whether it shows an image."""
        return bool(self.images)


class ImageTemplate:
    """Renders dialogues with images.

    Args:
        template: of the tokenizer.
        token: id of what stands for an image.
        tokens: that an image is in a row.
    """

    def __init__(self, template: Template, token: int, tokens: int) -> None:
        self._template, self._token, self._tokens = template, token, tokens

    def samples(self, messages: Sequence[Message], where: str) -> Iterator[Seen]:
        """What is trained on of a dialogue: one sample, or one for each answer.

        Raises:
            ConfigError: the template refuses the messages, shows no answer in them, or leaves out images.
        """
        numbers = numbers_of(messages)
        found = list(self._template.samples(messages, where))
        shown = max((one.ids.count(self._token) for one in found), default=0)
        if shown != len(numbers):
            raise ConfigError(
                f"{where}: the chat template shows {shown} of its {len(numbers)} images",
                "give another in dataset.chatTemplate, which writes <image> for a part of type image",
            )
        for one in found:
            yield self._with_room(one, numbers)

    def _with_room(self, one: Rendered, numbers: list[int]) -> Seen:
        ids: list[int] = []
        trained: list[bool] = []
        for token, asked in zip(one.ids, one.trained, strict=True):
            image = token == self._token
            ids += [token] * (self._tokens if image else 1)
            # nobody writes an image
            trained += [False] * self._tokens if image else [asked]
        return Seen(ids, trained, tuple(numbers[: one.ids.count(self._token)]))
