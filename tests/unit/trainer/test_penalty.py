"""The penalty on pairs of sentences against its formula, which pairs a step sees, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from harness.builders import job, least_spec
from harness.trainer.explained import made, words
from tokenizers.normalizers import Lowercase

from llmtrain_api import Place, TrainingSpec, shape_of
from llmtrain_api.estimate.choice import proof_asked
from llmtrain_api.estimate.memory import estimate
from llmtrain_api.layouts.layout import Layout
from llmtrain_api.layouts.proven import refusal
from llmtrain_trainer.batch import BatchPlan
from llmtrain_trainer.data.preparation import Preparation
from llmtrain_trainer.data.sentence_pairs import penalty_pairs_of
from llmtrain_trainer.data.steps.fairness import rows_of, write_penalty_pairs
from llmtrain_trainer.data.store import FAIRNESS, TOKENIZER, key_of
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.evaluate.fairness import Likelihood
from llmtrain_trainer.special_tokens import Tokens
from llmtrain_trainer.tasks.fairness import AlikePairs
from llmtrain_trainer.token_marks import ids_of
from llmtrain_trainer.training.penalty import StepPairs

VOCAB, PAIRS, PER_STEP, STEPS, WEIGHT = 50, 7, 5, 6, 0.3
CPU = torch.device("cpu")
TABLE = torch.randn(VOCAB, VOCAB, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
"""The whole model: the logits of the token that follows each token."""
ASKED = {"pairs": "pvc://data/pairs.jsonl", "weight": WEIGHT, "pairsPerStep": PER_STEP}


def texts() -> list[list[int]]:
    generator = np.random.default_rng(5)
    return [
        [0, *generator.integers(2, VOCAB, int(generator.integers(1, 12))).tolist()] for _ in range(2 * PAIRS)
    ]


def training(**changes: Any) -> TrainingSpec:
    return least_spec(training={"sequenceLength": 16, "fairness": ASKED} | changes).training


def step_pairs(ranks: int, micro: int, **changes: Any) -> StepPairs:
    plan = BatchPlan(8, micro, ranks)
    return StepPairs(rows_of(texts(), 1), training(**changes), plan, STEPS)


def likelihood(table: torch.Tensor, text: Sequence[int]) -> torch.Tensor:
    """Token by token."""
    total = torch.zeros((), dtype=torch.float64)
    for before, token in pairwise(text):
        total = total + table[before][token] - torch.log(torch.exp(table[before]).sum())
    return total


def seen(pairs: StepPairs, ranks: int, done: int) -> list[int]:
    """The pairs of a step, by their place in the file."""
    known = {tuple(text): number // 2 for number, text in enumerate(texts()) if number % 2 == 0}
    found = []
    for rank in range(ranks):
        for inputs, labels in pairs.at(done, Place(rank, 0, 0, 0), CPU).passes:
            for row, asked in zip(inputs["input_ids"][::2].tolist(), labels, strict=True):
                if (asked != -100).any():
                    length = int((asked[0, :-1] != -100).sum()) + 1
                    found.append(known[tuple(row[:length])])
    return found


CUTS = pytest.mark.parametrize(("ranks", "micro"), [(1, 8), (1, 1), (2, 1), (2, 4), (3, 2), (8, 1)])


@CUTS
def test_value_and_gradient_are_the_formulas_however_the_pairs_are_cut(ranks: int, micro: int) -> None:
    pairs = step_pairs(ranks, micro)
    order = seen(step_pairs(1, 8), 1, 2)
    ours, right = (TABLE.clone().requires_grad_() for _ in range(2))
    total = torch.zeros((), dtype=torch.float64)
    for rank in range(ranks):
        part = pairs.at(2, Place(rank, 0, 0, 0), CPU)
        assert (len(part.passes), part.count) == (pairs.passes, PER_STEP)
        for inputs, labels in part.passes:
            outputs = SimpleNamespace(logits=ours[inputs["input_ids"]])
            total = total + part.weight * part.objective(outputs, labels) / part.count
    both = [(texts()[2 * at], texts()[2 * at + 1]) for at in order]
    gaps = [likelihood(right, a) - likelihood(right, b) for a, b in both]
    wanted = WEIGHT * torch.stack([gap**2 for gap in gaps]).mean()
    total.backward()
    wanted.backward()
    assert float(wanted.detach()) > 1
    assert float(total.detach()) == pytest.approx(float(wanted.detach()), rel=1e-9)
    assert ours.grad is not None
    assert right.grad is not None
    assert float((ours.grad - right.grad).abs().max()) < 1e-9
    assert float(right.grad.abs().max()) > 1e-3


@CUTS
def test_the_pairs_of_a_step_follow_from_its_number_and_the_seed_alone(ranks: int, micro: int) -> None:
    alone, cut = step_pairs(1, 8), step_pairs(ranks, micro)
    for done in range(STEPS):
        assert sorted(seen(cut, ranks, done)) == sorted(seen(alone, 1, done))
    passed = [at for done in range(STEPS) for at in seen(alone, 1, done)]
    assert sorted(passed[:PAIRS]) == list(range(PAIRS)), "each once before any comes again"
    other = step_pairs(1, 8, seed=1)
    assert passed != [at for done in range(STEPS) for at in seen(other, 1, done)]


def test_a_step_has_no_more_pairs_than_the_file() -> None:
    pairs = step_pairs(2, 4, fairness=ASKED | {"pairsPerStep": 100})
    assert pairs.at(0, Place(0, 0, 0, 0), CPU).count == PAIRS
    assert sorted(seen(pairs, 2, 0)) == list(range(PAIRS))


def test_a_pass_of_pairs_has_no_more_tokens_than_one_of_the_task() -> None:
    for micro in (1, 2, 4):
        [first, *_] = step_pairs(1, micro).at(0, Place(0, 0, 0, 0), CPU).passes
        ids = first[0]["input_ids"]
        assert ids.numel() <= max(micro * 16, 2 * 16)


def test_a_spare_slot_has_neither_value_nor_gradient() -> None:
    # one of five pairs falls on each of eight ranks, so that three have none
    pairs = step_pairs(8, 1)
    [(inputs, labels)] = pairs.at(0, Place(7, 0, 0, 0), CPU).passes
    logits = TABLE[inputs["input_ids"]].clone().requires_grad_()
    value = AlikePairs.objective(SimpleNamespace(logits=logits), labels)
    value.backward()
    assert float(value.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_what_is_held_alike_is_what_evaluation_compares(words: Any) -> None:
    model = made("LlamaForCausalLM", words)
    tokens = Tokens(eos=words.eos_token_id)
    scored = Likelihood(model, words, tokens, masked=False, room=64)
    both = [("Hello world, how are you?", "Hello user, how are you?"), ("Fine.", "Hello, fine day.")]
    rows = rows_of([scored.ids(text) for pair in both for text in pair], words.eos_token_id)
    inputs, labels = AlikePairs().encode(torch.from_numpy(rows.astype(np.int64)), [0, 1])
    with torch.no_grad():
        found = float(AlikePairs.objective(model(**inputs), labels))
    gaps = [scored.of(a) - scored.of(b) for a, b in both]
    assert min(map(abs, gaps)) > 1e-4
    assert found == pytest.approx(sum(gap * gap for gap in gaps), rel=1e-5)


def preparation(tmp_path: Path, words: Any, *rows: dict[str, str], length: int = 16) -> Preparation:
    path, folder = tmp_path / "pairs.jsonl", tmp_path / "data"
    path.write_text("".join(json.dumps({"category": "x"} | row) + "\n" for row in rows))
    fairness = {"pairs": f"file://{path}"}
    asked = job(tmp_path / "output", training={"sequenceLength": length, "fairness": fairness})
    words.save_pretrained(folder / TOKENIZER)
    found = Preparation(asked.model_copy(update={"penalty_pairs": str(path)}), folder, folder)
    found.tokens = Tokens(eos=words.eos_token_id)
    return found


GOOD = {"a": "Hello world.", "b": "Hello user."}


def test_rows_have_both_texts_of_each_pair(tmp_path: Path, words: Any) -> None:
    asked = preparation(tmp_path, words, GOOD, {"a": "you", "b": "how are you"})
    write_penalty_pairs(asked)
    rows = ids_of(np.load(asked.folder / FAIRNESS))
    each = rows.shape[1] // 2
    for row, text in zip(
        rows.reshape(-1, each), ("Hello world.", "Hello user.", "you", "how are you"), strict=True
    ):
        wanted = [words.eos_token_id, *words(text)["input_ids"]]
        assert row[: len(wanted)].tolist() == wanted
        assert set(row[len(wanted) :].tolist()) <= {words.eos_token_id}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"a": "Hello " * 20, "b": "Hello world."},
            "line 2: its a has 101 tokens, more than training.sequenceLength 16; shorten the text",
        ),
        ({"a": "Hello", "b": "hello"}, "line 2: its a and b are the same tokens"),
    ],
    ids=["too long", "the same"],
)
def test_a_pair_that_cannot_be_held_alike_is_named_with_its_line(
    tmp_path: Path, words: Any, row: dict[str, str], message: str
) -> None:
    small = deepcopy(words)
    small.backend_tokenizer.normalizer = Lowercase()
    with pytest.raises(ConfigError) as caught:
        write_penalty_pairs(preparation(tmp_path, small, GOOD, row))
    assert message in str(caught.value)
    assert str(caught.value).startswith("training.fairness.pairs file:///")


def test_a_file_of_pairs_that_is_not_there_is_named(tmp_path: Path, words: Any) -> None:
    asked = preparation(tmp_path, words, GOOD)
    (tmp_path / "pairs.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"training\.fairness\.pairs file:.*there is no such file"):
        penalty_pairs_of(asked.job)


def test_other_pairs_are_other_data(tmp_path: Path, words: Any) -> None:
    key = key_of(preparation(tmp_path, words, GOOD).job)
    assert key["training.fairness.pairs"] == f"file://{tmp_path}/pairs.jsonl"
    assert "training.fairness.pairs" not in key_of(job(tmp_path / "output"))


def test_one_sequence_at_once_has_room_for_both_texts_of_a_pair() -> None:
    def need(**more: Any) -> int:
        spec = least_spec(training={"globalBatchSize": 4, "sequenceLength": 512} | more)
        return estimate(shape_of(spec), spec, Layout()).backward

    one, two = need(microBatchSize=1), need(microBatchSize=2)
    assert need(microBatchSize=1, fairness=ASKED) == two > one
    assert need(microBatchSize=2, fairness=ASKED) == two


@pytest.mark.parametrize("zero", [1, 2, 3])
def test_the_penalty_has_rows_of_its_own_and_takes_those_of_text_elsewhere(zero: int) -> None:
    for model in ("tiny-llama", "tiny-qwen", "tiny-gpt2"):
        for packing in ("concat", "documents"):
            spec = least_spec(
                model={"name": f"builtin://{model}"}, training={"packing": packing, "fairness": ASKED}
            )
            asked = proof_asked(shape_of(spec), spec, Layout(data=2, zero=zero))
            assert asked.packing == f"fairness {packing}"
            assert refusal(asked) is None
            others = [{"family": "llama", "layout": "dp", "zero": zero, "packing": "concat",
                       "checkpointing": False, "precision": "fp32", "verdict": "equal"}]  # fmt: skip
            allowed = (model, packing) == ("tiny-llama", "concat")
            assert (refusal(asked, others) is None) is allowed


__all__ = ["words"]
