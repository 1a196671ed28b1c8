"""``fields`` of a dataset: names of the columns of its rows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import ApiModel


class FieldsSpec(ApiModel):
    """Names of the columns that rows have, where they are not the usual ones."""

    text: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Column that holds the text of a document, or of a sample. Default: text.",
    )
    messages: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task chat and imageChat: column that holds the messages of a dialogue: role and "
        "content. Default: messages, or conversations.",
    )
    prompt: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task chat, imageChat, preference, reward and reinforcement: column that holds what "
        "is asked. Default: prompt; with chat also question, or instruction with input.",
    )
    completion: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task chat and imageChat, and with loss kto of task preference: column that holds "
        "the answer. Default: completion; with chat also response, answer or output.",
    )
    chosen: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task preference and reward: column that holds the better answer. Default: chosen.",
    )
    rejected: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task preference and reward: column that holds the other answer. Default: rejected.",
    )
    answer: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task reinforcement: column that holds the right answer, where a reward compares "
        "with it. Default: answer.",
    )
    images: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task imageChat: column that holds the images of a dialogue, as a list: paths "
        "beside the file, or in .parquet their bytes. Default: images, or image for one.",
    )
    text_pair: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task classification and regression: column that holds a second text, where there "
        "is one. Default: text_pair.",
    )
    label: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task classification: column that holds the class, a text or a whole number; with "
        "regression a number; with loss kto of task preference whether the answer is desirable, true or "
        "false. Default: label.",
    )
    source: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task text2text: column that holds the text that is read. Default: source.",
    )
    target: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task text2text: column that holds the text that is to be written. Default: target.",
    )
    tokens: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task tokenClassification: column that holds the words, as a list. Default: tokens.",
    )
    tags: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task tokenClassification: column that holds a tag of each word, as a list. "
        "Default: tags.",
    )
    question: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task questionAnswering: column that holds the question. Default: question.",
    )
    context: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task questionAnswering: column that holds the text that the answer stands in. "
        "Default: context.",
    )
    answers: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="With task questionAnswering: column that holds the answers and where they begin. "
        "Default: answers, or answer with answer_start.",
    )


DIALOGUE = ("messages", "prompt", "completion", "chosen", "rejected", "answer", "images")
"""Fields that name columns of dialogues."""
Fields = Annotated[
    FieldsSpec,
    Field(description="Names of the columns of rows (.jsonl, .json, .csv, .tsv, .parquet)."),
]
