"""Scores of answers against numbers that were computed by hand, and questions out of rows with marks."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from llmtrain_api import AnswersResult
from llmtrain_api.schema.evaluation import AnswerMetric
from llmtrain_trainer.evaluate.answers import Question, answered, prompts, questions
from llmtrain_trainer.evaluate.metrics import exact_match, measured, rouge_l, rouge_n, word_f1
from llmtrain_trainer.evaluate.untrained import copied_and_lead, lead_words
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED


@pytest.mark.parametrize(
    ("written", "right", "match", "f1"),
    [
        ("The Eiffel Tower!", "eiffel tower", 1, 1),
        ("in 1889, a tower", "Tower of 1889", 0, 2 * 2 / 6),
        ("", "the", 1, 1),
        ("", "tower", 0, 0),
        ("red red", "red", 0, 2 / 3),
        ("東京", "東京", 1, 1),
    ],
)
def test_answers_match_as_squad_says(written: str, right: str, match: float, f1: float) -> None:
    assert exact_match(written, right) == match
    assert word_f1(written, right) == pytest.approx(f1)


def test_rouge_counts_common_sequences_in_any_script() -> None:
    # Lin 2004, section 3: of "police killed the gunman", with gaps
    right = "police killed the gunman"
    assert rouge_l("police kill the gunman", right) == pytest.approx(3 / 4)
    assert rouge_l("the gunman kill police", right) == pytest.approx(2 / 4)
    assert rouge_n("police kill the gunman", right, 2) == pytest.approx(1 / 3)
    assert rouge_n("Police, KILLED the gunman.", right, 2) == 1
    assert rouge_n("the the the", "the cat", 1) == pytest.approx(2 / 5)
    assert rouge_n("我爱北京", "我爱上海", 1) == pytest.approx(2 / 4)
    assert rouge_n("one", "one", 2) == 0, "there is no pair of words"
    assert rouge_n("one", "one two", 2) == 0


def test_bleu_and_chrf_are_sacrebleus_with_their_signatures() -> None:
    pairs = [
        ("the cat sat on the mat today", "the cat sat on the mat today"),
        ("a dog runs in the park now", "a dog ran in the park now"),
    ]
    scores, signatures = measured(pairs, [AnswerMetric.BLEU, AnswerMetric.CHRF])
    precisions = [13 / 14, 10 / 12, 7 / 10, 5 / 8]
    assert scores["bleu"] == pytest.approx(100 * math.exp(sum(map(math.log, precisions)) / 4))
    assert 80 < scores["chrf"] < 100
    assert [one.split("|")[0] for one in signatures] == ["bleu", "chrf"]
    assert all("version:" in one for one in signatures)


def test_own_scores_are_means_over_the_pairs() -> None:
    pairs = [("yes", "yes"), ("no", "yes"), ("yes", "yes it is"), ("no", "no")]
    asked = [AnswerMetric.EXACT_MATCH, AnswerMetric.F1, AnswerMetric.ROUGE]
    scores, signatures = measured(pairs, asked)
    assert signatures == []
    assert scores == pytest.approx(
        {"exactMatch": 50, "f1": 62.5, "rouge1": 62.5, "rouge2": 0, "rougeL": 62.5}
    )


def test_whoever_has_no_model_copies_the_source_or_writes_its_first_words() -> None:
    sources = ["police killed the gunman, said the mayor of the town", "rain is late"]
    rights = ["police killed the gunman", "no rain is here"]
    found = copied_and_lead(sources, rights, list(AnswerMetric))
    copied, _ = measured(
        list(zip(sources, rights, strict=True)), [one for one in AnswerMetric if one != AnswerMetric.ROUGE]
    )
    assert {f"copied{name[0].upper()}{name[1:]}" for name in copied} <= found.keys()
    assert (found["copiedBleu"], found["copiedChrf"]) == (copied["bleu"], copied["chrf"])
    assert (found["copiedExactMatch"], found["copiedF1"]) == (0, copied["f1"])
    # four words of each source: all of the first right text; of the second two of three and four
    assert found["leadWords"] == 4
    assert found["leadRougeL"] == pytest.approx(100 * (1 + 2 * 2 / 7) / 2)
    assert not {"copiedRougeL", "leadBleu"} & found.keys()
    assert AnswersResult.model_validate({"written": 2, **found}).to_json() == {
        "written": 2,
        "signatures": [],
        **found,
    }
    alone = copied_and_lead(sources, rights, [AnswerMetric.CHRF])
    assert alone == {"copiedChrf": copied["chrf"]}, "what was not asked for"


def test_the_first_words_are_as_many_as_a_right_text_has() -> None:
    assert lead_words(["one", "one two three", "one two three four five six"]) == 3
    assert lead_words([""]) == 1


def test_a_prompt_is_told_as_text() -> None:
    assert prompts(Digits(), [Question([1, 2], [3]), Question([4], [5])]) == ["1 2", "4"]


def row(*documents: list[int], length: int = 16) -> list[int]:
    """Ids below 0 are read, but not trained on; what is left is filled up."""
    tokens = []
    for document in documents:
        marked = [-one | NOT_TRAINED if one < 0 else one for one in document]
        marked[0] |= FIRST_OF_DOCUMENT
        tokens += marked
    fill = [NOT_TRAINED | FIRST_OF_DOCUMENT, *[NOT_TRAINED] * length][: length - len(tokens)]
    return tokens + fill


def test_the_last_answer_of_each_dialogue_is_asked_for() -> None:
    rows = np.array(
        [
            row([-5, -6, 7, 8, -9, 10, 11], [-5, -7, 12]),
            row([-1, -2, -3], [9, 10]),  # nothing is trained on, nothing is asked
            row([-4, 3, 2, -8]),
        ],
        np.uint32,
    )
    asked = questions(rows, 9)
    assert asked == [
        Question([5, 6, 7, 8, 9], [10, 11]),
        Question([5, 7], [12]),
        Question([4], [3, 2]),
    ]
    assert questions(rows, 2) == [asked[0], asked[1]]
    assert questions(rows[:0], 2) == []
    many = np.concatenate([rows[2:]] * 10)
    assert len(questions(many, 4)) == 4


class Parrot:
    """A model that says what it is asked, and counts how much it may say."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, list[int]]] = []
        self.config = SimpleNamespace(is_encoder_decoder=False)

    def generate(self, input_ids: object, **how: object) -> object:
        self.asked.append((how["max_new_tokens"], how["eos_token_id"]))  # type: ignore[arg-type]
        return __import__("torch").cat([input_ids, input_ids], 1)


class Digits:
    """A tokenizer."""

    eos_token_id = 0

    @staticmethod
    def decode(ids: list[int], *, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return " ".join(map(str, ids))


def test_the_model_goes_on_where_the_prompt_ends_within_what_it_may_write() -> None:
    model = Parrot()
    asked = [Question([1, 2], [3, 4, 9]), Question([5], [6, 7, 8, 9]), Question([1], [2])]
    assert answered(model, Digits(), asked, 10) == [("1 2", "3 4 9"), ("5", "6 7 8 9")]
    assert model.asked == [(4, [0, 9]), (6, [0, 9])]
    assert len(answered(model, Digits(), asked, 1)) == 1, "one at least"
