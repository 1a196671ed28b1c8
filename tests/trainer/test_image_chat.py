"""A job on dialogues with images, from rows to a model that says what it sees, through the launcher."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest
import transformers
from harness.images import QUESTION, asked, captions
from harness.trainer.cards import run_snippet
from harness.trainer.launches import Launch, run_verb
from PIL import Image

from llmtrain_trainer.storage.start_marker import read_start


def launched(work: Path, **more: int) -> Launch:
    launch = Launch(work, asked(work, **more))
    assert launch.wait() == 0, launch.text()
    return launch


def weights(launch: Launch) -> str:
    return hashlib.sha256((launch.output.export / "model.safetensors").read_bytes()).hexdigest()


def steps(launch: Launch, attempt: int = 0) -> dict[int, float]:
    lines = (launch.output.logs(attempt) / "metrics.jsonl").read_text().splitlines()
    return {row["step"]: row["loss"] for row in map(json.loads, lines)}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    return launched(tmp_path_factory.mktemp("images"))


def test_the_report_counts_images_and_shows_each_as_one_token(one: Launch) -> None:
    told = json.loads((one.output.data / "data.json").read_text())["report"]
    assert told["images"] == {"count": 48, "pixels": 32, "tokens": 16}
    [first, answer, *_] = told["samples"][0]
    assert first == {
        "text": f"<|im_start|>user\n<image>{QUESTION}<|im_end|>\n<|im_start|>assistant\n",
        "trained": False,
    }
    assert answer["trained"]
    assert (one.output.data / "images.bin").stat().st_size == 48 * 3 * 32 * 32


def test_anybody_opens_the_export_with_its_processor(one: Launch) -> None:
    folder = one.output.export
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    inputs = processor(images=Image.new("RGB", (50, 40), "red"), text="<image>What?", return_tensors="pt")
    assert int((inputs["input_ids"] == model.config.image_token_index).sum()) == 16
    assert model(**inputs).logits.isfinite().all()
    assert run_snippet(folder) is not None
    assert "answers in dialogues about images" in (folder / "README.md").read_text()


def test_the_verbs_answer_about_an_image_and_refuse_what_has_none(one: Launch, tmp_path: Path) -> None:
    folder, file = str(one.output.export), tmp_path / "a.png"
    captions()["a red circle on the left"].save(file)
    words = (folder, QUESTION, "--image", str(file), "--tokens", "4", "--temperature", "0")
    found = run_verb(tmp_path, "generate", *words)
    assert found.returncode == 0, found.stderr
    assert found.stdout
    assert "name one with --image FILE" in run_verb(tmp_path, "generate", folder, QUESTION).stderr
    assert "use llmtrain generate FOLDER PROMPT --image FILE" in run_verb(tmp_path, "chat", folder).stderr


def test_ranks_and_passes_change_nothing_of_what_is_learnt(one: Launch, tmp_path: Path) -> None:
    two = launched(tmp_path, ranks=2, microBatchSize=1, zeroStage=2)
    for first, second in zip(steps(one).values(), steps(two).values(), strict=True):
        assert second == pytest.approx(first, rel=1e-4)
    same = [
        (launch.output.data / name).read_bytes()
        for launch in (one, two)
        for name in ("train.bin", "images.bin")
    ]
    assert same[:2] == same[2:]


@pytest.mark.proof
def test_a_job_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = launched(tmp_path / "whole", maxSteps=40)
    first = Launch(tmp_path / "killed", asked(tmp_path / "killed", maxSteps=40))
    try:
        first.until(lambda: first.output.step(10).exists(), "step 10")
        os.kill(first.descendants()[0], signal.SIGKILL)
        assert first.process.wait(60) != 0
    finally:
        first.end()
    assert not first.output.export.exists()
    again = launched(tmp_path / "killed", attempt=1, maxSteps=40)
    start = read_start(again.job)
    assert start is not None
    assert start.done >= 10
    assert steps(again, 1) == {step: loss for step, loss in steps(whole).items() if step > start.done}
    assert weights(again) == weights(whole)
