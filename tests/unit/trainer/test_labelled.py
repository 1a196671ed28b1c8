"""Rows of files as samples, samples as rows of tokens, and the classes among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from harness.builders import job_file, least_spec
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api import JobFile, Task
from llmtrain_trainer.data.chat.samples import dialogues_of
from llmtrain_trainer.data.labelled.classes import Classes, known_classes
from llmtrain_trainer.data.labelled.encoding import SHORTENED, TOO_LONG, Encoding, processor
from llmtrain_trainer.data.labelled.sample import TakeSample
from llmtrain_trainer.data.labelled.shown import shown
from llmtrain_trainer.data.labelled.writer import SampleWriter, filled
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.reading.record import Record
from llmtrain_trainer.data.sources import texts_of
from llmtrain_trainer.data.steps.held_out import label_entropy
from llmtrain_trainer.data.tokenizer import train_bpe
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.loss import IGNORED
from llmtrain_trainer.special_tokens import Tokens, special_names
from llmtrain_trainer.tasks import Encoder, encoder_of
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED

TEXTS = ["the rain falls on the old house", "a warm wind over the river", "<|sep|> is a word here"]


def taken(row: Any, task: Task, **named: str) -> Any:
    return TakeSample(task, named)(Record(row, "rows.jsonl", 7)).item


@pytest.mark.parametrize(
    ("label", "name"), [("spam", "spam"), (" ham ", "ham"), (3, "3"), (-1, "-1"), (2.0, "2"), (True, "true")]
)
def test_a_class_is_a_text_or_a_whole_number(label: Any, name: str) -> None:
    sample = taken({"text": "a", "label": label}, Task.CLASSIFICATION)
    assert (sample.texts, sample.label) == (("a",), name)


def test_columns_are_those_that_the_job_names() -> None:
    row = {"premise": "a", "claim": "b", "gold": "yes", "text": "not this"}
    sample = taken(row, Task.CLASSIFICATION, text="premise", textPair="claim", label="gold")
    assert (sample.texts, sample.label) == (("a", "b"), "yes")
    pair = taken({"en": "a", "de": "b"}, Task.TEXT2TEXT, source="en", target="de")
    assert (pair.texts, pair.label) == (("a", "b"), None)


@pytest.mark.parametrize(
    ("row", "task", "found"),
    [
        ({"text": "a"}, Task.CLASSIFICATION, "it has no label, but text"),
        ({"label": 1}, Task.CLASSIFICATION, "it has no text, but label"),
        ({"text": "a", "label": None}, Task.CLASSIFICATION, "its label is null, and no class"),
        ({"text": "a", "label": 1.5}, Task.CLASSIFICATION, "its label is a number 1.5, and no class"),
        ({"text": "a", "label": " "}, Task.CLASSIFICATION, "its label is a string ' ', and no class"),
        ({"text": "a", "label": ["x"]}, Task.CLASSIFICATION, "its label is an array, and no class"),
        ({"text": "a", "label": "x" * 257}, Task.CLASSIFICATION, "its label has 257 characters"),
        ({"text": "a", "text_pair": 3, "label": 1}, Task.CLASSIFICATION, "text_pair is a number 3, and no"),
        ({"text": "a", "label": "high"}, Task.REGRESSION, "label is a string 'high', and no finite number"),
        ({"text": "a", "label": "nan"}, Task.REGRESSION, "and no finite number"),
        ({"text": "a", "label": 1e39}, Task.REGRESSION, "and no finite number"),
        ({"text": "a", "label": True}, Task.REGRESSION, "and no finite number"),
        ({"source": "a"}, Task.TEXT2TEXT, "it has no target, but source"),
        ({"source": "a", "target": " "}, Task.TEXT2TEXT, "its target is empty, so there is nothing to learn"),
        ("plain text", Task.TEXT2TEXT, "it is text"),
        ({"tokens": ["a"], "tags": []}, Task.TOKENS, "its tags is an array, and no list with"),
        ({"tokens": "a b", "tags": ["O", "O"]}, Task.TOKENS, "its tokens is a string 'a b', and no list"),
        ({"tokens": ["a", "b"], "tags": ["O"]}, Task.TOKENS, "it has 2 words and 1 tags"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, Task.TOKENS, "' ' is no word"),
        ({"tokens": ["a"], "tags": [1.5]}, Task.TOKENS, "1.5 is no tag"),
        ({"tokens": "[1", "tags": ["O"]}, Task.TOKENS, "its tokens is no JSON"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_sample_is_named_with_file_and_line(row: Any, task: Task, found: str) -> None:
    with pytest.raises(ConfigError, match=r"^rows.jsonl line 7 is no row with ") as told:
        taken(row, task)
    assert found in told.value.message
    assert "dataset.fields" in str(told.value.hint)


def classes(train: list[str], held_out: tuple[str, ...] = ()) -> Classes:
    found = Classes()
    for number, name in enumerate(train):
        found.number(name, f"a.jsonl line {number + 1}", held_out=False)
    for number, name in enumerate(held_out):
        found.number(name, f"b.jsonl line {number + 1}", held_out=True)
    return found


@given(st.lists(st.sampled_from(["10", "9", "-1", "b", "a", "10a", "é"]), min_size=2), st.randoms())
def test_the_order_of_classes_does_not_depend_on_that_of_the_rows(names: list[str], random: Any) -> None:
    if len(set(names)) < 2:
        names = [*names, "zz", "yy"]
    mixed = list(names)
    random.shuffle(mixed)
    assert classes(names).ordered() == classes(mixed).ordered()


def test_whole_numbers_are_ordered_by_value_and_the_base_keeps_its_order() -> None:
    found = classes(["10", "b", "9", "a", "-1"])
    assert found.ordered() == ["-1", "9", "10", "a", "b"]
    assert found.ordered(["a", "b", "9", "10", "-1"]) == ["a", "b", "9", "10", "-1"]
    assert found.ordered(["a", "b"]) == ["-1", "9", "10", "a", "b"]
    assert found.places(found.ordered()) == [2, 4, 1, 3, 0]


def test_a_class_that_only_held_out_samples_have_is_named_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^b\.jsonl line 2: class 'c' is in the held-out data alone"):
        classes(["a", "b"], ("a", "c")).ordered()


@pytest.mark.parametrize(("train", "told"), [(["a", "a"], "the one class 'a'"), ([], "no class")])
def test_one_class_is_none(train: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        classes(train).ordered()


def test_too_many_classes_are_numbers() -> None:
    with pytest.raises(ConfigError, match="x: there are more than 4096 classes") as told:
        classes([str(number) for number in range(4096)]).number("one more", "x", held_out=False)
    assert "regression" in str(told.value.hint)


def test_only_all_names_of_a_base_are_its_classes() -> None:
    assert known_classes({"id2label": {"0": "a", "1": "b"}}) == ["a", "b"]
    assert known_classes({"id2label": {"1": "a", "2": "b"}}) == []
    assert known_classes({"id2label": ["a"]}) == known_classes({}) == []


def asked(task: str, folder: Path | str = "unused", length: int = 12, **dataset: Any) -> JobFile:
    family = "tiny-t5" if task == "text2text" else "tiny-bert"
    spec = least_spec(
        model={"name": f"builtin://{family}", "vocabSize": 300},
        task=task,
        dataset={"name": f"file:///{str(folder).lstrip('/')}"} | dataset,
        training={"sequenceLength": length},
    )
    return job_file(spec)


def tokenizer(task: Task) -> tuple[Any, Tokens]:
    found = train_bpe(TEXTS, 300, special_names(task))
    if task.headed:
        found.post_processor = processor(found)
    return found, Tokens(eos=0, pad=1, start=1, segments=task.headed)


def encoding(task: Task, length: int = 12) -> Encoding:
    job = asked(str(task), length=length)
    return Encoding(job.spec, job.shape, *tokenizer(task), ReadCounts())


def passes(task: Task, rows: list[Any]) -> Any:
    made: Encoder = encoder_of(task, 300, tokenizer(task)[1], documents=False)
    return made.encode(torch.from_numpy(np.stack(rows).astype(np.int64)), [0] * len(rows))


def test_pairs_are_encoded_as_a_saved_tokenizer_encodes_them(tmp_path: Path) -> None:
    backend, _ = tokenizer(Task.CLASSIFICATION)
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<|pad|>",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    whole.save_pretrained(tmp_path)
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path)
    made = encoding(Task.CLASSIFICATION, 40)
    pairs = [("rain falls", "on the river"), ("wind", "old")]
    rows = []
    for number, texts in enumerate(pairs):
        sample = taken({"text": texts[0], "text_pair": texts[1], "label": number}, Task.CLASSIFICATION)
        row = made.row(sample, lambda number=number: [number])  # type: ignore[misc]
        assert row is not None
        rows.append(row[0])
    inputs, labels = passes(Task.CLASSIFICATION, rows)
    plain = opened([one for one, _ in pairs], [two for _, two in pairs], padding=True, return_tensors="pt")
    length = plain["input_ids"].shape[1]
    assert inputs.keys() == plain.keys()
    for name, values in plain.items():
        own = values * plain["attention_mask"]
        assert (inputs[name] * inputs["attention_mask"])[:, :length].tolist() == own.tolist(), name
    assert inputs["input_ids"].shape[1] <= length + 7
    assert labels.tolist() == [[0], [1]]


def test_a_special_token_that_a_text_spells_is_text() -> None:
    backend, _ = tokenizer(Task.CLASSIFICATION)
    made = encoding(Task.CLASSIFICATION, 40)
    row = made.row(taken({"text": TEXTS[2], "label": 0}, Task.CLASSIFICATION), lambda: [0])
    assert row is not None
    assert (row[0] == backend.token_to_id("<|sep|>")).sum() == 1


def test_long_texts_lose_their_end_and_long_targets_are_left_out() -> None:
    made = encoding(Task.TEXT2TEXT, 8)
    short, long = "rain", TEXTS[0] * 3
    row = made.row(taken({"source": long, "target": short}, Task.TEXT2TEXT), lambda: [0])
    assert row is not None
    assert made.row(taken({"source": short, "target": long}, Task.TEXT2TEXT), lambda: [0]) is None
    assert made.counts.dialogues == {SHORTENED: 1, TOO_LONG: 1}
    inputs, labels = passes(Task.TEXT2TEXT, [row[0]])
    assert inputs["input_ids"].shape == (1, 8)
    written = labels[labels != IGNORED].tolist()
    assert written[-1] == 0, "the end of a text is learnt"
    assert inputs["decoder_input_ids"][0, : len(written)].tolist() == [1, *written[:-1]]


def test_a_words_first_token_has_its_tag_and_the_others_have_none(tmp_path: Path) -> None:
    made = encoding(Task.TOKENS, 16)
    words, tags = ["rain", "unseen-word", "wind"], ["O", "B-X", "O"]
    sample = taken({"tokens": json.dumps(words), "tags": tags}, Task.TOKENS)
    assert (sample.texts, sample.label) == (tuple(words), tuple(tags))
    row = made.row(sample, lambda: [0, 1, 0])
    assert row is not None
    writer = SampleWriter(tmp_path / "rows.bin", Task.TOKENS, 16)
    writer.add_row(*row)
    writer.end_source()
    writer.relabel([1, 0])
    side = writer.side()
    inputs, labels = passes(Task.TOKENS, [side.view[0]])
    asked = labels[0] != IGNORED
    assert labels[0][asked].tolist() == [1, 0, 1]
    backend, _ = tokenizer(Task.TOKENS)
    first = [backend.encode(word, add_special_tokens=False).ids[0] for word in words]
    assert inputs["input_ids"][0][asked].tolist() == first
    assert row[1] > 5, "some word has several tokens"
    assert shown(side.view, Task.TOKENS, ["B-X", "O"], 16, str)[0][1]["text"] == " → O B-X O"


def test_what_fills_up_is_ignored_by_its_mark_and_not_by_its_id() -> None:
    row = np.concatenate([filled([1, 5], 8, 1), filled([1, 6, 1, 0], 8, 1)])
    inputs, labels = passes(Task.TEXT2TEXT, [row])
    assert labels[0].tolist() == [1, 6, 1, 0] + [IGNORED] * 4
    assert inputs["attention_mask"][0].tolist() == [1, 1] + [0] * 6


def test_numbers_are_kept_to_the_bit_and_rows_in_their_order() -> None:
    numbers = np.asarray([1.5, -0.0, -100.0], np.float32)
    rows = [np.concatenate([filled([4], 8, 1), numbers[at : at + 1].view(np.uint32)]) for at in range(3)]
    inputs, labels = passes(Task.REGRESSION, rows)
    assert labels.flatten().tolist() == numbers.view(np.uint32).tolist()
    assert inputs["input_ids"].shape == (3, 8)
    assert label_entropy(Task.REGRESSION, np.stack(rows)) == pytest.approx(float(numbers.var()))


def test_a_writer_renumbers_classes_and_counts_its_own_tokens(tmp_path: Path) -> None:
    writer = SampleWriter(tmp_path / "rows.bin", Task.CLASSIFICATION, 4)
    for label in (0, 1, 2, 1):
        writer.add_row(np.concatenate([filled([7, 8], 4, 1), [np.uint32(label)]]), 2, 8)
    writer.end_source()
    writer.relabel([2, 0, 1])
    side = writer.side()
    assert side.take(range(4))[:, -1].tolist() == [2, 0, 1, 0]
    assert (side.length, side.columns, side.tokens_a_row, side.rows) == (4, 5, 2.0, 4)
    assert label_entropy(Task.CLASSIFICATION, side.take(range(4))) == pytest.approx(1.0397207708)
    lines = shown(side.view, Task.CLASSIFICATION, ["x", "y", "z"], 4, str)
    assert lines[0] == [{"text": "[7, 8]", "trained": False}, {"text": " → z", "trained": True}]


def test_copies_of_a_text_fall_on_one_side_whatever_their_label(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": label} for number in range(40) for label in "ab"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = asked("classification", tmp_path, heldOutFraction=0.3)
    [source] = texts_of(job)
    sides: dict[str, set[bool]] = {}
    for held_out, sample in dialogues_of(job, source):
        sides.setdefault(sample.texts[0], set()).add(held_out)
    assert len(sides) == 40
    assert all(len(found) == 1 for found in sides.values())
    assert {True, False} == set().union(*sides.values())


def test_marks_are_no_ids() -> None:
    row = filled([5, 6, 7], 5, 1, second=1)
    assert row[1] == 6 | FIRST_OF_DOCUMENT
    assert row[3:].tolist() == [1 | NOT_TRAINED] * 2
