"""Attention over rows of several documents that must not see each other.

transformers tells documents apart by positions that start again, and makes one mask of length x length for
all layers. torch's fused attention wants that mask in the precision of training, and would convert and keep
it in each layer: here it is converted once. Where attention runs document by document there is no mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from llmtrain_api import JobSpec, Layout, ModelShape
from llmtrain_api.estimate.attention import by_document

NAME = "documents"
"""As `set_attn_implementation` takes it."""
MASKED = "sdpa"
"""transformers' own attention by torch's fused kernels, whose masks are converted once."""
HALF = (torch.float16, torch.bfloat16)
"""What torch's kernel for documents of many lengths computes in."""
Sees = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Whether a token sees another: of a row, a head, the token's place, and the other's."""


def attention_of(shape: ModelShape, spec: JobSpec, layout: Layout) -> str | None:
    """The attention of a whole model, as `set_attn_implementation` takes it; None: its usual one.

    On a GPU that is a mask: what computes without one there is proven on none yet (`bench.gpu` can).

    Args:
        shape: the model's.
        spec: of the job.
        layout: how its gang is cut.
    """
    return NAME if by_document(shape, spec, layout) and not torch.cuda.is_available() else None


@dataclass(frozen=True)
class Documents:
    """Where the documents of some rows end.

    Attributes:
        lengths: of each row's documents, in their order.
        ends: [documents + 1], int32: where each begins among all tokens, and where the last one ends.
    """

    lengths: tuple[tuple[int, ...], ...]
    ends: torch.Tensor

    @property
    def longest(self) -> int:
        """Tokens of the longest one."""
        return max(map(max, self.lengths))


def documents(sees: Sees, rows: int, length: int, device: torch.device | str) -> Documents:
    """The documents of rows: each begins with a token that does not see the one before it.

    Args:
        sees: whether a token sees one before it.
        rows: how many there are.
        length: of each.
        device: that ``sees`` computes on.
    """
    later = torch.arange(1, length, device=device)[None]
    row = torch.arange(rows, device=device)[:, None]
    first = ~sees(row, torch.zeros_like(row), later, later - 1).expand(rows, length - 1)
    lengths = []
    for begins in first.tolist():
        starts = [0, *(place for place, begin in enumerate(begins, 1) if begin), length]
        lengths.append(tuple(stop - start for start, stop in pairwise(starts)))
    ends = [0, *accumulate(one for row_lengths in lengths for one in row_lengths)]
    return Documents(tuple(lengths), torch.tensor(ends, dtype=torch.int32, device=device))


def _mask(**asked: Any) -> Documents | torch.Tensor | None:
    """The documents, where all that hides tokens are their borders; else the mask."""
    if not only_borders_hide(asked):
        mask: torch.Tensor | None = sdpa_mask(**asked)
        return mask
    return documents(asked["mask_function"], asked["batch_size"], asked["q_length"], asked["device"])


def only_borders_hide(asked: Mapping[str, Any]) -> bool:
    """Whether rows are whole, and without padding, windows or patterns of a model's own.

    Args:
        asked: what transformers asks for a mask with.
    """
    whole = asked["q_length"] == asked["kv_length"] and asked["attention_mask"] is None
    odd = asked["use_vmap"] or asked.get("local_size") is not None or asked["allow_is_causal_skip"]
    return bool(whole and not odd)


def _added_mask(**asked: Any) -> torch.Tensor | None:
    """The mask as what is added to scores, in the precision of training."""
    mask: torch.Tensor | None = sdpa_mask(**asked)
    if mask is None or asked.get("attention_mask") is not None or asked.get("dtype") is None:
        return mask
    nothing = torch.zeros((), dtype=asked["dtype"], device=mask.device)
    return torch.where(mask, nothing, float("-inf"))


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Documents | torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers asks for it: [rows, heads, length, size] to [rows, length, heads, size]."""
    if not isinstance(attention_mask, Documents):
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **others
        )
        return found
    together = query.device.type == "cuda" and query.dtype in HALF
    made = _together if together else _one_by_one
    rows, heads, length, _ = query.shape
    return made(query, key, value, attention_mask, scaling).view(rows, length, heads, value.shape[-1]), None


def _one_by_one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, which: Documents, scaling: float | None
) -> torch.Tensor:
    """[tokens, heads, size]: a call of the fused kernel for each document."""
    grouped = key.shape[1] != query.shape[1]
    made = [
        scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=grouped)
        for q, k, v in zip(_cut(query, which), _cut(key, which), _cut(value, which), strict=True)
    ]
    return torch.cat([one[0].transpose(0, 1) for one in made])


def _cut(whole: torch.Tensor, which: Documents) -> Iterator[torch.Tensor]:
    """[1, heads, a document's length, size] of each: by splits, whose gradients are joined once."""
    for row, lengths in zip(torch.split(whole, 1), which.lengths, strict=True):
        yield from torch.split(row, list(lengths), dim=2)


def _together(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, which: Documents, scaling: float | None
) -> torch.Tensor:
    """[tokens, heads, size]: one call of FlashAttention's kernel for documents of many lengths."""
    from torch.nn.attention.varlen import varlen_attn  # not part of each torch that runs on CPUs

    groups, longest = query.shape[1] // key.shape[1], which.longest
    q, k, v = (one.transpose(1, 2).flatten(0, 1) for one in (query, key, value))
    k, v = (one.repeat_interleave(groups, dim=1) if groups > 1 else one for one in (k, v))
    made = varlen_attn(q, k, v, which.ends, which.ends, longest, longest, scale=scaling, window_size=(-1, 0))
    assert isinstance(made, torch.Tensor)
    return made


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, _mask)
AttentionMaskInterface.register(MASKED, _added_mask)
