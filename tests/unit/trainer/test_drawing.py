"""Answers are drawn as the model's distribution says, by the prompt's key and the answer's number alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from llmtrain_trainer.evaluate.drawing import chances, draw

ENDS = frozenset({0})


@pytest.fixture(scope="module", params=["llama", "qwen3", "gpt2"])
def model(request: pytest.FixtureRequest) -> Any:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    if request.param == "qwen3":
        sizes |= {"num_key_value_heads": 1, "head_dim": 8}
    if request.param == "gpt2":
        sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2}
    config = transformers.AutoConfig.for_model(
        request.param, vocab_size=40, initializer_range=0.5, use_cache=False, **sizes
    )
    torch.manual_seed(2)
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()


def test_what_is_drawn_has_the_likelihood_that_the_whole_sequence_has(model: Any) -> None:
    prompt = [3, 7, 5]
    found = draw(model, prompt, chances(11, 6, 9), 0.7, ENDS)
    assert len({tuple(one.ids) for one in found}) > 1
    for one in found:
        logits = model(input_ids=torch.tensor([prompt + one.ids])).logits[0, len(prompt) - 1 : -1] / 0.7
        right = logits.log_softmax(-1)[range(len(one.ids)), one.ids]
        assert one.logps == pytest.approx(right.tolist(), abs=1e-9)
        assert one.ended == (one.ids[-1] == 0)
        assert 0 not in one.ids[:-1]
        assert one.ended or len(one.ids) == 9


def test_an_answer_depends_on_its_number_and_key_and_on_no_other_answer(model: Any) -> None:
    few, many = (draw(model, [3, 7], chances(5, count, 6), 1.0, ENDS) for count in (3, 7))
    assert [one.ids for one in many[:3]] == [one.ids for one in few]
    assert draw(model, [3, 7], chances(5, 3, 6), 1.0, ENDS) == few
    assert draw(model, [3, 7], chances(6, 3, 6), 1.0, ENDS) != few


def test_torch_s_own_random_state_is_neither_used_nor_changed(model: Any) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = draw(model, [3], chances(5, 4, 6), 1.0, ENDS)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    assert draw(model, [3], chances(5, 4, 6), 1.0, ENDS) == first


class Fixed(torch.nn.Module):
    """The same distribution after whatever."""

    def __init__(self, shares: list[float]) -> None:
        super().__init__()
        self.shares = torch.nn.Parameter(torch.tensor(shares).log())

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        cache = SimpleNamespace(batch_repeat_interleave=lambda _count: None)
        logits = self.shares.expand(*input_ids.shape, -1)
        return SimpleNamespace(logits=logits, past_key_values=cache)


def test_tokens_come_as_often_as_their_shares_say_and_never_without_one() -> None:
    shares = [0.0, 0.5, 0.0, 0.3, 0.2, 0.0]
    found = draw(Fixed(shares), [1], chances(3, 400, 50), 1.0, ())
    drawn = torch.tensor([one.ids for one in found]).flatten()
    counts = torch.bincount(drawn, minlength=6) / len(drawn)
    assert counts.tolist() == pytest.approx(shares, abs=0.015)  # four standard deviations
    assert counts[[0, 2, 5]].sum() == 0


def test_the_lowest_and_the_highest_chance_fall_on_tokens_that_have_a_share() -> None:
    shares = [0.0, 0.5, 0.0, 0.3, 0.2, 0.0]
    ends = torch.tensor([[0.0], [1 - 2.0**-53]], dtype=torch.float64)
    assert [one.ids for one in draw(Fixed(shares), [1], ends, 1.0, ())] == [[1], [4]]


def test_chances_are_even_and_differ_between_answers_and_keys() -> None:
    found = chances(1, 64, 64)
    assert 0 <= float(found.min()) < float(found.max()) < 1
    assert float(found.mean()) == pytest.approx(0.5, abs=0.02)
    assert torch.equal(chances(1, 8, 16), found[:8, :16])
    assert not torch.equal(chances(2, 8, 16), found[:8, :16])
    assert chances((1 << 64) - 1, 2, 2).shape == (2, 2)
