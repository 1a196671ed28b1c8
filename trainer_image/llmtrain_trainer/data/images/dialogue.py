"""Rows of dialogues in which images have places, each with the images of its row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from ...errors import ConfigError
from ...special_tokens import IMAGE
from ..chat.dialogue import ASSISTANT, Dialogue, Message, TakeDialogue
from ..reading.record import Record
from .picture import Picture, picture_of

COLUMNS = ("images", "image")
PLACE = "number"
"""Which of the dialogue's images stands in a place; no template asks for it."""


@dataclass(frozen=True, slots=True)
class ImageDialogue(Dialogue):
    """Messages whose contents are lists of parts: texts, and places of images.

    Attributes:
        pictures: in the order of their places.
    """

    pictures: tuple[Picture, ...] = ()

    @property
    @override
    def text(self) -> str:
        """All of it in one form, for a split by content."""
        said = json.dumps(self.messages, sort_keys=True, ensure_ascii=False)
        return "\n".join([said, *(one.identity for one in self.pictures)])

    @property
    @override
    def contents(self) -> list[str]:
        """The text of each message."""
        return [
            "".join(part["text"] for part in message["content"] if part["type"] == "text")
            for message in self.messages
        ]

    @override
    def saying(self, texts: Sequence[str]) -> Dialogue:
        """The same dialogue: nothing may change texts that images have places in."""
        assert list(texts) == self.contents, "texts beside images are not cleaned"
        return self


@dataclass(frozen=True)
class TakeImageDialogue(TakeDialogue):
    """Takes a dialogue and its images of a row; the attributes are those of `TakeDialogue`."""

    asked: str = "a dialogue and its images"
    fix: str = field(
        default='use {"images": ["1.png"], "messages": [{"role": "user", "content": "<image> What is it?"}, '
        '{"role": "assistant", "content": "..."}]}, or name the columns in dataset.fields'
    )

    @override
    def _of(self, record: Record, row: dict[str, Any]) -> Dialogue:
        found = TakeDialogue._of(self, record, row)
        pictures = tuple(self._pictures(record, row))
        for at, message in enumerate(found.messages):
            if message["role"] == ASSISTANT and IMAGE in message["content"]:
                raise self._mistake(
                    record,
                    f"its message {at + 1} is the assistant's and has an image, and models answer in text",
                )
        places = sum(message["content"].count(IMAGE) for message in found.messages)
        if places != len(pictures):
            raise self._mistake(
                record,
                f"its messages have {places} places for images ({IMAGE}), and it has {len(pictures)} images",
            )
        if not pictures:
            raise self._mistake(record, "it has no image (for dialogues without images there is task chat)")
        return ImageDialogue(tuple(_in_parts(found.messages)), record.where, pictures)

    def _pictures(self, record: Record, row: dict[str, Any]) -> list[Picture]:
        named = self.named.get("images")
        column = named or next((one for one in COLUMNS if row.get(one) is not None), COLUMNS[0])
        if named is not None and named not in row:
            raise self._mistake(record, f"it has no {named}")
        value = row.get(column)
        values = value if isinstance(value, list) else [] if value is None else [value]
        return [
            picture_of(one, record.file, f"{record.where} {column}[{at}]") for at, one in enumerate(values)
        ]

    @override
    def _text(self, record: Record, value: Any, place: str) -> str:
        if not isinstance(value, list):
            return TakeDialogue._text(self, record, value, place)
        return "".join(self._part(record, one, f"{place}[{at}]") for at, one in enumerate(value))

    def _part(self, record: Record, one: Any, place: str) -> str:
        kind = one.get("type") if isinstance(one, dict) else None
        if kind == "text":
            return str(one.get("text") or "")
        if kind == "image" and not any(one.get(name) for name in ("image", "url", "path")):
            return IMAGE
        if kind in ("image", "image_url"):
            raise self._mistake(record, f"its {place} names an image itself, which belongs into images")
        raise ConfigError(
            f"{record.where} is no row with {self.asked}: its {place} is no part of type text or image",
            self.fix,
        )


def _in_parts(messages: Sequence[Message]) -> list[Message]:
    number, found = 0, []
    for message in messages:
        parts: list[dict[str, Any]] = []
        for at, text in enumerate(message["content"].split(IMAGE)):
            if at:
                parts.append({"type": "image", PLACE: number})
                number += 1
            if text:
                parts.append({"type": "text", "text": text})
        found.append({**message, "content": parts})
    return found


def numbers_of(messages: Sequence[Message]) -> list[int]:
    """Which of a dialogue's images stand in some of its messages, in their order."""
    return [part[PLACE] for message in messages for part in message["content"] if part["type"] == "image"]
