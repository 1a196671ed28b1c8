"""Renders all prompts into rows, each with its right answer where a reward compares with it."""

from __future__ import annotations

from ...errors import ConfigError
from ..chat.dialogue import Message
from ..chat.samples import CUT, TOO_LONG, dialogues_of
from ..chat.template import Template
from ..preparation import Preparation
from ..prompts.prompt import Prompt
from ..prompts.writing import PromptWriter
from ..reading.counts import ReadCounts
from .dialogues import copies_of, template_of


def write_prompts(made: Preparation, train: PromptWriter, held_out: PromptWriter) -> list[ReadCounts]:
    """Write the rows of both sides of the split.

    Args:
        made: whose prompts.
        train: takes those that are trained on.
        held_out: takes those for evaluation only.

    Returns:
        What was read of each source.

    Raises:
        ConfigError: a template that cannot be used, or no prompt that has room.
    """
    template, counts = template_of(made), [ReadCounts() for _ in made.sources]
    progress = made.progress.begin("rows")
    for number, (source, counted) in enumerate(zip(made.sources, counts, strict=True)):
        copies = copies_of(made, number)
        for for_evaluation, prompt in dialogues_of(made.job, source, counted, progress, copies):
            assert isinstance(prompt, Prompt)
            if (ids := fitting_prompt(prompt, template, train.each, counted)) is not None:
                (held_out if for_evaluation else train).add_prompt(ids, prompt.answer)
        train.end_source()
        held_out.end_source()
        if counted.dialogues[TOO_LONG] and not train.sources[-1].rows + held_out.sources[-1].rows:
            raise ConfigError(
                f"{source.field} {source.name}: none of its {counted.dialogues[TOO_LONG]} prompts fits into "
                f"{train.each} tokens, which are training.sequenceLength less maxNewTokens",
                "raise training.sequenceLength, or lower training.reinforcement.maxNewTokens",
            )
    return counts


def fitting_prompt(prompt: Prompt, template: Template, length: int, counts: ReadCounts) -> list[int] | None:
    """The tokens of a prompt, cut from the left by whole turns; None where its last turn alone is too long.

    Args:
        prompt: whose.
        template: renders it.
        length: tokens at most.
        counts: is told what was cut or left out.
    """
    messages: list[Message] | None = [*prompt.messages]
    cut = False
    while messages is not None:
        ids = template.prompt(messages, prompt.where)
        if len(ids) <= length:
            counts.dialogues[CUT] += cut
            return ids
        messages, cut = Prompt(tuple(messages), prompt.where).shorter, True
    counts.dialogues[TOO_LONG] += 1
    return None
