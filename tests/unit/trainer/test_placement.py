"""An exported folder is computed wherever there is room, and only so much of it as takes seconds."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    import transformers

    from llmtrain_trainer.evaluate.heldout import BUDGET, GPU_BUDGET, sequences_to_check
    from llmtrain_trainer.evaluate.placement import READ, put_on, tokens_worth, weights_of


def small() -> transformers.LlamaForCausalLM:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    return transformers.LlamaForCausalLM(config).eval()


def test_a_model_without_room_is_computed_layer_by_layer_to_the_same_numbers() -> None:
    model, ids, cpu = small(), torch.arange(12)[None], torch.device("cpu")
    size = weights_of(model)
    with torch.no_grad():
        expected = model(ids).logits
        assert put_on(model, cpu)
        assert put_on(model, cpu, room=size)
        assert not put_on(model, cpu, room=size - 1)
        assert all(one.is_meta for one in model.parameters()), "nothing of it stays"
        assert torch.equal(model(ids).logits, expected)
        assert all(one.is_meta for one in model.parameters())


def test_a_check_takes_all_of_a_small_model_and_one_sequence_of_a_large_one() -> None:
    assert sequences_to_check(10**6, 512, 64, gpu=False) == 64
    assert sequences_to_check(135 * 10**6, 2048, 64, gpu=False) == int(BUDGET / (2 * 135e6 * 2048))
    assert sequences_to_check(8 * 10**9, 2048, 64, gpu=False) == 1
    assert sequences_to_check(8 * 10**9, 2048, 64, gpu=True) == int(GPU_BUDGET / (2 * 8e9 * 2048)) > 8
    assert sequences_to_check(0, 2048, 64, gpu=False) == 64


def test_a_sample_is_as_long_as_reading_the_weights_allows() -> None:
    assert tokens_worth(10**9, 64, resident=True, gpu=False) == 64
    assert tokens_worth(16 * 10**9, 64, resident=True, gpu=False) == READ // (16 * 10**9)
    assert tokens_worth(16 * 10**9, 64, resident=True, gpu=True) == 64
    assert tokens_worth(140 * 10**9, 64, resident=False, gpu=True) == 1
