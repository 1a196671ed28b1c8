"""What each task asks of a row of tokens."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api import Task
from llmtrain_api.families import bart
from llmtrain_trainer.data.order import key_of, sample_at
from llmtrain_trainer.data.steps.held_out import share_of_text
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.evaluate.heldout import loss_sum
from llmtrain_trainer.loss import IGNORED, label_count, token_loss_sum
from llmtrain_trainer.special_tokens import SENTINELS, Tokens
from llmtrain_trainer.tasks import encoder_of
from llmtrain_trainer.tasks.causal import CausalLM, positions
from llmtrain_trainer.tasks.infilling import TextInfilling
from llmtrain_trainer.tasks.masked import MaskedLM
from llmtrain_trainer.tasks.noise import lowest, noise
from llmtrain_trainer.tasks.seq2seq import SpanCorruption

EOS = 0
MASK, PAD = 103, 0
"""A real BERT's and a real T5's, as the sentinels that fall."""
HIDDEN = tuple(range(32099, 32099 - SENTINELS, -1))
ROW = torch.tensor([[7, 8, EOS, 9, EOS, EOS, 4, 5]])


def test_the_next_token_is_the_label_and_the_last_position_has_none() -> None:
    inputs, labels = CausalLM(None).encode(ROW, [0])
    assert inputs.keys() == {"input_ids"}
    assert labels.tolist() == [[8, EOS, 9, EOS, EOS, 4, 5, IGNORED]]


def test_a_documents_first_token_is_not_asked_of_the_one_before() -> None:
    inputs, labels = CausalLM(EOS).encode(ROW, [0])
    assert labels.tolist() == [[8, EOS, IGNORED, EOS, IGNORED, IGNORED, 5, IGNORED]]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 0, 1]]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_positions_start_again_after_each_separator(ids: list[int]) -> None:
    expected, place = [], 0
    for token in ids:
        expected.append(place)
        place = 0 if token == 0 else place + 1
    assert positions(torch.tensor([ids]), 0).tolist() == [expected]


SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
CONFIGS = {
    "llama": transformers.LlamaConfig(**SMALL, vocab_size=20),
    "qwen": transformers.Qwen3Config(**SMALL, head_dim=8, num_key_value_heads=2, vocab_size=20),
    "gpt2": transformers.GPT2Config(
        n_embd=16, n_head=2, n_layer=2, n_positions=32, vocab_size=20, bos_token_id=0, eos_token_id=0
    ),
}


@pytest.mark.parametrize("family", CONFIGS)
def test_packed_documents_cost_what_they_cost_alone(family: str) -> None:
    """The mask is transformers' own, derived from the positions: this is what it must come to."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[family]).double()
    documents = [[7, 8, 11, EOS], [9, EOS], [4, 5, 6, 7, EOS]]
    packed = torch.tensor([[token for document in documents for token in document]])
    together, labels = loss_sum(model, [CausalLM(EOS).encode(packed, [0])])
    alone = loss_sum(model, [CausalLM(None).encode(torch.tensor([one]), [0]) for one in documents])
    assert together == pytest.approx(alone[0], rel=1e-9)
    assert labels == alone[1] == 8


def test_masked_positions_are_asked_and_mostly_hidden() -> None:
    rows = torch.arange(100, 164).repeat(300, 1)
    inputs, labels = MaskedLM(500, MASK).encode(rows, list(range(300)))
    asked = labels != IGNORED
    assert asked.sum(dim=1).unique().tolist() == [round(0.15 * 64)]
    assert torch.equal(labels[asked], rows[asked])
    assert torch.equal(inputs["input_ids"][~asked], rows[~asked])
    shown = inputs["input_ids"][asked]
    hidden, kept = float((shown == MASK).double().mean()), float((shown == labels[asked]).double().mean())
    assert 0.77 < hidden < 0.83
    assert 0.08 < kept < 0.13
    again, _ = MaskedLM(500, MASK).encode(rows, list(range(300)))
    assert torch.equal(again["input_ids"], inputs["input_ids"])


@given(st.integers(8, 600), st.integers(0, 2**63))
def test_hidden_spans_put_back_give_the_row(length: int, key: int) -> None:
    row = torch.arange(1000, 1000 + length)[None]
    inputs, labels = SpanCorruption(PAD, HIDDEN).encode(row, [key])
    source, target = inputs["input_ids"][0].tolist(), labels[0].tolist()
    spans: dict[int, list[int]] = {}
    for token in target:
        if token in HIDDEN:
            spans[token] = []
        else:
            spans[list(spans)[-1]].append(token)
    assert list(spans) == list(HIDDEN[: len(spans)])
    assert spans.pop(list(spans)[-1]) == [], "the last sentinel ends the target"
    rebuilt = [x for token in source for x in spans.get(token, [token])]
    assert rebuilt == row[0].tolist()
    assert inputs["decoder_input_ids"][0].tolist() == [PAD, *target[:-1]]
    other, _ = SpanCorruption(PAD, HIDDEN).encode(row, [key + 1])
    assert other["input_ids"].shape == inputs["input_ids"].shape


@given(st.integers(8, 600), st.integers(0, 2**63))
def test_a_text_is_written_whole_of_which_spans_were_hidden(length: int, key: int) -> None:
    row = torch.arange(1000, 1000 + length)[None]
    inputs, labels = TextInfilling(EOS, MASK).encode(row, [key])
    source = inputs["input_ids"][0].tolist()
    assert torch.equal(labels, row)
    assert inputs["decoder_input_ids"][0].tolist() == [EOS, *row[0].tolist()[:-1]]
    assert (len(source), length) == bart.lengths(length)
    hidden, spans = bart.hidden_and_spans(length)
    assert source.count(MASK) == spans
    shown = [token for token in source if token != MASK]
    assert len(shown) == length - hidden
    # between two masks is a token, and what is shown stands in its order: a mask hides what is between
    assert shown == sorted(set(shown) & set(row[0].tolist()))
    assert all(one != other or one != MASK for one, other in pairwise(source))
    assert sum(_hidden_by_mask(source, row[0].tolist())) == hidden
    again, _ = TextInfilling(EOS, MASK).encode(torch.cat([row, row]), [key + 1, key])
    assert again["input_ids"][1].tolist() == source


def _hidden_by_mask(source: list[int], row: list[int]) -> list[int]:
    """How many tokens of a row each mask stands for."""
    bounds = [row[0] - 1, *source, row[-1] + 1]
    return [bounds[at + 1] - bounds[at - 1] - 1 for at in range(1, len(bounds) - 1) if bounds[at] == MASK]


def test_lengths_of_hidden_spans_are_of_a_poisson_distribution() -> None:
    row = list(range(1000, 1400))
    rows = torch.tensor(row).repeat(200, 1)
    inputs, _ = TextInfilling(EOS, MASK).encode(rows, list(range(200)))
    sizes = [size for source in inputs["input_ids"].tolist() for size in _hidden_by_mask(source, row)]
    shares = np.bincount(sizes, minlength=8)[:8] / len(sizes)
    poisson = [math.exp(-3) * 3**size / math.factorial(size) for size in range(8)]
    assert shares == pytest.approx(poisson, abs=0.01)
    for end in (0, -1):
        assert 0 < int((inputs["input_ids"][:, end] == MASK).sum()) < 200, "a text may begin or end hidden"


def test_which_noise_hides_spans_follows_from_the_family() -> None:
    tokens = Tokens(eos=EOS, mask=MASK, pad=PAD, start=7)
    infilling = encoder_of(Task.SEQ2SEQ, 500, tokens, documents=False, infills=True)
    inputs, _ = infilling.encode(torch.arange(20, 40)[None], [1])
    assert inputs["decoder_input_ids"][0, 0] == 7
    assert (inputs["input_ids"] == MASK).any()
    with pytest.raises(ConfigError, match="not 32 tokens <extra_id_0>"):
        encoder_of(Task.SEQ2SEQ, 500, tokens, documents=False)
    with pytest.raises(ConfigError, match="no mask token, which stands for a hidden span"):
        encoder_of(Task.SEQ2SEQ, 500, replace(tokens, mask=None), documents=False, infills=True)


@pytest.mark.parametrize("length", [8, 32, 512])
def test_what_is_shown_costs_nobody_who_copies_it_anything(length: int) -> None:
    inputs, labels = TextInfilling(EOS, MASK).encode(torch.arange(1000, 1000 + length)[None], [3])
    hidden = ~torch.isin(labels, inputs["input_ids"])
    assert share_of_text(length, infills=True) == pytest.approx(float(hidden.float().mean()))


@pytest.mark.parametrize("length", [8, 32, 64, 512])
def test_what_stands_for_spans_costs_nobody_who_counts_tokens_anything(length: int) -> None:
    rows = torch.arange(3 * length).view(3, -1)
    _, labels = SpanCorruption(PAD, HIDDEN).encode(rows, [1, 2, 3])
    text = ~torch.isin(labels, torch.tensor(HIDDEN))
    assert share_of_text(length) == pytest.approx(float(text.float().mean()))


def test_choices_never_change() -> None:
    """A resume on a newer version must mask what the old one would have masked."""
    assert noise(1, 3).tolist() == [6951516134914417455, 694183512642609129, 4586464475972317844]
    assert lowest(1, 10, 4).tolist() == [1, 4, 5, 9]
    assert key_of(3, 10, 7) == 17770702679626417888


def test_a_samples_key_differs_between_epochs_and_samples() -> None:
    keys = {key_of(position, 10, 7) for position in range(40)}
    assert len(keys) == 40
    assert [sample_at(p, 10, 7) for p in range(10)] != [sample_at(p, 10, 7) for p in range(10, 20)]


def test_choices_are_even() -> None:
    counts = np.bincount(np.concatenate([lowest(key, 20, 5) for key in range(4000)]), minlength=20)
    assert counts.min() > 850
    assert counts.max() < 1150


def test_a_batch_without_labels_costs_nothing() -> None:
    labels = torch.full((1, 4), IGNORED)
    assert float(token_loss_sum(torch.randn(1, 4, 9), labels)) == 0.0
    assert label_count(labels) == 0
