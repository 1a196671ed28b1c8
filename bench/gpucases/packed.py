"""Documents of one row kept apart: by a mask, by FlashAttention's kernel for documents, by flex attention."""

from __future__ import annotations

from typing import Any

import torch
from harness.layouts.tolerances import GRADIENT, HALF

from llmtrain_api import JobSpec, Task, shape_of
from llmtrain_trainer.loss import token_loss_sum
from llmtrain_trainer.models.build import HEADS, configuration
from llmtrain_trainer.models.document_attention import MASKED, NAME
from llmtrain_trainer.special_tokens import OURS
from llmtrain_trainer.tasks.causal import CausalLM

from .measured import job, rows_of
from .runner import Case, Context
from .speed import race

FLEX = "flex_attention"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def cases(*, tiny: bool) -> list[Case]:
    """What is right first, then what is fast."""
    found = [Case("packed numbers", 120, numbers)]
    size, micro, length = ("tiny", 2, 64) if tiny else ("1B", 8, 2048)
    packed: dict[str, Any] = {"micro": micro, "length": length, "packing": "documents"}
    eager, compiled = (job(size, **packed, compile=one) for one in (False, True))
    if tiny:
        return [*found, Case("packed speed by document", 90, race, ("ours", eager, NAME))]
    return [
        *found,
        Case("packed speed mask compiled", 90, race, ("ours", compiled, MASKED)),
        Case("packed speed flex compiled", 120, race, ("ours", compiled, FLEX)),
        Case("packed speed mask", 90, race, ("ours", eager, MASKED)),
        Case("packed speed by document", 90, race, ("ours", eager, NAME)),
    ]


def numbers(context: Context) -> None:
    """Loss and gradients of each way in each precision, beside those of fp64 on a CPU with a mask."""
    size, length = ("tiny", 64) if context.tiny else ("small", 512)
    spec = job(size, micro=2, length=length, packing="documents")
    ids = torch.from_numpy(rows_of(spec)[:2].astype("int64"))
    right = _computed(spec, ids, MASKED, torch.float64, "cpu")
    gpu = torch.cuda.is_available()
    if not gpu:
        context.say({"attention": FLEX, "skipped": "flex attention has no backward pass on a CPU"})
    wrong = []
    for precision, dtype in DTYPES.items():
        worst = dict[str, float]()
        for attention in (MASKED, NAME, *([FLEX] if gpu else [])):
            found = _computed(spec, ids, attention, dtype, "cuda" if gpu else "cpu")
            worst[attention] = worst_of(found, right)
        limit = GRADIENT if precision == "fp32" else HALF * worst[MASKED]
        context.say({"precision": precision, "worst": worst, "limit": limit})
        wrong += [f"{way} in {precision}" for way, error in worst.items() if not error <= limit]
    assert not wrong, wrong


def _computed(
    spec: JobSpec, ids: torch.Tensor, attention: str, dtype: torch.dtype, device: str
) -> dict[str, torch.Tensor]:
    """The loss and every gradient, on the CPU; of the same weights each time."""
    torch.manual_seed(0)
    shape = shape_of(spec)
    model = HEADS[Task.CAUSAL].from_config(configuration(shape, OURS.eos), dtype=torch.float32)
    model.set_attn_implementation(attention)
    model.to(device=device, dtype=dtype)
    inputs, labels = CausalLM(OURS.eos).encode(ids.to(device), range(len(ids)))
    loss = token_loss_sum(model(**inputs).logits, labels) / (labels >= 0).sum()
    torch.autograd.backward(loss)
    found = {name: p.grad.double().cpu() for name, p in model.named_parameters()}
    return found | {"loss": loss.detach().double().cpu()}


def worst_of(found: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    """The largest ||g - r|| / max(||r||, 1e-3 ||r of all||)."""
    whole = torch.stack([one.norm() for one in right.values()]).norm()
    return max(
        float((found[name] - one).norm() / max(one.norm(), 1e-3 * whole)) for name, one in right.items()
    )
