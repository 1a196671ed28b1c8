"""Rows of the usual forms are pairs of answers; every other row is told with its line and the fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.chat_templates import STYLES, tokenizer

from llmtrain_trainer.data.chat.samples import CUT, TOO_LONG
from llmtrain_trainer.data.chat.template import Rendered, Template
from llmtrain_trainer.data.pairs.pair import Pair, TakePair
from llmtrain_trainer.data.pairs.samples import EMPTY, EQUAL, EXPLICIT, IMPLICIT, rendered
from llmtrain_trainer.data.pairs.writing import PairWriter, Unpadded
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.reading.record import Record
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.token_marks import ids_of

USER, GOOD, BAD = (
    {"role": role, "content": text}
    for role, text in (("user", "hi"), ("assistant", "ho"), ("assistant", "no"))
)
FORMS: dict[str, tuple[Any, bool]] = {
    "texts": ({"prompt": "hi", "chosen": "ho", "rejected": "no"}, False),
    "messages": ({"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}, False),
    "a prompt that each side repeats": (
        {"prompt": "hi", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        False,
    ),
    "no prompt": ({"chosen": [USER, GOOD], "rejected": [USER, BAD], "score": 3}, True),
    "columns of a table": ({"chosen": json.dumps([USER, GOOD]), "rejected": json.dumps([USER, BAD])}, True),
}


def taken(row: Any, **named: str) -> Pair:
    found = TakePair(named)(Record(row, "rows.jsonl", 7)).item
    assert isinstance(found, Pair)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_row_of_any_usual_form_is_a_pair(form: str) -> None:
    row, implicit = FORMS[form]
    pair = taken(row)
    assert ([*pair.prompt], pair.chosen, pair.rejected, pair.implicit) == ([USER], GOOD, BAD, implicit)


def test_named_columns_and_other_texts() -> None:
    pair = taken({"q": "hi", "a": "ho", "b": "no"}, prompt="q", chosen="a", rejected="b")
    assert [*pair.messages] == [USER, GOOD, BAD]
    changed = pair.saying(["HI", "HO", "NO"])
    assert isinstance(changed, Pair)
    assert changed.rejected["content"] == "NO"


def test_pairs_of_one_prompt_are_on_one_side_of_the_split() -> None:
    one, other = (taken({"prompt": "hi", "chosen": text, "rejected": "x"}) for text in "ab")
    assert one.text == other.text != taken({"prompt": "ho", "chosen": "a", "rejected": "x"}).text


WRONG: list[tuple[Any, str]] = [
    ("some text", "it is text"),
    ({"prompt": "hi", "chosen": "ho"}, "it has no rejected, but chosen, prompt"),
    ({"chosen": "ho", "rejected": "no"}, "it has no prompt, and its answers begin with no common message"),
    ({"prompt": "hi", "chosen": 3, "rejected": "no"}, "its chosen is a number, and no list of messages"),
    ({"prompt": "hi", "chosen": [], "rejected": "no"}, "its chosen is empty"),
    (
        {"prompt": "hi", "chosen": [GOOD, USER, GOOD], "rejected": [BAD]},
        "has assistant, user, assistant",
    ),
    ({"prompt": [USER], "chosen": [USER], "rejected": [BAD]}, "its chosen has user after the prompt"),
    ({"chosen": [USER, GOOD], "rejected": [BAD]}, "begin with no common message"),
]


@pytest.mark.parametrize(("row", "said"), WRONG)
def test_what_is_no_pair_is_told_with_its_line_and_the_fix(row: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=r"rows\.jsonl line 7 is no row with a pair of answers") as error:
        taken(row)
    assert said in str(error.value)
    assert "dataset.fields" in str(error.value.hint)


@pytest.fixture(scope="module")
def template() -> Template:
    return Template(tokenizer(STYLES["chatml"]))


def test_only_both_answers_are_trained_on(template: Template) -> None:
    earlier = [USER, GOOD, {"role": "user", "content": "and"}]
    row = {"prompt": earlier, "chosen": [GOOD], "rejected": [BAD]}
    counts = ReadCounts()
    sides = rendered(taken(row), template, 200, counts)
    assert sides is not None
    whole = tokenizer(STYLES["chatml"])
    for side, text in zip(sides, ("ho", "no"), strict=True):
        trained = [one for one, mine in zip(side.ids, side.trained, strict=True) if mine]
        assert whole.decode(trained) == f"{text}<|im_end|>"
    assert counts.dialogues[EXPLICIT] == 1


@pytest.mark.parametrize(
    ("row", "length", "counted"),
    [
        ({"prompt": "hi", "chosen": "ho", "rejected": "ho"}, 200, EQUAL),
        ({"prompt": "hi", "chosen": " ", "rejected": "ho"}, 200, EMPTY),
        ({"prompt": "hi", "chosen": "ho", "rejected": "no " * 60}, 60, TOO_LONG),
    ],
)
def test_what_cannot_be_learnt_from_is_left_out_and_counted(
    template: Template, row: Any, length: int, counted: str
) -> None:
    counts = ReadCounts()
    assert rendered(taken(row), template, length, counts) is None
    assert counts.dialogues[counted] == 1


def test_old_turns_go_of_both_sides_alike(template: Template) -> None:
    old = [{"role": "user", "content": "and " * 40}, GOOD, USER]
    counts = ReadCounts()
    sides = rendered(taken({"chosen": [*old, GOOD], "rejected": [*old, BAD]}), template, 80, counts)
    assert sides == rendered(taken({"chosen": [USER, GOOD], "rejected": [USER, BAD]}), template, 80, counts)
    assert (counts.dialogues[CUT], counts.dialogues[IMPLICIT]) == (1, 2)


def test_a_row_holds_both_sides_and_is_shown_without_padding(tmp_path: Path) -> None:
    writer = PairWriter(tmp_path / "rows", 6, 1)
    writer.add_pair(Rendered([40, 41, 42], [False, False, True]), Rendered([40, 43], [False, True]))
    writer.end_source()
    side = writer.side()
    assert (side.rows, side.length) == (1, 12)
    assert ids_of(np.asarray(side.view[0])).tolist() == [40, 41, 42, 1, 1, 1, 40, 43, 1, 1, 1, 1]
    assert ids_of(Unpadded(side.view)[0]).tolist() == [40, 41, 42, 40, 43]
