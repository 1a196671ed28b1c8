"""Rows of a prompt and maybe its right answer; every other row is told with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.chat_templates import STYLES, tokenizer
from harness.prompts import asked, prompts, write

from llmtrain_trainer.data.chat.samples import CUT, TOO_LONG
from llmtrain_trainer.data.chat.template import Template
from llmtrain_trainer.data.preview import lines_of, look
from llmtrain_trainer.data.prompts.prompt import MAX_ANSWER, Prompt, TakePrompt
from llmtrain_trainer.data.prompts.writing import Prompts, PromptWriter, answer_of, prompt_of
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.reading.record import Record
from llmtrain_trainer.data.steps.held_out import unigram_entropy
from llmtrain_trainer.data.steps.prompts import fitting_prompt
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.token_marks import ids_of

USER, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}


def taken(row: Any, *, with_answer: bool = False, **named: str) -> Prompt:
    found = TakePrompt(named, with_answer=with_answer)(Record(row, "rows.jsonl", 7)).item
    assert isinstance(found, Prompt)
    return found


def test_a_row_is_a_text_or_messages_with_an_answer_where_one_is_compared_with() -> None:
    assert taken({"prompt": "hi"}) == Prompt((USER,), "rows.jsonl line 7")
    assert taken({"prompt": [USER, ANSWER, USER], "answer": "x"}).messages == (USER, ANSWER, USER)
    assert taken({"prompt": "hi", "answer": "x"}).answer is None
    assert taken({"prompt": "hi", "answer": " 4 "}, with_answer=True).answer == "4"
    assert taken({"prompt": "hi", "answer": 4}, with_answer=True).answer == "4"
    assert taken({"q": "hi", "a": "x"}, with_answer=True, prompt="q", answer="a").answer == "x"


def test_equal_prompts_are_on_one_side_of_the_split() -> None:
    one, other = (taken({"prompt": "hi", "answer": a}, with_answer=True) for a in "xy")
    assert one.text == other.text != taken({"prompt": "ho"}).text


WRONG: list[tuple[Any, str]] = [
    ("some text", "it is text"),
    ({"answer": "x"}, "it has no prompt, but answer"),
    ({"prompt": " \n", "answer": "x"}, "its prompt is empty"),
    ({"prompt": 3, "answer": "x"}, "its prompt is a number"),
    (
        {"prompt": [USER, ANSWER], "answer": "x"},
        "its prompt ends with an answer, which the model is to write",
    ),
    ({"prompt": "hi"}, "it has no answer, which a reward compares with, but prompt"),
    ({"prompt": "hi", "answer": ""}, "its answer is empty"),
    ({"prompt": "hi", "answer": ["x"]}, "its answer is an array, and neither a text nor a number"),
    ({"prompt": "hi", "answer": "é" * 129}, "its answer has 258 bytes, and a right answer has 256 at most"),
]


@pytest.mark.parametrize(("row", "said"), WRONG)
def test_what_is_no_prompt_is_told_with_its_line_and_the_fix(row: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=r"rows\.jsonl line 7 is no row with a prompt") as error:
        taken(row, with_answer=True)
    assert said in str(error.value)
    assert "dataset.fields" in str(error.value.hint)


def test_prompt_and_answer_come_back_from_a_row(tmp_path: Path) -> None:
    writer = PromptWriter(tmp_path / "rows", 6, 9)
    longest = "€" * (MAX_ANSWER // 3) + "x"
    given = [([1, 2, 3], "4"), ([1, 2, 3, 4, 5, 6], None), ([7], longest)]
    for ids, answer in given:
        writer.add_prompt(ids, answer)
    writer.end_source()
    side = writer.side()
    rows = side.take(range(3))
    assert [(prompt_of(row), answer_of(row)) for row in rows] == given
    assert [ids_of(Prompts(rows)[at]).tolist() for at in range(3)] == [ids for ids, _ in given]
    assert (side.rows, side.own_tokens, writer.highest) == (3, 10, 7)
    assert unigram_entropy(rows) == 0  # nothing of them is trained on
    assert np.all(rows >> 31 == 1)


def test_a_long_prompt_loses_its_oldest_turns_and_what_has_no_room_is_counted() -> None:
    template, counts = Template(tokenizer(STYLES["chatml"])), ReadCounts()
    long = Prompt((USER, ANSWER, {"role": "user", "content": "and now"}), "here")
    last = Prompt(long.messages[2:], "here")
    whole, part = (template.prompt(one.messages, "here") for one in (long, last))
    assert fitting_prompt(long, template, len(whole), counts) == whole
    assert not counts.dialogues[CUT]
    assert fitting_prompt(long, template, len(whole) - 1, counts) == part
    assert fitting_prompt(long, template, len(part) - 1, counts) is None
    assert counts.dialogues == {CUT: 1, TOO_LONG: 1}


def test_an_answer_follows_a_prompt_as_the_template_has_it() -> None:
    template = Template(tokenizer(STYLES["chatml"]))
    answered = template.answer([USER, ANSWER], "here")
    prompt = template.prompt([USER], "here")
    assert answered.ids[: len(prompt)] == prompt
    assert answered.trained == [at >= len(prompt) for at in range(len(answered.ids) - 1)] + [
        answered.trained[-1]
    ]
    assert template.end in answered.ids
    assert template.end not in template.prompt([{"role": "user", "content": "<|im_end|>"}], "here")[3:4]


def previewed(tmp_path: Path, count: int, **rows: Any) -> str:
    asked_of_it = asked(tmp_path / "job", {"rewards": [{"kind": "exact"}], "maxNewTokens": 8})
    source = tmp_path / "job" / "rows"
    write(source, [row | rows for row in prompts(count)])
    return "\n".join(lines_of(look(asked_of_it, tmp_path / "look"), live=False))


def test_a_look_at_prompts_shows_them_as_they_are_asked(tmp_path: Path) -> None:
    text = previewed(tmp_path, 64)
    assert "⟪<|im_start|>user\\nsay red 0<|im_end|>\\n<|im_start|>assistant\\n⟫" in text
    assert "of 56 tokens\n" in text  # without a share that is trained on: that comes with the answers


def test_prompts_that_have_no_room_or_are_too_few_are_told_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of its 64 prompts fits into 56 tokens") as error:
        previewed(tmp_path / "long", 64, prompt="word " * 200)
    assert "lower training.reinforcement.maxNewTokens" in str(error.value.hint)
    with pytest.raises(ConfigError, match="no prompt to hold out in 1"):
        previewed(tmp_path / "few", 1)
