"""Questions on long texts: rows of files, windows, which held-out rows are used, and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api import Task
from llmtrain_trainer.data.labelled.answers import Answer
from llmtrain_trainer.data.labelled.encoding import processor
from llmtrain_trainer.data.labelled.questions import FILE, WRITTEN, Questions, choose_questions
from llmtrain_trainer.data.labelled.sample import Sample, TakeSample
from llmtrain_trainer.data.labelled.windows import windows_of
from llmtrain_trainer.data.reading.record import Record
from llmtrain_trainer.data.tokenizer import train_bpe
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.evaluate.spans import found_answers, of_answers, word_f1, words
from llmtrain_trainer.special_tokens import special_names

CONTEXT = "Ada wrote it in 1843. Die Brücke öffnet 🙂 on the old river, and nobody knew why it rained there."
TOKENIZER = train_bpe([CONTEXT, "Who wrote it?"], 300, special_names(Task.QUESTIONS))
TOKENIZER.post_processor = processor(TOKENIZER)


def taken(row: Any, **named: str) -> Sample:
    found: Sample = TakeSample(Task.QUESTIONS, named)(Record(row, "rows.jsonl", 7)).item
    return found


def asked(**columns: Any) -> dict[str, Any]:
    return {"question": "Who?", "context": CONTEXT} | columns


@pytest.mark.parametrize(
    "row",
    [
        asked(answers={"text": ["Ada"], "answer_start": [0]}),
        asked(answers=json.dumps({"text": ["Ada"], "answer_start": [0]})),
        asked(answer="Ada", answer_start=0),
        asked(answer="Ada", answer_start="0"),
        asked(answer="Ada", answer_start=0.0),
    ],
)
def test_answers_are_read_as_squad_has_them_or_flat(row: Any) -> None:
    assert taken(row).answers == (Answer("Ada", 0),)


@pytest.mark.parametrize(
    "row",
    [
        asked(answers={"text": [], "answer_start": []}),
        asked(answers=None),
        asked(answer="", answer_start=None),
    ],
)
def test_a_question_may_have_no_answer(row: Any) -> None:
    assert taken(row).answers == ()


def test_questions_on_one_text_fall_on_one_side() -> None:
    first, second = (taken(asked(answers=None) | {"question": text}) for text in ("Who?", "When?"))
    assert first.text == second.text
    assert first.texts != second.texts


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (asked(), "it has no answers and no answer, but context, question"),
        ({"question": "Who?", "answers": None}, "it has no context, but"),
        (asked(answers={"text": ["Eve"], "answer_start": [0]}), "'Eve' is not at character 0 of its context, "
         "where 'Ada' is"),
        (asked(answers={"text": ["Ada"], "answer_start": [999]}), "999 of its context, where nothing"),
        (asked(answers={"text": ["Ada"], "answer_start": []}), "its answers has 1 texts and 0 places"),
        (asked(answers={"text": ["Ada"]}), "its answers has no lists text and answer_start"),
        (asked(answers=["Ada"]), "its answers is an array, and no answer"),
        (asked(answer="Ada"), "it has no answer_start, which tells where its answer begins"),
        (asked(answer="Ada", answer_start=-3), "-3 is no answer_start, which is a whole number from 0"),
        (asked(answers={"text": [" "], "answer_start": [3]}), "' ' is no answer"),
        (asked(answers={"text": [4], "answer_start": [3]}), "4 is no answer"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_named_with_file_and_line(row: Any, found: str) -> None:
    with pytest.raises(ConfigError, match=r"^rows.jsonl line 7 is no row with ") as told:
        taken(row)
    assert found in told.value.message
    assert '"answers": {"text": ["..."], "answer_start": [17]}' in str(told.value.hint)


@given(st.integers(0, len(CONTEXT) - 2), st.integers(1, 12), st.integers(12, 60))
def test_an_answer_is_marked_in_each_window_that_has_all_of_it(begin: int, size: int, length: int) -> None:
    text = CONTEXT[begin : begin + size]
    answer = (Answer(text, begin),)
    windows, cut = windows_of(TOKENIZER, "Who wrote it?", CONTEXT, length)
    assert all(len(one.ids) <= length for one in windows)
    assert cut == (length - 3 < 2 * len(TOKENIZER.encode("Who wrote it?", add_special_tokens=False).ids))
    read = {at for one in windows for low, high in one.offsets for at in range(low, high)}
    assert read == set(range(len(CONTEXT))), "all of the text is in some window"
    for one in windows:
        first, last = one.span(answer)
        whole = one.offsets[0][0] <= begin and begin + len(text) <= one.offsets[-1][1]
        assert whole == (last > 0)
        if whole:
            low, high = one.offsets[first - one.first][0], one.offsets[last - one.first][1]
            assert text in CONTEXT[low:high]
            inner = CONTEXT[one.offsets[first - one.first][1] : one.offsets[last - one.first][0]]
            assert len(inner) <= len(text), "no token more than the answer touches"


def test_windows_overlap_and_the_mark_of_no_answer_is_the_first_token() -> None:
    windows, _ = windows_of(TOKENIZER, "Who?", CONTEXT, 20)
    assert len(windows) > 2
    assert all(one.span(()) == (0, 0) for one in windows)
    assert windows[0].offsets[-1][1] > windows[1].offsets[0][0]
    beyond = (Answer(CONTEXT[-6:], len(CONTEXT) - 6),)
    assert windows[0].span(beyond) == (0, 0)
    assert windows[-1].span(beyond) != (0, 0)


def written(folder: Path, sizes: list[list[int]]) -> None:
    questions = Questions(folder / WRITTEN)
    for source, of_source in enumerate(sizes):
        for number, size in enumerate(of_source):
            window = windows_of(TOKENIZER, "Who?", "short", 20)[0][0]
            sample = Sample(("Who?", f"{source} {number}"), "x", answers=())
            questions.add(source, sample, [window] * size, held_out=True)


@given(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=8), min_size=1, max_size=3), st.integers(1, 30)
)
def test_a_question_is_used_with_all_of_its_windows(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[list[int]], most: int
) -> None:
    folder = tmp_path_factory.mktemp("data")
    written(folder, sizes)
    rows, counts = choose_questions(folder, [min(most, sum(one)) for one in sizes])
    kept = json.loads((folder / FILE).read_text())
    assert rows == sorted(set(rows))
    assert len(rows) == sum(counts) == sum(len(one["windows"]) for one in kept)
    begins = np.cumsum([0, *(size for one in sizes for size in one)]).tolist()
    names = [f"{source} {number}" for source, one in enumerate(sizes) for number in range(len(one))]
    wanted: list[int] = []
    for one in kept:
        at = names.index(one["context"])
        wanted += range(begins[at], begins[at + 1])
    assert rows == wanted
    for one, count in zip(sizes, counts, strict=True):
        assert 0 < count <= max(most, one[0])
    assert not (folder / WRITTEN).exists()


def question(context: str, tokens: list[str], known: list[str], windows: int = 1) -> dict[str, Any]:
    offsets = [[context.index(one), context.index(one) + len(one)] for one in tokens]
    return {"context": context, "answers": known, "windows": [{"first": 2, "offsets": offsets}] * windows}


def logits(size: int, **high: float) -> Any:
    begin, end = np.zeros(size), np.zeros(size)
    for name, value in high.items():
        (begin if name[0] == "b" else end)[int(name[1:])] = value
    return begin, end


def test_the_likeliest_span_in_any_window_is_said_and_it_never_ends_before_it_begins() -> None:
    one = question("rain over Rome today", ["rain", "over", "Rome", "today"], ["over Rome"], windows=2)
    two = [logits(7, b3=5.0, e4=5.0, b0=4.0, e0=4.0), logits(7, b5=7.0, e2=8.0, b0=4.5, e0=4.5)]
    assert found_answers([one], two, maybe_none=False) == [("over Rome", ["over Rome"])]
    # none is as likely as it is in the window in which it is least likely
    assert found_answers([one], two, maybe_none=True)[0][0] == "over Rome"
    surer = [logits(7, b3=5.0, e4=5.0, b0=6.0, e0=6.0)] * 2
    assert found_answers([one], surer, maybe_none=True)[0][0] == ""
    assert found_answers([one], surer, maybe_none=False)[0][0] == "over Rome"
    assert found_answers([one, one], two, maybe_none=False) == found_answers([one], two, maybe_none=False)


def test_an_answer_has_thirty_tokens_at_most() -> None:
    names = [f"w{number:02}" for number in range(40)]
    far = logits(43, b2=9.0, e41=9.0, e31=1.0)
    said = found_answers([question(" ".join(names), names, ["x"])], [far], maybe_none=False)[0][0]
    assert said.split() == names[:30]


@pytest.mark.parametrize(
    ("said", "known", "exact", "f1"),
    [  # by the rules of SQuAD 2.0's own script, by hand
        ("The Eiffel Tower!", ["Eiffel tower"], 100, 100),
        ("in Paris", ["Paris", "Paris, France"], 0, 200 / 3),
        ("a b", ["b a c"], 0, 100 * 2 / 3),
        ("€5", ["5"], 0, 0),
        ("state-of-the-art", ["stateoftheart"], 100, 100),
        ("", [], 100, 100),
        ("Paris", [], 0, 0),
        ("", ["Paris"], 0, 0),
        ("", ["the", "."], 100, 100),
    ],
)
def test_scores_are_squads(said: str, known: list[str], exact: float, f1: float) -> None:
    found = of_answers([(said, known)])
    assert found["exactMatch"] == pytest.approx(exact)
    assert found["f1"] == pytest.approx(f1)


def test_scores_are_means_over_questions_beside_who_says_nothing() -> None:
    found = of_answers([("Rome", ["Rome"]), ("x", []), ("y", ["z"]), ("", [])])
    assert found == {"exactMatch": 50, "f1": 50, "noAnswerExactMatch": 50}
    assert words("A\tcat, the cat.") == ["cat", "cat"]
    assert word_f1("cat cat dog", "cat dog dog") == pytest.approx(2 / 3)
