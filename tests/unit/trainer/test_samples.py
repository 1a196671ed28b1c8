"""What is shown of the rows: spread over them, with what is not trained on marked."""

from __future__ import annotations

import json

import numpy as np

from llmtrain_api import DataSummary, Outcome, Results, TerminationMessage
from llmtrain_trainer.data.samples import CHARACTERS, TOKENS, Part, as_text, in_terminal, samples
from llmtrain_trainer.launch.termination import encode
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED


def decode(ids: list[int]) -> str:
    return "".join(chr(one) for one in ids)


def test_samples_are_spread_and_tell_what_is_trained_on() -> None:
    rows = np.full((100, 3), ord("a"), np.uint32)
    rows[:, 0] = np.arange(100) + ord("A")
    rows[0] = [ord("q") | NOT_TRAINED | FIRST_OF_DOCUMENT, ord("?") | NOT_TRAINED, ord("!")]
    found = samples(rows, decode)
    assert found[0] == [{"text": "q?", "trained": False}, {"text": "!", "trained": True}]
    assert [part["text"] for [part] in found[1:]] == [chr(ord("A") + at) + "aa" for at in (24, 49, 74, 99)]
    assert as_text(found[0]) == "⟪q?⟫!"
    assert samples(rows[:2], decode) == [found[0], [{"text": "Baa", "trained": True}]]
    assert samples(rows[:0], decode) == []


def test_a_sample_is_bounded_and_moves_no_cursor() -> None:
    [[part]] = samples(np.full((1, 9000), ord("x"), np.uint16), decode)
    assert len(part["text"]) == TOKENS
    shown = as_text([{"text": "\x1b[2J\n" + "é" * 900, "trained": True}])
    assert shown.startswith("\\x1b[2J\\n")
    assert len(shown) == CHARACTERS
    assert shown.isprintable()


def test_an_answer_is_shown_whatever_stands_before_it() -> None:
    asked: Part = {"text": "You are helpful. " * 90 + "Why?", "trained": False}
    shown = as_text([asked, {"text": "Because.", "trained": True}, asked])
    assert shown.startswith("⟪…")
    assert shown.split("⟫")[0].endswith("Why?")
    assert "⟫Because.⟪…" in shown
    assert len(shown) <= CHARACTERS


def test_what_fills_a_row_up_is_not_shown() -> None:
    pad = ord("_")
    row = [ord("a"), pad, pad | NOT_TRAINED | FIRST_OF_DOCUMENT, pad | NOT_TRAINED]
    assert samples(np.array([row], np.uint32), decode, pad=pad) == [[{"text": "a_", "trained": True}]]
    assert as_text(samples(np.array([row], np.uint32), decode)[0]) == "a_⟪__⟫"


def test_in_a_terminal_what_is_not_trained_on_is_dim() -> None:
    sample: list[Part] = [{"text": "q\x1b[2J", "trained": False}, {"text": "answer", "trained": True}]
    assert in_terminal(sample, 100) == "\x1b[2mq\\x1b[2J\x1b[0m\x1b[1manswer\x1b[0m"
    assert in_terminal(sample, 10) == "\x1b[2mq\\x1b[2J\x1b[0m\x1b[1man\x1b[0m…"
    assert in_terminal(sample, 3) == "\x1b[2mq\\x\x1b[0m…"


def test_samples_never_cost_a_termination_message_its_meaning() -> None:
    data = DataSummary(
        documents=1,
        tokens=1,
        bytes_read=1,
        bytes_not_read=0,
        replaced_characters=0,
        skipped_files=0,
        samples=["é" * CHARACTERS] * 5,
    )
    results = Results(steps=7, data=data, sample="ü" * 400)
    told = json.loads(encode(TerminationMessage(outcome=Outcome.COMPLETE, results=results)))
    assert told["results"]["steps"] == 7
    assert told["results"]["data"]["documents"] == 1
    assert len(told["results"]["data"]["samples"]) == 5
