"""Jobs that leave the straight way: back over a bad sample, and home early."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from harness.trainer.launches import Launch, job
from transformers import AutoTokenizer

from llmtrain_trainer.checkpoint.manifest import MANIFEST
from llmtrain_trainer.data.loader import open_train
from llmtrain_trainer.data.order import sample_at
from llmtrain_trainer.data.store import TOKENIZER, read_marker

STEPS, BATCH, EVERY, SEED = 180, 4, 20, 4


def words(generator: random.Random, count: int) -> str:
    known = [f"word{i}" for i in range(40)]
    return " ".join(generator.choice(known) for _ in range(count))


def events(launch: Launch, name: str) -> list[dict[str, Any]]:
    """What rank 0 logged under that name."""
    lines = launch.output.rank_log(launch.job.attempt, 0).read_text().splitlines()
    read = [json.loads(line) for line in lines if line.startswith("{")]
    return [one for one in read if one.get("event") == name]


def text_of(launch: Launch, rewound: dict[str, Any]) -> str:
    """What the samples say that a rewind passes over."""
    marker = read_marker(launch.output.data)
    assert marker is not None
    rows = open_train(launch.output.data, marker)
    tokenizer = AutoTokenizer.from_pretrained(launch.output.data / TOKENIZER)
    first, last = rewound["skipped_sample_positions"]
    return "".join(tokenizer.decode(rows[sample_at(at, len(rows), SEED)]) for at in range(first, last + 1))


def test_a_sample_that_makes_the_loss_leap_is_skipped_after_a_rewind(work: Path) -> None:
    """One document of noise among hundreds that are easy to learn."""
    folder = work / "texts"
    folder.mkdir(parents=True)
    generator = random.Random(1)
    for number in range(140):
        (folder / f"easy-{number:03}.txt").write_text(words(generator, 100))
    (folder / "easy-070-noise.txt").write_text("K>IRB=WXE#LYQRU%NFW&XSITA!GE")
    asked = job(
        work / "output",
        dataset={"name": f"file://{folder}", "heldOutFraction": 0.05},
        training={
            "maxSteps": STEPS,
            "onSpike": "rewind",
            "learningRate": 1e-2,
            "warmupSteps": 2,
            "globalBatchSize": BATCH,
            "microBatchSize": 2,
            "seed": SEED,  # reads the noise late, when it is known what is usual
        },
        checkpoint={"everySteps": EVERY},
    )
    launch = Launch(work, asked)
    try:
        assert launch.wait() == 0, launch.text()
        results = launch.message()["results"]
        rewound = events(launch, "rewound")
        assert rewound, launch.text()
        assert results["steps"] == STEPS
        skipped = sorted(int(str(one["from_step"])) for one in rewound)
        assert results["skippedSteps"] == len(skipped)
        first = rewound[0]
        step = int(str(first["from_step"]))
        assert first["to_step"] == (step - 1) // EVERY * EVERY
        assert first["skipped_sample_positions"] == [BATCH * (step - 1), BATCH * step - 1]
        assert [one["step"] for one in events(launch, "step skipped")][-1] == skipped[-1]
        for one in rewound:
            assert "=WXE" in text_of(launch, one) or "#LYQ" in text_of(launch, one)
        manifest = json.loads((launch.output.step(STEPS) / MANIFEST).read_text())
        assert manifest["runState"]["skippedSteps"] == skipped
        assert manifest["consumedSamples"] == BATCH * STEPS
    finally:
        launch.end()


def test_a_job_that_gains_no_more_ends_early_and_complete(work: Path) -> None:
    asked = job(
        work / "output",
        training={"maxSteps": 5000, "earlyStopping": {"patience": 2, "minDelta": 1.5}},
        evaluation={"everySteps": 5},
        checkpoint={"everySteps": 5},
    )
    launch = Launch(work, asked)
    try:
        assert launch.wait() == 0, launch.text()
        message = launch.message()
        assert message["outcome"] == "Complete"
        results = message["results"]
        # at most three gains of 1.5 nat are there to be had from log(512), each with one wait before it
        assert 15 <= results["steps"] <= 40
        assert results["stopReason"].startswith(f"early stopping at step {results['steps']}: 2 evaluations")
        assert results["bestStep"] <= results["steps"]
        assert f"of step {results['bestStep']}" in results["stopReason"]
        assert results["bestEvalLoss"] <= results["evalLoss"] + 1e-3
        assert launch.output.committed()[0] == results["steps"]
    finally:
        launch.end()
