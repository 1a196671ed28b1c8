"""Documents of one row do not see each other, however attention is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from harness.builders import least_spec
from torch.nn.attention.flex_attention import create_mask
from transformers import masking_utils

from llmtrain_api import Layout, shape_of
from llmtrain_trainer.models.document_attention import (
    NAME,
    Documents,
    attention_of,
    documents,
    only_borders_hide,
)
from llmtrain_trainer.tasks.causal import positions

SEPARATOR = 0
SMALL: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 64, "use_cache": False,
}  # fmt: skip
CONFIGS = {
    "llama": transformers.LlamaConfig(**SMALL),
    "qwen2": transformers.Qwen2Config(**SMALL),
    "qwen3": transformers.Qwen3Config(**SMALL, head_dim=8),
    "mistral": transformers.MistralConfig(**SMALL, sliding_window=None),
    "gpt2": transformers.GPT2Config(
        n_embd=32, n_layer=2, n_head=4, vocab_size=64, use_cache=False,
        attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0,
    ),
}  # fmt: skip


def packed(generator: np.random.Generator) -> torch.Tensor:
    """[rows, length] tokens, some of which end a document; also at the row's ends, and one after another."""
    rows, length = generator.integers(1, 4), generator.integers(2, 40)
    ids = generator.integers(1, 64, (rows, length))
    ids[generator.random((rows, length)) < generator.choice([0.0, 0.03, 0.2, 0.8])] = SEPARATOR
    return torch.from_numpy(ids)


def dense(ids: torch.Tensor) -> torch.Tensor:
    """[rows, length, length] whether a token sees another, pair by pair."""
    rows, length = ids.shape
    seen = torch.zeros(rows, length, length, dtype=torch.bool)
    for row in range(rows):
        for token in range(length):
            for other in range(token, -1, -1):
                if other < token and ids[row, other] == SEPARATOR:
                    break
                seen[row, token, other] = True
    return seen


def mask_of(ids: torch.Tensor, kind: str, config: Any = CONFIGS["llama"]) -> Any:
    """What transformers makes for a kind of attention."""
    config._attn_implementation = kind
    return masking_utils.create_causal_mask(
        config=config,
        inputs_embeds=torch.zeros(*ids.shape, 1),
        attention_mask=None,
        past_key_values=None,
        position_ids=positions(ids, SEPARATOR),
    )


def test_masks_of_a_thousand_packings_equal_the_dense_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of attention by document, of torch's fused kernels, and of flex attention (not compiled here)."""

    def materialized(mask_mod: Any, B: int, H: Any, Q_LEN: int, KV_LEN: int, device: Any, **_: Any) -> Any:
        return create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device=str(device))

    monkeypatch.setattr(masking_utils, "create_block_mask", materialized)
    generator, split = np.random.default_rng(5), 0
    for _ in range(1000):
        ids = packed(generator)
        right, length = dense(ids), ids.shape[1]
        found, added = mask_of(ids, NAME), mask_of(ids, "sdpa")
        assert torch.equal(mask_of(ids, "flex_attention")[:, 0].expand_as(right), right)
        if found is None:
            assert added is None
            assert torch.equal(right, torch.ones(length, length).tril().bool().expand_as(right))
            continue
        split += 1
        assert isinstance(found, Documents)
        blocks = [
            torch.block_diag(*(torch.ones(size, size).tril() for size in lengths))
            for lengths in found.lengths
        ]
        assert torch.equal(torch.stack(blocks).bool(), right)
        assert torch.equal(added[:, 0] == 0, right)
        assert torch.equal(added[:, 0].isinf(), ~right)
        ends = torch.arange(ids.numel())[(positions(ids, SEPARATOR) == 0).flatten()].tolist()
        assert found.ends.tolist() == [*ends, ids.numel()]
        assert found.longest == positions(ids, SEPARATOR).max() + 1
    assert split > 500


def test_a_padded_row_and_one_with_a_window_keep_their_mask() -> None:
    ids = torch.tensor([[3, 4, SEPARATOR, 5, 6, 7, 8, 9]])
    config = CONFIGS["llama"]
    config._attn_implementation = NAME
    asked: dict[str, Any] = {"config": config, "inputs_embeds": torch.zeros(1, 8, 1), "past_key_values": None}
    padded = torch.tensor([[True] * 6 + [False] * 2])
    mask = masking_utils.create_causal_mask(
        **asked, attention_mask=padded, position_ids=positions(ids, SEPARATOR)
    )
    assert not mask[0, 0, 7, 6]
    config.sliding_window = 2
    window = masking_utils.create_sliding_window_causal_mask(
        **asked, attention_mask=None, position_ids=positions(ids, SEPARATOR)
    )
    assert torch.equal(window[0, 0].bool(), (dense(ids)[0] & ~torch.ones(8, 8).tril(-2).bool()))


@pytest.mark.parametrize("family", CONFIGS)
def test_losses_and_gradients_equal_those_with_a_mask_of_which_nothing_is_kept(family: str) -> None:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(1, 64, (2, 48), generator=generator)
    ids[0, [9, 10, 30]] = ids[1, 47] = SEPARATOR
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[family], dtype=torch.float64)
    found = {kind: _gradients(model, ids, kind) for kind in ("sdpa", NAME)}
    (right, masks), (own, kept) = found["sdpa"], found[NAME]
    assert len(masks) == 1  # of all layers
    assert not kept
    for name, gradient in right.items():
        assert torch.allclose(own[name], gradient, rtol=1e-10, atol=1e-13), name


def _gradients(model: Any, ids: torch.Tensor, kind: str) -> tuple[dict[str, torch.Tensor], set[int]]:
    """The loss and gradients, and the storages of length x length that the backward pass needs."""
    length, kept, alive = ids.shape[1], set[int](), list[torch.Tensor]()

    def pack(one: torch.Tensor) -> torch.Tensor:
        if one.ndim == 4 and one.shape[-2:] == (length, length):
            kept.add(one.untyped_storage().data_ptr())
            alive.append(one)
        return one

    model.set_attn_implementation(kind)
    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
        logits = model(input_ids=ids, position_ids=positions(ids, SEPARATOR)).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    return found | {"loss": loss.detach()}, kept


def test_documents_begin_where_a_token_does_not_see_the_one_before() -> None:
    begins = torch.tensor([[1, 0, 0, 1, 0], [1, 0, 0, 0, 0]]).cumsum(1)

    def sees(row: torch.Tensor, _head: Any, token: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return begins[row, token] == begins[row, other]

    found = documents(sees, 2, 5, "cpu")
    assert found.lengths == ((3, 2), (5,))
    assert found.ends.tolist() == [0, 3, 5, 10]


def test_only_plain_packed_rows_are_cut_at_their_borders() -> None:
    plain = {"q_length": 8, "kv_length": 8, "attention_mask": None}
    plain |= {"use_vmap": False, "allow_is_causal_skip": False}
    assert only_borders_hide(plain)
    for other in (
        {"kv_length": 9},
        {"attention_mask": torch.ones(1, 8)},
        {"use_vmap": True},
        {"local_size": 4},
        {"allow_is_causal_skip": True},
    ):
        assert not only_borders_hide(plain | other), other


def test_a_gpu_has_masks_until_it_is_proven_without(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = least_spec(training={"packing": "documents", "sequenceLength": 32})
    asked = shape_of(spec), spec, Layout(zero=0)
    assert attention_of(*asked) == NAME
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert attention_of(*asked) is None
