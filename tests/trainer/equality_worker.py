"""Run by torchrun: the product's engine on a few cases; rank 0 saves losses, gradients and weights.

Arguments: a folder that holds ``cases.json`` and, for each case, the initial model and the rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_grad

from llmtrain_api import TrainingSpec
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.data.loader import Batches
from llmtrain_trainer.engine import build, forward_backward
from llmtrain_trainer.models.build import load


def run(case: dict[str, Any], folder: Path, ranks: distributed.Ranks) -> None:
    training = TrainingSpec.model_validate(case["training"])
    rows = np.load(folder / "rows.npy")
    plan = BatchPlan(training.global_batch_size, training.micro_batch_size, ranks.world)
    length = Length(len(rows), training.global_batch_size, case["steps"], None)
    batches = Batches(rows, plan, length, training.seed)
    model = load(folder / "model", torch.float32)
    engine, _ = build(model, training, plan, case["steps"])
    # at the default 1e-8 an update is the sign of the gradient, which flips where the gradient is noise
    for group in engine.optimizer.optimizer.param_groups:
        group["eps"] = 1e-3
    out: dict[str, Any] = {"losses": [], "norms": [], "gradients": {}, "accumulation": plan.accumulation}
    for step in range(case["steps"]):
        batch = batches.at(step, ranks.rank, ranks.device)
        labels, _ = distributed.agree(ranks, batch.labels, stop=False)
        own = forward_backward(engine, batch, labels, plan)
        if step == 0:
            out["gradients"] = {
                name: safe_get_full_grad(p).detach().clone() for name, p in engine.module.named_parameters()
            }
        engine.step()
        out["losses"] += distributed.total(ranks, float(own) / labels)
        out["norms"].append(float(engine.get_global_grad_norm()))
    out["weights"] = {
        name: safe_get_full_fp32_param(p).detach().clone() for name, p in engine.module.named_parameters()
    }
    if ranks.first:
        torch.save(out, folder / "out.pt")


def main() -> None:
    root = Path(sys.argv[1])
    torch.set_num_threads(1)
    ranks = distributed.join()
    for case in json.loads((root / "cases.json").read_text()):
        run(case, root / case["name"], ranks)
    distributed.leave()


if __name__ == "__main__":
    main()
