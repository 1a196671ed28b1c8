"""Two ranks of ZeRO-1 compute what one fp64 process computes: loss, every gradient, five AdamW steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from trainer.helpers import ROOT, free_port, spec

from llmtrain_api import TrainingSpec
from llmtrain_trainer.data.order import sample_at
from llmtrain_trainer.models.build import load, write_initial
from llmtrain_trainer.optimizer import cosine, decays

STEPS = 5
LENGTH = 16
VOCAB = 320
LLAMA = {"name": "builtin://tiny-llama", "numKvHeads": 2, "vocabSize": VOCAB}
TIED = LLAMA | {"tiedEmbeddings": True}
GPT2 = {"name": "builtin://tiny-gpt2", "numKvHeads": None, "vocabSize": VOCAB}
EVEN = {"globalBatchSize": 4, "microBatchSize": 2}
ODD = {"globalBatchSize": 5, "microBatchSize": 1}
"""Accumulation 3 with one spare slot: rank 0 has three sequences, rank 1 two."""


@dataclass(frozen=True)
class Case:
    name: str
    model: dict[str, Any]
    batch: dict[str, int]
    precision: str = "fp32"

    def training(self) -> TrainingSpec:
        fields = self.batch | {
            "precision": self.precision, "sequenceLength": LENGTH, "maxSteps": STEPS, "warmupSteps": 2,
            "learningRate": 1e-2, "weightDecay": 0.1, "gradientClipping": CLIP[self.model["name"]],
        }  # fmt: skip
        return TrainingSpec.model_validate(fields)


CLIP = {"builtin://tiny-llama": 0.5, "builtin://tiny-gpt2": 0.5}
"""About half of the gradient norm or less, so that clipping is active in every step."""
CASES = (
    Case("llama-even", LLAMA, EVEN),
    Case("llama-odd", LLAMA, ODD),
    Case("llama-tied-odd", TIED, ODD),
    Case("gpt2-even", GPT2, EVEN),
    Case("gpt2-odd", GPT2, ODD),
    Case("llama-bf16-odd", LLAMA, ODD, "bf16"),
)
FP32 = [case for case in CASES if case.precision == "fp32"]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases, in one start of two ranks."""
    root = tmp_path_factory.mktemp("equality")
    listed = []
    for case in CASES:
        folder = root / case.name
        folder.mkdir()
        write_initial(spec(model=case.model, training={"sequenceLength": LENGTH}), 0, folder / "model")
        rows = np.random.default_rng(7).integers(0, VOCAB, (9, LENGTH)).astype(np.uint16)
        np.save(folder / "rows.npy", rows)
        listed.append({"name": case.name, "steps": STEPS, "training": case.training().to_json()})
    (root / "cases.json").write_text(json.dumps(listed))
    torchrun = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--master-addr", "127.0.0.1", "--master-port", str(free_port())),
        *(str(Path(__file__).with_name("equality_worker.py")), str(root)),
    ]
    env = dict(
        os.environ,
        PYTHONPATH=f"{ROOT}/crds:{ROOT}/trainer_image",
        DS_ACCELERATOR="cpu",
        OMP_NUM_THREADS="1",
    )
    done = subprocess.run(torchrun, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


def reference(root: Path, case: Case, dtype: torch.dtype, steps: int = STEPS) -> dict[str, Any]:
    """One process, plain torch, whole global batches."""
    training = case.training()
    model = load(root / case.name / "model", dtype)
    rows = torch.from_numpy(np.load(root / case.name / "rows.npy").astype(np.int64))
    named = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in named.items() if decays(n)], "weight_decay": training.weight_decay},
            {"params": [p for n, p in named.items() if not decays(n)], "weight_decay": 0.0},
        ],
        lr=training.learning_rate,
        betas=(0.9, 0.95),
        eps=1e-3,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine(training.warmup_steps, STEPS))
    out: dict[str, Any] = {"losses": [], "norms": [], "gradients": {}, "initial": copies(named)}
    size = training.global_batch_size
    for step in range(steps):
        ids = rows[[sample_at(step * size + i, len(rows), training.seed) for i in range(size)]]
        logits = model(input_ids=ids).logits[:, :-1]
        wide = torch.promote_types(logits.dtype, torch.float32)
        loss = F.cross_entropy(logits.flatten(0, 1).to(wide), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            out["gradients"] = {name: p.grad.clone() for name, p in named.items()}
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clipping)
        assert float(norm) > 1.5 * training.gradient_clipping, "clipping must be active"
        out["norms"].append(float(norm))
        out["losses"].append(float(loss.detach()))
        optimizer.step()
        schedule.step()
    out["weights"] = copies(named)
    return out


def copies(named: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in named.items()}


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return float(torch.stack([(a[n].double() - b[n].double()).norm() for n in a]).norm())


def size_of(a: dict[str, torch.Tensor]) -> float:
    return float(torch.stack([x.double().norm() for x in a.values()]).norm())


@pytest.mark.parametrize("case", FP32, ids=lambda c: c.name)
def test_loss_and_every_gradient(computed: Path, case: Case) -> None:
    ours = torch.load(computed / case.name / "out.pt")
    exact = reference(computed, case, torch.float64, steps=1)
    assert ours["accumulation"] == (3 if case.batch is ODD else 1)
    assert ours["losses"][0] == pytest.approx(exact["losses"][0], rel=1e-6)
    whole = size_of(exact["gradients"])
    for name, right in exact["gradients"].items():
        error = float((ours["gradients"][name].double() - right).norm())
        bound = 1e-5 * max(float(right.norm()), 1e-3 * whole)
        assert error <= bound, f"{name}: {error:.2e} > {bound:.2e}"


@pytest.mark.parametrize("case", FP32, ids=lambda c: c.name)
def test_five_steps_with_active_clipping(computed: Path, case: Case) -> None:
    ours = torch.load(computed / case.name / "out.pt")
    exact = reference(computed, case, torch.float64)
    moved = distance(exact["weights"], exact["initial"])
    assert distance(ours["weights"], exact["weights"]) <= 1e-4 * moved
    assert ours["norms"] == pytest.approx(exact["norms"], rel=1e-5)
    assert ours["losses"] == pytest.approx(exact["losses"], rel=1e-5)


def test_bf16_is_as_good_as_one_process(computed: Path) -> None:
    case = CASES[-1]
    ours = torch.load(computed / case.name / "out.pt")
    exact = reference(computed, case, torch.float64, steps=1)["gradients"]
    one = reference(computed, case, torch.bfloat16, steps=1)["gradients"]
    assert distance(ours["gradients"], exact) <= 1.5 * distance(one, exact)
