"""A mixture of sources: what lies in the data folder, and which samples ranks read over a resume."""

from __future__ import annotations

import json
import os
import re
import signal
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.builders import job
from harness.children import PYTHONPATH
from harness.trainer.launches import Launch
from transformers import AutoTokenizer

from llmtrain_trainer.data import tokenizer
from llmtrain_trainer.data.loader import open_held_out, open_train
from llmtrain_trainer.data.order import Order, Source
from llmtrain_trainer.data.store import TOKENIZER, Marker, read_marker, reusable
from llmtrain_trainer.errors import ConfigError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    from llmtrain_trainer.data.prepare import prepare

WORDS = {"first": "alphabetical", "second": "bravado"}
BATCH, STEPS, SEED = 8, 60, 3

RECORDER = """
import os
from llmtrain_trainer.data import order
at = order.Order.at
def told(self, position):
    found = at(self, position)
    with open(os.path.join(os.environ["READ"], str(os.getpid())), "a") as file:
        print(position, found[0], file=file)
    return found
order.Order.at = told
"""


def folders(work: Path) -> list[Path]:
    """Two, each with a word of its own, and with 60 documents that both have."""
    made = []
    for name, word in WORDS.items():
        folder = work / name
        folder.mkdir(parents=True)
        for number in range(60):
            (folder / f"shared-{number}.txt").write_text(f"<{number}>" * 10)
        for number in range(100 if name == "first" else 60):
            (folder / f"own-{number}.txt").write_text(f"{word} {number} " * 20)
        made.append(folder)
    return made


def mixture(*names: Path | str, weights: tuple[float, ...] = (1, 3), **limits: Any) -> dict[str, Any]:
    sources = [
        {"name": f"file://{name}" if isinstance(name, Path) else name, "weight": weight, **limits}
        for name, weight in zip(names, weights, strict=True)
    ]
    return {"name": None, "maxBytes": None, "mixture": sources}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Marker]:
    """A data folder of two sources; its tokenizer stops before it has seen all of the first."""
    work = tmp_path_factory.mktemp("data")
    asked = job(work / "output", dataset=mixture(*folders(work)), model={"vocabSize": 320})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "TRAINING_BYTES", 20_000)
        return work / "data", prepare(asked, work / "data")


def said(folder: Path, rows: np.ndarray[Any, Any]) -> str:
    read = AutoTokenizer.from_pretrained(folder / TOKENIZER)
    return "".join(read.decode(row) for row in rows)


def test_the_rows_of_the_sources_lie_one_after_another(data: tuple[Path, Marker]) -> None:
    folder, marker = data
    rows = np.asarray(open_train(folder, marker))
    assert marker == read_marker(folder)
    assert len(marker.sources) == 2
    assert sum(marker.sources) == len(rows)
    assert min(marker.sources) > 50
    first, second = said(folder, rows[: marker.sources[0]]), said(folder, rows[marker.sources[0] :])
    assert "alphabetical" in first
    assert "bravado" not in first
    assert "bravado" in second
    assert "alphabetical" not in second


def test_copies_in_two_sources_fall_on_one_side(data: tuple[Path, Marker]) -> None:
    folder, marker = data
    sides = [
        set(re.findall(r"<(\d+)>", said(folder, rows)))
        for rows in (np.asarray(open_train(folder, marker)), open_held_out(folder))
    ]
    assert len(sides[0]) > 30
    assert len(sides[1]) > 3
    assert not sides[0] & sides[1]


def test_held_out_rows_come_from_each_source_by_its_weight(data: tuple[Path, Marker]) -> None:
    folder, marker = data
    rows = open_held_out(folder)
    counts = [source["tokens"]["heldOut"] // 32 for source in marker.report["sources"]]
    assert sum(counts) == len(rows) == marker.held_out
    assert counts[1] == pytest.approx(3 * counts[0], abs=3)
    assert "bravado" not in said(folder, rows[: counts[0]])
    assert "alphabetical" not in said(folder, rows[counts[0] :])


def test_the_report_counts_each_source(data: tuple[Path, Marker]) -> None:
    folder, marker = data
    report = marker.report
    assert [source["name"] for source in report["sources"]] == [
        f"file://{folder.parent / name}" for name in WORDS
    ]
    assert [sum(source["documents"].values()) for source in report["sources"]] == [160, 120]
    for what in ("documents", "tokens"):
        for side in ("train", "heldOut"):
            assert sum(source[what][side] for source in report["sources"]) == report[what][side]
    assert [source["tokens"]["train"] // 32 for source in report["sources"]] == marker.sources


def test_the_tokenizer_sees_all_sources_though_the_first_is_more_than_it_reads(
    data: tuple[Path, Marker],
) -> None:
    known = json.loads((data[0] / TOKENIZER / "tokenizer.json").read_text())["model"]["vocab"]
    assert "Ġbravado" in known


def test_a_source_that_is_missing_or_too_small_is_named(work: Path) -> None:
    whole, missing, small = work / "whole", work / "missing", work / "small"
    for folder, texts in ((whole, 200), (small, 1)):
        folder.mkdir(parents=True)
        for number in range(texts):
            (folder / f"{number}.txt").write_text(f"{number} text " * (50 if folder == whole else 1))
    with pytest.raises(ConfigError, match=rf"dataset\.mixture\[1\]\.name file://{missing}: no such folder"):
        prepare(job(work / "output", dataset=mixture(whole, missing)), work / "a")
    with pytest.raises(ConfigError, match=rf"dataset\.mixture file://{small} is too small: no .* to train"):
        prepare(job(work / "output", dataset=mixture(whole, small)), work / "b")


@pytest.mark.parametrize(("text", "missing"), [("two", "hold out"), ("text", "train on")])
def test_documents_that_are_copies_are_told_from_too_few(work: Path, text: str, missing: str) -> None:
    (work / "copies").mkdir(parents=True)
    rows = [json.dumps({"text": f"{text} " * 100})] * 400
    (work / "copies" / "a.jsonl").write_text("\n".join(rows))
    dataset = {"name": f"file://{work / 'copies'}", "heldOutFraction": 0.4}
    why = "they are all on one side, as copies of one text are"
    with pytest.raises(ConfigError, match=f"to {missing} in 400 documents; {why}; add text"):
        prepare(job(work / "output", dataset=dataset), work / "c")


def read(folder: Path) -> list[tuple[int, int]]:
    """Position and row of each sample that the ranks of one attempt read."""
    lines = [line.split() for path in folder.iterdir() for line in path.read_text().splitlines()]
    return [(int(position), int(row)) for position, row in lines]


def lived(work: Path, **changes: Any) -> list[Launch]:
    """Two ranks, kill -9 after the checkpoint of step 10, then one rank to the end; reads are recorded."""
    (work / "recorder").mkdir()
    (work / "recorder" / "sitecustomize.py").write_text(RECORDER)
    path = os.pathsep.join([str(work / "recorder"), PYTHONPATH])
    launched: list[Launch] = []

    def launch(processes: int) -> Launch:
        told = work / f"read-{len(launched)}"
        told.mkdir()
        asked = job(work / "output", attempt=len(launched), processesPerNode=processes, **changes)
        launched.append(Launch(work, asked, more={"PYTHONPATH": path, "READ": str(told)}))
        return launched[-1]

    try:
        first = launch(2)
        first.until(lambda: first.output.step(10).exists(), "step 10")
        os.kill(first.descendants()[0], signal.SIGKILL)
        first.wait()
        second = launch(1)
        assert second.wait() == 0, second.text()
    finally:
        for one in launched:
            one.end()
    return launched


@pytest.mark.proof
def test_a_job_that_is_killed_and_resumed_with_fewer_ranks_reads_each_sample_once(work: Path) -> None:
    folder = work / "texts"
    folder.mkdir(parents=True)
    for number in range(40):
        (folder / f"{number}.txt").write_text(f"own text {number} " * 30)
    changes: dict[str, Any] = {
        "dataset": mixture("builtin://python-stdlib", folder, maxBytes=60_000),
        "training": {"maxSteps": STEPS, "globalBatchSize": BATCH, "seed": SEED},
        "checkpoint": {"everySteps": 5},
    }
    second = lived(work, **changes)[1]
    done = second.message()["resumedStep"]
    assert 10 <= done < STEPS
    assert "from layout dp2 zero0 to dp1 zero0" in second.text()
    # what the first attempt read after the step that the second started from was never committed
    kept = [pair for pair in read(work / "read-0") if pair[0] < done * BATCH] + read(work / "read-1")
    assert sorted(position for position, _ in kept) == list(range(STEPS * BATCH))
    marker = read_marker(second.output.data)
    assert marker is not None
    as_weighted(kept, *marker.sources)

    changes["dataset"] = mixture("builtin://python-stdlib", folder, weights=(1, 4), maxBytes=60_000)
    with pytest.raises(ConfigError, match=r"dataset\.mixture\[1\]\.weight was 3\.0 and is 4\.0"):
        reusable(second.output.data, job(work / "output", attempt=2, **changes), has_checkpoints=True)


def as_weighted(kept: list[tuple[int, int]], stdlib: int, own: int) -> None:
    """One of four samples is the library's, none of them twice; the folder is read over and over, evenly."""
    order = Order([Source(stdlib, 1), Source(own, 3)], SEED)
    assert all(row == order.at(position)[0] for position, row in kept)
    times = Counter(row for _, row in kept)
    from_own = STEPS * BATCH * 3 // 4
    assert sum(count for row, count in times.items() if row >= stdlib) == from_own
    assert max(count for row, count in times.items() if row < stdlib) == 1
    epochs = from_own // own
    assert epochs >= 2
    assert {times[row] for row in range(stdlib, stdlib + own)} <= {epochs, epochs + 1}
