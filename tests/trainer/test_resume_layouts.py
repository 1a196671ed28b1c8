"""Killed and resumed, in the same layout and in another: what `harness.layouts.resume_jobs` saw, judged."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from harness.children import environment

from llmtrain_trainer.checkpoint.manifest import MANIFEST
from llmtrain_trainer.files import read_json

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    from harness.layouts.resume_jobs import OTHER, SAME, WEIGHTS, ResumeJob
    from harness.layouts.resume_rank import SAMPLES, STATE, STEPS
    from harness.layouts.tolerances import whole

    from llmtrain_trainer.checkpoint.shards import Shards
    from llmtrain_trainer.models.source import Source

LOSS = 1e-5
BF16_LOSS = 5e-4
"""Another order of bf16 additions; the state itself is bit-equal in either precision."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, lived in a process of its own: one that has computed, as this one, must not fork."""
    if os.environ.get("LLMTRAIN_LIVES"):
        return Path(
            os.environ["LLMTRAIN_LIVES"]
        )  # those of an earlier `python -m harness.layouts.resume_jobs FOLDER`
    folder = tmp_path_factory.mktemp("folders")
    command = [sys.executable, "-W", "ignore", "-m", "harness.layouts.resume_jobs", str(folder)]
    ended = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=1500, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def seen(folders: Path, job: ResumeJob) -> list[list[dict[str, Any]]]:
    """What each rank of each attempt saw."""
    folder = folders / str(job)
    assert (folder / "error").read_text() == ""
    return [
        [
            torch.load(folder / f"attempt-{number}-rank-{rank}.pt", weights_only=False)
            for rank in range(layout.world)
        ]
        for number, layout in enumerate(job.layouts)
    ]


@pytest.mark.timeout(1600)
@pytest.mark.parametrize("job", SAME, ids=str)
def test_the_same_layout_is_bit_equal(folders: Path, job: ResumeJob) -> None:
    """Everything in every file of the last checkpoint: weights, moments, step counts, schedule, counters."""
    before, after = (
        folders / str(one) / "output" / "checkpoints" / f"step-{STEPS}" for one in (job.undisturbed, job)
    )
    assert seen(folders, job)
    assert seen(folders, job.undisturbed)
    compared: list[str] = []
    for path in sorted((before / "state").glob("*.pt")):
        old, new = (
            list(leaves(torch.load(folder / "state" / path.name, weights_only=False), ""))
            for folder in (before, after)
        )
        assert [where for where, _ in old] == [where for where, _ in new], path.name
        for (where, a), (_, b) in zip(old, new, strict=True):
            assert same(a, b), (path.name, where)
        compared += [where for where, _ in old]
    assert len(compared) > 40
    for word in ("exp_avg", "exp_avg_sq", "step", "last_epoch"):
        assert any(where.endswith(f"/{word}") for where in compared), word
    used = [(read_json(folder / MANIFEST) or {})["consumedSamples"] for folder in (before, after)]
    assert used == [SAMPLES, SAMPLES]


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    return a == b


def leaves(value: object, where: str) -> Iterator[tuple[str, object]]:
    """Tensors and numbers below a value, by their path; DeepSpeed's configuration is no state."""
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            if key != "ds_config":
                yield from leaves(value[key], f"{where}/{key}")
    elif isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        for number, item in enumerate(value):
            yield from leaves(item, f"{where}/{number}")
    elif isinstance(value, torch.Tensor | int | float | str | torch.Size):
        yield where, value


@pytest.mark.timeout(1600)
@pytest.mark.parametrize("job", OTHER, ids=str)
def test_another_layout_goes_on_exactly(folders: Path, job: ResumeJob) -> None:
    attempts, [alone] = seen(folders, job), seen(folders, job.undisturbed)
    initial = Source(folders / "initial" / job.family)
    for old, new in pairwise(attempts):
        for key in STATE:
            a, b = (assembled(ranks, side, key, initial) for ranks, side in ((old, "saved"), (new, "loaded")))
            assert a.keys() == b.keys()
            different = [name for name in a if not torch.equal(a[name], b[name])]
            assert not different, f"{key} of {different}"
    limit = LOSS if job.precision == "fp32" else BF16_LOSS
    losses = merged(attempts, "losses")
    assert losses.keys() == set(range(STEPS))
    worst = max(abs(losses[step] / alone[0]["losses"][step] - 1) for step in losses)
    print(f"{job}: worst loss difference {worst:.1e}")
    assert worst <= limit
    assert merged(attempts, "rates") == alone[0]["rates"]


@pytest.mark.timeout(1600)
@pytest.mark.parametrize("job", OTHER, ids=str)
def test_a_rank_reads_its_own_part_of_another_layout(folders: Path, job: ResumeJob) -> None:
    """With ZeRO its share of weights and moments and 5 % more, whatever cut them before."""
    for layout, ranks in zip(job.layouts[1:], seen(folders, job)[1:], strict=True):
        numbers = sum(one.numel() for one in ranks[0]["loaded"]["fp32"].values())
        for rank in ranks:
            if rank["asked"] is None or layout.tensor * layout.pipeline > 1:
                continue  # DeepSpeed's own load, or a part of the model that no share tells
            share = rank["asked"] / (numbers * 4 * len(STATE))
            print(f"{job}: {layout} read {share:.2f}")
            assert share <= 0.05 + 1 / (layout.data * layout.sequence if layout.zero else 1)


@pytest.mark.timeout(1600)
@pytest.mark.parametrize("job", WEIGHTS, ids=str)
def test_only_the_weights_of_another_job(folders: Path, job: ResumeJob) -> None:
    """The optimizer counts from 0 again; steps, data and schedule go on."""
    (old, new), [alone] = seen(folders, job), seen(folders, job.undisturbed)
    initial = Source(folders / "initial" / job.family)
    a, b = (assembled(ranks, side, "fp32", initial) for ranks, side in ((old, "saved"), (new, "loaded")))
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    folder = folders / str(job) / "output" / "checkpoints" / f"step-{STEPS}"
    assert Shards(folder / "state", job.layouts[-1]).step == STEPS - job.until(0)
    assert merged([old, new], "rates") == alone[0]["rates"]
    assert merged([old, new], "losses").keys() == set(range(STEPS))
    assert new[0]["losses"][STEPS - 1] != alone[0]["losses"][STEPS - 1]


@pytest.mark.timeout(1600)
@pytest.mark.parametrize("job", [*SAME, *OTHER, *WEIGHTS], ids=str)
def test_each_sample_is_read_exactly_once(folders: Path, job: ResumeJob) -> None:
    read = [rank["samples"].values() for ranks in seen(folders, job) for rank in ranks]
    every = sorted(chain.from_iterable(chain.from_iterable(read)))
    assert every == list(range(SAMPLES))


def merged(attempts: list[list[dict[str, Any]]], what: str) -> dict[int, float]:
    """By step, as rank 0 of each attempt tells it."""
    found: dict[int, float] = {}
    for ranks in attempts:
        found |= ranks[0][what]
    return found


def assembled(ranks: list[dict[str, Any]], side: str, key: str, initial: Source) -> dict[str, torch.Tensor]:
    """Whole tensors from what the ranks hold."""
    flat = [{"place": rank["place"], "state": rank[side][key]} for rank in ranks]
    names = {name for rank in flat for name in rank["state"]}
    base, [first, *_] = set(initial.names()), flat  # an adapter is no part of it, and never cut
    like = {name: initial.read(name) if name in base else first["state"][name] for name in names}
    return whole(flat, "state", like)
