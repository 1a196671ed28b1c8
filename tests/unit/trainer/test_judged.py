"""Rows of an answer and its label; every other row is told with its line; which answer is mismatched."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.builders import job
from harness.chat_templates import STYLES, tokenizer
from harness.pairs import judged

from llmtrain_api.schema.preference import PreferenceLoss, PreferenceSpec
from llmtrain_trainer.data.chat.dialogue import Dialogue
from llmtrain_trainer.data.chat.samples import CUT, TOO_LONG
from llmtrain_trainer.data.chat.template import Rendered, Template
from llmtrain_trainer.data.judged import writing
from llmtrain_trainer.data.judged.answer import Judged, TakeJudged, judged_of
from llmtrain_trainer.data.judged.samples import rendered
from llmtrain_trainer.data.judged.writing import Answered, JudgedWriter
from llmtrain_trainer.data.pairs.samples import EMPTY, EQUAL
from llmtrain_trainer.data.preview import lines_of, look
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.reading.record import Record
from llmtrain_trainer.data.store import key_of
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.evaluate.scores import of_majority
from llmtrain_trainer.token_marks import NOT_TRAINED, ids_of

USER, GOOD, BAD = (
    {"role": role, "content": text}
    for role, text in (("user", "hi"), ("assistant", "ho"), ("assistant", "no"))
)
FORMS: dict[str, Any] = {
    "texts": {"prompt": "hi", "completion": "ho", "label": True},
    "messages": {"prompt": [USER], "completion": [GOOD], "label": True},
    "a prompt that the completion repeats": {"prompt": [USER], "completion": [USER, GOOD], "label": True},
    "a label of a table": {"prompt": "hi", "completion": "ho", "label": "True"},
}


def taken(row: Any, **named: str) -> Dialogue:
    return TakeJudged(named)(Record(row, "rows.jsonl", 7)).item


@pytest.mark.parametrize("form", FORMS)
def test_a_row_of_any_usual_form_is_an_answer(form: str) -> None:
    assert judged_of(taken(FORMS[form])) == [Judged((USER, GOOD), "rows.jsonl line 7", True)]


def test_a_label_that_is_false_and_named_columns() -> None:
    row = {"q": "hi", "a": "no", "thumbs_up": False}
    assert judged_of(taken(row, prompt="q", completion="a", label="thumbs_up")) == [
        Judged((USER, BAD), "rows.jsonl line 7", False)
    ]


def test_a_pair_is_a_desirable_answer_and_another() -> None:
    found = judged_of(taken({"prompt": "hi", "chosen": "ho", "rejected": "no"}))
    assert [(one.messages, one.desirable) for one in found] == [((USER, GOOD), True), ((USER, BAD), False)]


def test_answers_to_one_prompt_are_on_one_side_of_the_split_with_pairs_of_it() -> None:
    row = {"prompt": "hi", "completion": "a", "label": True}
    one, other, pair = (
        taken(row),
        taken(row | {"completion": "b"}),
        taken({"prompt": "hi", "chosen": "ho", "rejected": "no"}),
    )
    assert one.text == other.text == pair.text != taken(row | {"prompt": "ho"}).text
    changed = one.saying(["HI", "HO"])
    assert isinstance(changed, Judged)
    assert changed.desirable
    assert changed.contents == ["HI", "HO"]


WRONG: list[tuple[Any, str]] = [
    ("some text", "it is text"),
    ({"prompt": "hi", "completion": "ho"}, "it has no label, but completion, prompt"),
    ({"prompt": "hi", "label": True}, "it has no completion, but label, prompt"),
    ({"completion": "ho", "label": True}, "it has no prompt, but completion, label"),
    ({"prompt": "hi", "completion": "ho", "label": None}, "it has no label"),
    (
        {"prompt": "hi", "completion": "ho", "label": "good"},
        "its label is 'good', and neither true nor false",
    ),
    ({"prompt": "hi", "completion": "ho", "label": 1}, "its label is 1, and neither true nor false"),
    ({"prompt": "hi", "completion": "ho", "label": [True]}, "its label is an array, and neither"),
    ({"prompt": "hi", "completion": " \n", "label": True}, "its completion is empty"),
    ({"prompt": "hi", "completion": 3, "label": True}, "its completion is a number, and no list of messages"),
    ({"prompt": [USER], "completion": [USER], "label": True}, "its completion has nothing after the prompt"),
    ({"prompt": "hi", "chosen": "ho"}, "it has no rejected, but chosen, prompt"),
]


@pytest.mark.parametrize(("row", "said"), WRONG)
def test_what_is_no_answer_is_told_with_its_line_and_the_fix(row: Any, said: str) -> None:
    with pytest.raises(
        ConfigError, match=r"rows\.jsonl line 7 is no row with an answer and its label"
    ) as error:
        taken(row)
    assert said in str(error.value)
    assert "dataset.fields" in str(error.value.hint)


@pytest.fixture(scope="module")
def template() -> Template:
    return Template(tokenizer(STYLES["chatml"]))


def test_only_the_answer_is_trained_on(template: Template) -> None:
    counts = ReadCounts()
    whole = tokenizer(STYLES["chatml"])
    found = list(rendered(taken({"prompt": "hi", "chosen": "ho", "rejected": "no"}), template, 200, counts))
    assert [desirable for _, desirable in found] == [True, False]
    for (side, _), text in zip(found, ("ho", "no"), strict=True):
        trained = [one for one, mine in zip(side.ids, side.trained, strict=True) if mine]
        assert whole.decode(trained) == f"{text}<|im_end|>"


@pytest.mark.parametrize(
    ("row", "length", "counted", "left"),
    [
        ({"prompt": "hi", "chosen": "ho", "rejected": "ho"}, 200, EQUAL, 0),
        ({"prompt": "hi", "chosen": " ", "rejected": "ho"}, 200, EMPTY, 1),
        ({"prompt": "hi", "chosen": "ho", "rejected": "no " * 60}, 60, TOO_LONG, 1),
        (
            {"prompt": [USER | {"content": "and " * 40}, GOOD, USER], "completion": "ho", "label": True},
            80,
            CUT,
            1,
        ),
    ],
)
def test_what_cannot_be_learnt_from_is_left_out_and_counted(
    template: Template, row: Any, length: int, counted: str, left: int
) -> None:
    counts = ReadCounts()
    assert len(list(rendered(taken(row), template, length, counts))) == left
    assert counts.dialogues[counted] == 1


def sequence(prompt: int, answer: int, tokens: int = 1) -> Rendered:
    """A prompt of two tokens, an answer, and what a template puts after it."""
    ids = [40, prompt, *[answer] * tokens, 1]
    return Rendered(ids, [False, False, *[True] * tokens, False])


def written(
    folder: Path, *sources: list[tuple[int, int]], each: int = 6
) -> list[tuple[list[int], list[int]]]:
    """Own and mismatched ids of each row; an answer is desirable where its number is even."""
    writer = JudgedWriter(folder / "rows", each, 0)
    for source in sources:
        for prompt, answer in source:
            writer.add_answer(sequence(prompt, answer), desirable=answer % 2 == 0)
        writer.end_source()
    side = writer.side()
    assert (side.length, side.columns, side.rows) == (each, 2 * each + 1, sum(map(len, sources)))
    assert side.own_tokens == 4 * side.rows
    rows = [np.asarray(side.view[at]) for at in range(side.rows)]
    assert [bool(ids_of(row[-1])) for row in rows] == [
        answer % 2 == 0 for source in sources for _, answer in source
    ]
    assert all(row[-1] & NOT_TRAINED for row in rows)
    found = [ids_of(row[:-1]).reshape(2, each).tolist() for row in rows]
    assert [own[:3] for own, _ in found] == [[40, *pair] for source in sources for pair in source]
    return [(own, other) for own, other in found]


def mismatched(folder: Path, *sources: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Prompt and answer of each row's mismatched sequence."""
    return [(other[1], other[2]) for _, other in written(folder, *sources)]


def test_the_mismatched_answer_is_the_last_one_of_another_prompt(tmp_path: Path) -> None:
    alone = [(50, 60), (51, 61), (52, 62)]
    assert mismatched(tmp_path, alone) == [(50, 61), (51, 60), (52, 61)]


def test_an_answer_of_the_same_prompt_is_never_taken_where_there_is_another(tmp_path: Path) -> None:
    pairs = [(50, 60), (50, 61), (51, 62), (51, 63), (52, 64), (52, 65)]
    assert mismatched(tmp_path, pairs) == [(50, 62), (50, 62), (51, 61), (51, 61), (52, 63), (52, 63)]


def test_with_one_prompt_it_is_the_answer_before_and_sources_do_not_mix(tmp_path: Path) -> None:
    found = mismatched(tmp_path, [(50, 60), (50, 61), (50, 62)], [(51, 63)])
    assert found == [(50, 62), (50, 60), (50, 61), (51, 63)]


def test_few_answers_wait_for_another_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "HELD_BACK", 2)
    found = mismatched(tmp_path, [(50, 60), (50, 61), (50, 62), (51, 63)])
    assert found == [(50, 61), (50, 60), (50, 61), (51, 62)]


def test_a_mismatched_sequence_that_is_too_long_loses_its_end(tmp_path: Path) -> None:
    writer = JudgedWriter(tmp_path / "rows", 5, 0)
    writer.add_answer(Rendered([40, 41, 42, 43, 60], [False] * 4 + [True]), desirable=True)
    writer.add_answer(Rendered([40, 61, 61, 61, 1], [False, True, True, True, False]), desirable=False)
    writer.end_source()
    rows = writer.side().view
    first, second = (np.asarray(rows[at]) for at in (0, 1))
    assert ids_of(first[5:10]).tolist() == [40, 41, 42, 43, 61]
    assert not first[9] & NOT_TRAINED
    assert ids_of(second[5:10]).tolist() == [40, 60, 0, 0, 0]
    assert writer.labels == {True: 1, False: 1}
    assert ids_of(Answered(rows)[1]).tolist() == [40, 61, 61, 61, 1]


def test_the_majority_is_that_of_the_training_data() -> None:
    rows = np.array([[7, NOT_TRAINED | 1], [7, NOT_TRAINED], [7, NOT_TRAINED], [7, NOT_TRAINED]], np.uint32)
    counts = {"desirable": {"train": 5}, "undesirable": {"train": 4}}
    assert of_majority(rows, counts) == 0.25
    assert of_majority(rows, counts | {"undesirable": {"train": 9}}) == 0.75


def looked(folder: Path, rows: list[dict[str, Any]]) -> list[str]:
    """The lines of a preview of a job on rows."""
    (folder / "rows").mkdir()
    (folder / "rows" / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = job(
        folder / "output",
        task="preference",
        dataset={"name": f"file://{folder / 'rows'}", "heldOutFraction": 0.2},
        model={"vocabSize": 320},
        training={"sequenceLength": 96, "preference": {"loss": "kto"}},
    )
    return lines_of(look(asked, folder / "look"), live=False)


def test_a_preview_counts_both_kinds(tmp_path: Path) -> None:
    lines = looked(tmp_path, judged(40))
    form = re.compile(r"(un)?desirable +\d+ answers to train on, \d+ held out")
    assert len([line for line in lines if form.match(line)]) == 2


def test_a_line_that_is_no_answer_stops_a_job_with_its_file_and_number(tmp_path: Path) -> None:
    rows = judged(40)
    rows[7]["label"] = "yes"
    with pytest.raises(ConfigError, match=r"all\.jsonl line 8 is no row .* its label is 'yes', and neither"):
        looked(tmp_path, rows)


@pytest.mark.parametrize(("kind", "said"), [(True, "desirable"), (False, "undesirable")])
def test_answers_of_one_kind_alone_are_refused(tmp_path: Path, kind: bool, said: str) -> None:
    rows = [row | {"label": kind} for row in judged(40)]
    with pytest.raises(ConfigError, match=rf"answers to train on are {said}, and loss kto") as error:
        looked(tmp_path, rows)
    assert f"label is {str(not kind).lower()}" in str(error.value.hint)


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    same = {"prompt": "say nothing", "chosen": "fine", "rejected": "fine"}
    long = {"prompt": "say much", "completion": "much " * 200, "label": True}
    told = "\n".join(looked(tmp_path, [*judged(40), same, long]))
    assert "1 pairs have two equal answers and are left out" in told
    assert "1 answers are left out, as their last turn alone is longer" in told


def test_nothing_but_what_is_left_out_is_told_by_its_reasons(tmp_path: Path) -> None:
    same = {"prompt": "say nothing", "chosen": "fine", "rejected": "fine"}
    with pytest.raises(ConfigError, match="no answer is left to train on with 96 tokens a sequence: 3 pairs"):
        looked(tmp_path, [same] * 3)


def test_the_rows_of_pairs_are_no_data_of_this_loss(tmp_path: Path) -> None:
    asked = job(
        tmp_path,
        task="preference",
        dataset={"name": "pvc://data/rows"},
        training={"preference": {"loss": "ipo"}},
    )
    how = asked.spec.training.model_copy(update={"preference": PreferenceSpec(loss=PreferenceLoss.KTO)})
    other = asked.model_copy(update={"spec": asked.spec.model_copy(update={"training": how})})
    assert key_of(other) == key_of(asked) | {"training.preference.loss": "kto"}
