"""Rows of every usual form are dialogues; every other row is told with its line and the fix."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmtrain_trainer.data.chat.dialogue import TakeDialogue, without_oldest_turn
from llmtrain_trainer.data.reading.record import Record
from llmtrain_trainer.errors import ConfigError

USER, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}
FORMS: dict[str, Any] = {
    "messages": {"messages": [USER, ANSWER]},
    "sharegpt": {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]},
    "prompt": {"prompt": "hi", "completion": "ho"},
    "prompt as messages": {"prompt": [USER], "completion": [ANSWER]},
    "response": {"prompt": "hi", "response": "ho"},
    "question": {"question": "hi", "answer": "ho", "id": 3},
    "instruction": {"instruction": "hi", "input": "", "output": "ho"},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}, ANSWER]},
    "a column of a table": {"messages": json.dumps([USER, ANSWER])},
}


def taken(row: Any, **named: str) -> list[dict[str, Any]]:
    return list(TakeDialogue(named)(Record(row, "rows.jsonl", 7)).item.messages)


@pytest.mark.parametrize("form", FORMS)
def test_a_row_of_any_usual_form_is_a_dialogue(form: str) -> None:
    assert taken(FORMS[form]) == [USER, ANSWER]


def test_instruction_and_input_are_one_question() -> None:
    assert taken({"instruction": "add", "input": "1 2", "output": "3"})[0]["content"] == "add\n\n1 2"


def test_named_columns_come_first() -> None:
    assert taken({"q": "hi", "a": "ho", "messages": []}, prompt="q", completion="a") == [USER, ANSWER]
    assert taken({"talk": [USER, ANSWER]}, messages="talk") == [USER, ANSWER]


def test_what_a_template_may_ask_for_is_kept() -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]}
    row = {"messages": [USER, called, {"role": "tool", "content": "3", "name": "add"}, ANSWER]}
    assert taken(row)[1]["tool_calls"] == [{"name": "add"}]
    assert taken(row)[2]["name"] == "add"


BAD: list[tuple[Any, str]] = [
    ("some text", "it is text"),
    ({}, "it has no field"),
    ({"text": "a"}, "it has text"),
    ({"messages": []}, "its messages is empty"),
    ({"messages": "hi"}, "its messages is a string, and no list"),
    ({"messages": "[1,"}, "its messages is no JSON"),
    ({"messages": {"role": "user"}}, "its messages is an object, and no list"),
    ({"messages": None}, "its messages is null"),
    ({"messages": ["hi"]}, r"its messages\[0\] is a string, and no message"),
    ({"messages": [{"content": "hi"}]}, r"the role of its messages\[0\] is missing"),
    ({"messages": [{"role": "wizard", "content": "hi"}]}, "is 'wizard'; known are system"),
    ({"messages": [{"role": 3, "content": "hi"}]}, "is 3; known are"),
    ({"messages": [{"role": "user"}]}, r"its messages\[0\].content is null"),
    ({"messages": [USER, {"role": "assistant", "content": 3}]}, r"its messages\[1\].content is a number"),
    ({"messages": [USER, {"role": "assistant", "content": [{"type": "image"}]}]}, "is an array, and no text"),
    ({"messages": [USER]}, "no message is the assistant's"),
    ({"conversations": [{"from": "human", "value": 1}]}, "content is a number"),
    ({"prompt": "hi"}, "it has prompt"),
    ({"prompt": "hi", "completion": None}, "its completion is null"),
    ({"prompt": 1, "completion": "ho"}, "its prompt is a number"),
    ({"prompt": [USER], "completion": []}, "its completion is empty"),
    ({"instruction": "hi", "output": ["ho"]}, "its output is an array"),
    ({"instruction": "hi", "input": 5, "output": "ho"}, "its input is a number"),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_row_that_is_no_dialogue_is_told_with_its_line_and_the_fix(row: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        taken(row)
    assert str(told.value).startswith("rows.jsonl line 7 is no row with a dialogue: ")
    assert "dataset.fields" in told.value.hint


def test_a_named_column_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match="it has no q, but a"):
        taken({"a": "ho"}, prompt="q", completion="a")


def test_the_oldest_turn_goes_and_the_system_message_stays() -> None:
    system = {"role": "system", "content": "be brief"}
    tool = {"role": "tool", "content": "3"}
    assert without_oldest_turn([system, USER, ANSWER, tool, ANSWER, USER, ANSWER]) == [system, USER, ANSWER]
    assert without_oldest_turn([system, USER, ANSWER]) is None
    assert without_oldest_turn([USER, ANSWER, USER]) is None
