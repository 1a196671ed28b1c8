"""One process, plain torch, whole global batches: what every layout must equal."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from harness.layouts.alike import penalty
from harness.layouts.answers import loss_of
from harness.layouts.pairs import of_pairs
from harness.layouts.rows import LENGTH, STEPS, Row
from harness.layouts.samples import losses_alone
from harness.layouts.seen import alone
from harness.layouts.worker import adamw_of_rows, encoder_for, perturbed, sgd, tokens

from llmtrain_api import Task, task_of
from llmtrain_api.layouts.proven import DIALOGUES
from llmtrain_trainer.data.order import key_of, sample_at
from llmtrain_trainer.loss import IGNORED
from llmtrain_trainer.models import adapters
from llmtrain_trainer.models.build import load
from llmtrain_trainer.models.families import TRAINED
from llmtrain_trainer.optim.lr_schedules import schedule
from llmtrain_trainer.optim.optimizer import parameter_groups
from llmtrain_trainer.tasks import Inputs
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, ID, NOT_TRAINED

Pass = tuple[Inputs, torch.Tensor]
SCALE = 1024.0
"""Of the loss in fp16, whose smallest numbers are larger than small gradients."""


def reference(
    row: Row, kind: str, clipping: float, model_folder: Path, dtype: torch.dtype, device: str = "cpu"
) -> dict[str, Any]:
    """Losses, first gradients and last weights."""
    spec = row.spec(clipping=clipping)
    training = spec.training
    model = load(model_folder, task_of(spec, row.shape), dtype).to(device)
    scale = SCALE if dtype == torch.float16 else 1.0
    if task_of(spec, row.shape) is Task.CAUSAL and training.packing == "documents":
        assert model.config._attn_implementation in ("sdpa", "eager")
    rows, task = tokens(row), encoder_for(row)
    if spec.model.adapter:
        adapters.add(model, spec, row.shape, spec.model.adapter)
    named = {adapters.whole_name(name): p for name, p in model.named_parameters() if p.requires_grad}
    for name, p in named.items() if spec.model.adapter else ():
        p.data.copy_(perturbed(name, tuple(p.shape), training.seed))
    groups, _ = parameter_groups(named.items(), training.weight_decay, partial(_unused, row))
    optimizer = (sgd if kind == "sgd" else adamw_of_rows)(groups, training)
    share = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(training, STEPS))
    out: dict[str, Any] = {"losses": [], "norms": [], "initial": _copies(named)}
    size = training.global_batch_size
    for step in range(STEPS):
        places = [step * size + i for i in range(size)]
        ids = torch.from_numpy(np.stack([rows[sample_at(p, len(rows), 0)] for p in places]).astype(np.int64))
        if row.sampled is not None or row.loss or row.rewarded or row.seen:
            batch: Any = ids
        elif row.packing == DIALOGUES:
            batch = [one for tokens_of_row in ids for one in _dialogues(tokens_of_row)]
        else:
            batch = [task.encode(ids, [key_of(p, len(rows), 0) for p in places])]
        loss_sum, count = _loss(model, row, batch, device)
        loss = loss_sum / count + penalty(row, model, step, device)
        optimizer.zero_grad()
        (loss * scale).backward()
        _unscale(row, named, scale)
        if step == 0:
            out["gradients"] = {name: p.grad.detach().cpu().clone() for name, p in named.items()}
        norm = torch.nn.utils.get_total_norm([p.grad for p in named.values()])
        if clipping:
            torch.nn.utils.clip_grad_norm_(list(named.values()), clipping)
        out["norms"].append(float(norm))
        out["losses"].append(float(loss.detach()))
        optimizer.step()
        share.step()
    with torch.no_grad():
        out["held_out"] = float(_loss(model, row, batch, device)[0])
    out["weights"] = _copies(named)
    return out


def _unused(row: Row, name: str) -> bool:
    return row.seen and TRAINED[row.shape.architecture].unused(name, row.shape)


def _unscale(row: Row, named: dict[str, torch.nn.Parameter], scale: float) -> None:
    """Take the scale off all gradients; what nothing depends on has none, and gets one of zeros."""
    for name, parameter in named.items():
        if parameter.grad is None:
            assert _unused(row, name)
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad.div_(scale)


def _loss(model: Any, row: Row, batch: Any, device: str) -> tuple[torch.Tensor, int]:
    """The summed loss of some forward passes, or of samples one by one, and how many labels they have."""
    total, count = torch.zeros((), device=device), 0
    if row.sampled is not None:
        for one, labels_of_it in losses_alone(model, row.sampled, batch, device):
            total, count = total + one, count + labels_of_it
        return total, count
    if row.seen:
        for one, labels_of_it in alone(model, batch, row.shape, device):
            total, count = total + one, count + labels_of_it
        return total, count
    if row.rewarded:
        return loss_of(model, batch, LENGTH, device)
    if row.loss:
        return of_pairs(row, model, batch, device), len(batch)
    for inputs, labels in batch:
        logits = model(**{name: value.to(device) for name, value in inputs.items()}).logits
        wide = torch.promote_types(logits.dtype, torch.float32)
        flat = labels.flatten().to(device)
        total = total + F.cross_entropy(logits.flatten(0, 1).to(wide), flat, reduction="sum")
        count += int((flat != IGNORED).sum())
    return total, count


def _dialogues(row: torch.Tensor) -> list[Pass]:
    """The dialogues of a row, each alone: there is nothing that they could see of each other."""
    begins = [*torch.nonzero(row & FIRST_OF_DOCUMENT).flatten().tolist(), len(row)]
    found = []
    for start, end in pairwise(begins):
        ids, labels = row[start:end] & ID, torch.full((end - start,), IGNORED)
        for at in range(start + 1, end):
            if not row[at] & NOT_TRAINED:
                labels[at - start - 1] = ids[at - start]
        found.append(({"input_ids": ids[None]}, labels[None]))
    return found


def _copies(named: dict[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    return {name: p.detach().cpu().clone() for name, p in named.items()}
