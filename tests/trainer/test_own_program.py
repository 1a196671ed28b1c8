"""A plain script with Hugging Face's Trainer under ``llmtrain run``: two ranks, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.children import processes
from harness.trainer.laptop import LaptopRun

STEPS = 200
"""So many that a busy machine kills the rank long before the last one."""
SCRIPT = f"""
import os
import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint


class Counting(Dataset):
    def __len__(self):
        return 512

    def __getitem__(self, i):
        ids = torch.tensor([(i + k) % 32 for k in range(16)])
        return {{"input_ids": ids, "labels": ids}}


output = os.environ["LLMTRAIN_OUTPUT"]
torch.manual_seed(0)
config = GPT2Config(vocab_size=32, n_positions=16, n_embd=32, n_layer=1, n_head=2)
arguments = TrainingArguments(
    output, max_steps={STEPS}, per_device_train_batch_size=4, learning_rate=5e-3, logging_steps=5,
    save_steps=10, use_cpu=True, disable_tqdm=True,
)
trainer = Trainer(GPT2LMHeadModel(config), arguments, train_dataset=Counting())
trainer.train(resume_from_checkpoint=get_last_checkpoint(output))
trainer.save_model(output + "/final")
torch.distributed.destroy_process_group()
"""
"""It leaves its gang as torch asks for: a rank that just ends may abort, which is a failure too."""
pytestmark = pytest.mark.timeout(400)


def kill_rank_1(told: LaptopRun) -> None:
    [rank] = [
        pid
        for pid in processes(str(told.folder), f"python3 {told.folder}/train.py")
        if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()
    ]
    os.kill(rank, signal.SIGKILL)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopRun]:
    told = LaptopRun(tmp_path_factory.mktemp("own"), "own", 300.0)
    script = told.folder / "train.py"
    script.write_text(SCRIPT)
    spec = {
        "entrypoint": {"command": ["python3", str(script)]},
        "nodes": 2,
        "output": {"uri": "pvc://checkpoints/own"},
    }
    told.ask(spec)
    try:
        told.start()
        state = told.output.program / "checkpoint-20/trainer_state.json"
        told.until(state.exists, "a checkpoint of the program's own")
        kill_rank_1(told)
        told.end()
        yield told
    finally:
        told.close()


def test_the_object_tells_steps_and_loss_of_an_unchanged_script(laptop: LaptopRun) -> None:
    assert laptop.codes == [0], laptop.text()
    status = laptop.object()["status"]
    assert status["phase"] == "Succeeded"
    assert (status["progress"]["step"], status["progress"]["totalSteps"]) == (STEPS, STEPS)
    assert status["results"]["steps"] == STEPS
    assert 0 < status["progress"]["loss"] < 3.5, "less than the logarithm of 32"


def test_a_killed_rank_is_told_and_the_script_goes_on_from_its_own_checkpoint(laptop: LaptopRun) -> None:
    attempts = laptop.object()["status"]["attempts"]
    assert len(attempts) == 2, laptop.text()
    first, second = attempts
    assert first["failureClass"] == "Unknown"
    assert "rank 1 was killed by signal 9" in first["message"]
    assert 20 <= first["checkpointStep"] < STEPS
    state = json.loads((laptop.output.program / f"checkpoint-{STEPS}/trainer_state.json").read_text())
    steps = [entry["step"] for entry in state["log_history"] if "loss" in entry]
    assert steps == sorted(set(steps)), "each step once"
    assert second["number"] == 1
    assert laptop.object()["status"]["checkpoint"]["step"] == STEPS


def test_each_rank_has_a_log_of_its_own_and_nothing_is_left_behind(laptop: LaptopRun) -> None:
    logs = [laptop.output.rank_log(1, rank) for rank in range(2)]
    assert all(log.is_file() for log in logs)
    assert "'train_runtime'" in logs[0].read_text()
    assert laptop.left == [[]]
    assert (laptop.output.program / "final/model.safetensors").is_file()


def test_a_program_has_its_share_of_this_machines_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    told = LaptopRun(tmp_path, "threads", 100.0)
    words = ["/bin/sh", "-c", "echo in $OMP_NUM_THREADS threads"]
    spec = {
        "entrypoint": {"command": words, "starter": "none"},
        "output": {"uri": "pvc://checkpoints/threads"},
    }
    told.ask(spec)
    told.to_the_end()
    assert told.codes == [0], told.text()
    # all cores of this machine, where a pod on a cluster would compute in the one that it asks for
    assert f"in {len(os.sched_getaffinity(0))} threads" in told.output.rank_log(0, 0).read_text()
