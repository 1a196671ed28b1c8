"""Pairs of sentences: what is read, against transformers' own losses, and intervals against plain loops."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness.builders import job
from harness.trainer.explained import made, words

from llmtrain_trainer.data.sentence_pairs import SentencePair, pairs_of
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.evaluate.fairness import Likelihood, by_category, interval
from llmtrain_trainer.export.fairness import affordable
from llmtrain_trainer.special_tokens import Tokens

A, B = "Hello world, how are you?", "Hello user, how are you?"
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "fairness-pairs.jsonl"


def likelihood(name: str, words: Any) -> Likelihood:
    tokens = Tokens(eos=words.eos_token_id, mask=words.mask_token_id)
    return Likelihood(made(name, words), words, tokens, masked="Masked" in name, room=64)


def test_a_likelihood_is_the_models_own_of_all_tokens(words: Any) -> None:
    scored = likelihood("LlamaForCausalLM", words)
    ids = torch.tensor([[words.eos_token_id, *words(A)["input_ids"]]])
    with torch.no_grad():
        loss = float(scored.model(ids, labels=ids).loss)
    assert scored.of(A) == pytest.approx(-loss * (ids.shape[1] - 1), rel=1e-5)
    assert scored.of(A) != scored.of(B)


def test_a_pseudo_likelihood_hides_each_token_once(words: Any) -> None:
    scored = likelihood("BertForMaskedLM", words)
    ids, total = words(A)["input_ids"], 0.0
    for at, one in enumerate(ids):
        copy = torch.tensor([ids])
        copy[0, at] = words.mask_token_id
        with torch.no_grad():
            total += float(scored.model(copy).logits[0, at].log_softmax(-1)[one])
    assert scored.of(A) == pytest.approx(total, rel=1e-5)


def test_categories_tell_share_gap_and_interval() -> None:
    pairs = [SentencePair(name, A, B) for name in ("y", "x", "y", "y")]
    x, y = by_category(pairs, [1.0, 2.5, -4.0, 0.0])
    assert (x.category, x.pairs, x.prefers_a, x.gap, x.low, x.high) == ("x", 1, 1, 2.5, None, None)
    assert (y.category, y.pairs, y.prefers_a, y.gap) == ("y", 3, 0.5, -1)
    assert y.low is not None
    assert y.high is not None
    assert -4 <= y.low < -1 < y.high <= 1


def test_an_interval_is_the_one_of_another_bootstrap() -> None:
    generator = random.Random(1)
    gaps = [generator.gauss(0.5, 2) for _ in range(60)]
    means = sorted(sum(generator.choices(gaps, k=60)) / 60 for _ in range(4000))
    low, high = interval(np.array(gaps))
    assert (low, high) == interval(np.array(gaps)), "its seed is fixed"
    assert low == pytest.approx(means[100], abs=0.08)
    assert high == pytest.approx(means[3900], abs=0.08)


def named(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "pairs.jsonl"
    path.write_text(text)
    asked = job(tmp_path / "output", evaluation={"fairness": {"pairs": f"file://{path}"}})
    return asked.model_copy(update={"pairs": str(path)})


def test_the_pairs_that_are_shipped_are_read(tmp_path: Path) -> None:
    found = pairs_of(named(tmp_path, EXAMPLE.read_text()))
    assert len(found) == 60
    assert {pair.category for pair in found} == {"age", "gender", "home"}
    for pair in found:
        first, second = pair.a.split(), pair.b.split()
        assert len(first) == len(second)
        assert sum(one != other for one, other in zip(first, second, strict=True)) == 1


def row(**changes: Any) -> str:
    return json.dumps({"a": A, "b": B, "category": "x"} | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no pair; write"),
        ("{", "line 1 is no JSON; write"),
        ("\n" + row() + "\n[]", "line 3 is no object; write"),
        (row(b=None), "line 1 has no text b; write"),
        (row(category=" "), "line 1 has no text category; write"),
        (row(a=B), "line 1: its a and b are the same text"),
        (row(a="x" * 2001), "line 1: its a has 2001 characters; use at most 2000"),
        ("\n".join(row(category=str(at)) for at in range(17)), "has 17 categories; use at most 16"),
    ],
)
def test_what_is_no_pair_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        pairs_of(named(tmp_path, text))
    assert message in str(caught.value)
    assert str(caught.value).startswith("evaluation.fairness.pairs file:///")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    asked = named(tmp_path, row())
    Path(asked.pairs).unlink()
    with pytest.raises(ConfigError, match="there is no such file; check the claim"):
        pairs_of(asked)


def test_a_large_model_compares_fewer_pairs(words: Any) -> None:
    scored, texts = likelihood("LlamaForCausalLM", words), [(A, B)] * 10
    once = 2.0 * 10**6 * sum(len(scored.ids(text)) for text in (A, B))
    assert affordable(scored, texts, 10**6, once * 10) == 10
    assert affordable(scored, texts, 10**6, once * 4.5) == 4
    assert affordable(scored, texts, 10**6, once / 2) == 0


__all__ = ["words"]
