"""Linear layers in fp8 by torchao, which the trainer does not have: what it would gain, and lose."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import torch
from harness.layouts.tolerances import HALF

from llmtrain_api import Task, shape_of
from llmtrain_trainer.models.build import HEADS, configuration
from llmtrain_trainer.special_tokens import OURS

from .measured import job, rows_of
from .runner import Case, Context
from .speed import race

LEAST = (8, 9)
"""The compute capability that multiplies fp8."""
STEPS = 30
FALL = 0.9
"""Of what bf16's loss falls, fp8's must fall."""


def cases(*, tiny: bool) -> list[Case]:
    """What is lost first, then what is gained."""
    found = [Case("fp8 numbers", 120, numbers)]
    return found if tiny else [*found, Case("fp8 speed compiled", 120, faster)]


def lacking(context: Context) -> bool:
    """Whether this machine cannot run it, which is told."""
    why = "no torchao" if importlib.util.find_spec("torchao") is None else ""
    if not why and torch.cuda.is_available() and torch.cuda.get_device_capability() < LEAST:
        why = f"{torch.cuda.get_device_name()} multiplies no fp8"
    if why:
        context.say({"skipped": why})
    return bool(why)


def convert(model: Any) -> None:
    """Have a model's linear layers, but the output layer, multiply in fp8; emulated where there is no GPU."""
    torchao = importlib.import_module("torchao.float8")  # in no environment of this project

    def of_a_layer(module: torch.nn.Module, name: str) -> bool:
        return isinstance(module, torch.nn.Linear) and "lm_head" not in name

    how = torchao.Float8LinearConfig(emulate=not torch.cuda.is_available())
    torchao.convert_to_float8_training(model, config=how, module_filter_fn=of_a_layer)


def numbers(context: Context) -> None:
    """A few tokens learnt by heart, in bf16 and in fp8: how far losses fall."""
    if lacking(context):
        return
    plain, fp8 = (learnt(context, eight=eight) for eight in (False, True))
    fell = [losses[0] - losses[-1] for losses in (plain, fp8)]
    context.say({"bf16": plain[:: STEPS // 5], "fp8": fp8[:: STEPS // 5], "fell": fell})
    assert plain != fp8
    assert fell[1] >= FALL * fell[0] > 0, fell
    assert abs(fp8[0] / plain[0] - 1) < (HALF - 1) / 10


def learnt(context: Context, *, eight: bool) -> list[float]:
    """The losses of some steps on one batch, from the same weights each time."""
    size, length = ("tiny", 32) if context.tiny else ("small", 512)
    spec = job(size, micro=4, length=length)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = HEADS[Task.CAUSAL].from_config(configuration(shape_of(spec), OURS.eos), dtype=torch.bfloat16)
    model.to(device)
    if eight:
        convert(model)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    ids, losses = torch.from_numpy(rows_of(spec)[:4].astype("int64")).to(device), []
    for _ in range(STEPS):
        logits = model(input_ids=ids).logits.float()
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def faster(context: Context) -> None:
    """Beside the case `speed ours compiled`, which it is like but for its products."""
    if not lacking(context):
        race(context, "ours", job("1B", micro=8, length=2048, compile=True), None, convert)
