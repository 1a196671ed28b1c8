"""Ways to train one and the same model on the same rows with torch's AdamW. Each takes a turn a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers

from llmtrain_api import JobSpec, layout_of, shape_of, task_of
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.data.loader import Batches
from llmtrain_trainer.distributed import Ranks
from llmtrain_trainer.models.build import load
from llmtrain_trainer.optim.lr_schedules import schedule
from llmtrain_trainer.optim.optimizer import adamw, parameter_groups
from llmtrain_trainer.parallel.apply import build
from llmtrain_trainer.tasks import OURS, encoder

STEPS, EOS, SAMPLES = 1_000_000, 0, 512
Turn = Callable[[], None]
"""Called before each optimizer step: waits until this contestant may go on."""


@dataclass(frozen=True)
class Race:
    """What all contestants have in common.

    Attributes:
        spec: the job, of one process or of several.
        folder: initial weights.
        rows: [samples, length] token ids.
        scratch: an empty folder.
        threads: of each process; None = its share of the cores.
    """

    spec: JobSpec
    folder: Path
    rows: np.ndarray[Any, Any]
    scratch: Path
    threads: int | None

    @property
    def plan(self) -> BatchPlan:
        """How a global batch is cut."""
        training = self.spec.training
        return BatchPlan(training.global_batch_size, training.micro_batch_size, self.spec.world_size)


def ours(race: Race, ranks: Ranks, turn: Turn) -> None:
    """The step of the trainer's loop: fetch, agree, forward and backward, update, agree on the loss."""
    spec, training, plan = race.spec, race.spec.training, race.plan
    layout = layout_of(shape_of(spec), spec)
    place = layout.place(ranks.rank)
    length = Length(len(race.rows), training.global_batch_size, STEPS, None)
    batches = Batches(race.rows, plan, length, training.seed, encoder(spec, shape_of(spec), OURS))
    engine, _ = build(race.folder, spec, shape_of(spec), layout, place, plan, STEPS)
    for step in range(STEPS):
        turn()
        passes = batches.at(step, place, ranks.device)
        [labels] = distributed.all_reduce_sum(ranks, engine.labels(passes))
        own = engine.forward_backward(passes, labels)
        engine.step()
        distributed.all_reduce_sum_float(ranks, float(own) / labels)


def plain(race: Race, ranks: Ranks, turn: Turn) -> None:
    """A loop as one writes it by hand; DistributedDataParallel where there are several processes."""
    training, plan = race.spec.training, race.plan
    model = load(race.folder, task_of(race.spec, shape_of(race.spec)), torch.float32).to(ranks.device).train()
    groups, _ = parameter_groups(model.named_parameters(), training.weight_decay)
    optimizer = adamw(groups, training)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(training, STEPS))
    run = torch.nn.parallel.DistributedDataParallel(model) if ranks.world > 1 else model
    for rows in _batches(race, ranks):
        turn()
        total = torch.zeros((), device=ranks.device)
        for number, micro in enumerate(torch.split(rows, plan.micro)):
            if ranks.world > 1:
                run.require_backward_grad_sync = number == plan.accumulation - 1
            logits = run(input_ids=micro).logits
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), micro[:, 1:].flatten())
            torch.autograd.backward(loss / plan.accumulation)
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clipping)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        float(total)


def trainer(race: Race, ranks: Ranks, turn: Turn) -> None:
    """Hugging Face's Trainer."""
    _trainer(race, ranks, turn, None)


def trainer_deepspeed(race: Race, ranks: Ranks, turn: Turn) -> None:
    """Hugging Face's Trainer with DeepSpeed, ZeRO 1."""
    automatic = ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
    config = dict.fromkeys(automatic, "auto")
    _trainer(
        race,
        ranks,
        turn,
        config | {"zero_optimization": {"stage": 1}, "zero_allow_untested_optimizer": True},
    )


CONTESTANTS = {
    "plain PyTorch": plain,
    "llmtrain": ours,
    "HF Trainer": trainer,
    "HF Trainer + DeepSpeed": trainer_deepspeed,
}
WITH_DEEPSPEED = ("llmtrain", "HF Trainer + DeepSpeed")


def _batches(race: Race, ranks: Ranks) -> Iterator[torch.Tensor]:
    """[micro x accumulation, length]: other rows each step, other rows on each rank."""
    count = race.plan.micro * race.plan.accumulation
    for step in range(STEPS):
        first = (step * ranks.world + ranks.rank) * count
        chosen = [(first + n) % len(race.rows) for n in range(count)]
        yield torch.from_numpy(race.rows[chosen].astype(np.int64)).to(ranks.device)


def _trainer(race: Race, ranks: Ranks, turn: Turn, deepspeed: dict[str, Any] | None) -> None:
    training, plan = race.spec.training, race.plan
    arguments = transformers.TrainingArguments(
        output_dir=str(race.scratch),
        per_device_train_batch_size=plan.micro,
        gradient_accumulation_steps=plan.accumulation,
        max_steps=STEPS,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        adam_beta2=0.95,
        max_grad_norm=training.gradient_clipping,
        lr_scheduler_type="cosine",
        warmup_steps=training.warmup_steps,
        optim="adamw_torch",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=ranks.device.type == "cpu",
        dataloader_pin_memory=ranks.device.type != "cpu",
        ddp_find_unused_parameters=False,
        deepspeed=deepspeed,
    )
    model = load(race.folder, task_of(race.spec, shape_of(race.spec)), torch.float32)
    samples = [{"input_ids": row, "labels": row} for row in torch.from_numpy(race.rows.astype(np.int64))]

    class Wait(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            turn()

    transformers.Trainer(model, arguments, train_dataset=samples, callbacks=[Wait()]).train()
