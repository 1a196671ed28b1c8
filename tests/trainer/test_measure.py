"""``evaluation.only``: a model is measured as it is, on all of the data, and nothing is trained."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.builders import QUICK, job_file
from harness.ports import free_port
from harness.trainer.laptop import LaptopRun
from harness.trainer.launches import Launch

from llmtrain_api import JobFile, Task, parse_spec

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    import transformers
    from harness.models.tiny import folder_of_llama, make
    from safetensors.torch import load_file, save_file

    from llmtrain_trainer.data.loader import open_held_out
    from llmtrain_trainer.pretrained.inspect import inspect

pytestmark = pytest.mark.timeout(400)
TEXTS = 40
LENGTH = 32
ONLY = {"only": True, "maxSequences": 100_000}


def sentence(number: int) -> str:
    return f"Document {number} tells that {number} and {number + 1} are {2 * number + 1}. " * 5


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_llama(tmp_path_factory.mktemp("base") / "model")


def job(base: Path, work: Path, rows: list[dict[str, Any]], **changes: Any) -> JobFile:
    (work / "rows").mkdir(parents=True)
    (work / "rows" / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = {"name": f"file://{work / 'rows'}"}
    asked = QUICK | {"model": {"name": f"file://{base}"}, "dataset": dataset, "processesPerNode": 1}
    asked["training"] = {"sequenceLength": 64}
    spec = parse_spec(asked | {"evaluation": ONLY} | changes, strict=True)
    facts = inspect(spec, str(base))
    return job_file(spec, work / "output", port=free_port(), shape=facts.shape, model=facts, base=str(base))


@pytest.fixture(scope="module")
def laptop(base: Path, tmp_path_factory: pytest.TempPathFactory) -> LaptopRun:
    """Two sources of text under `llmtrain run`."""
    run = LaptopRun(tmp_path_factory.mktemp("measured"))
    sources = []
    for name, numbers in (("first", range(TEXTS)), ("second", range(1000, 1000 + TEXTS))):
        folder = run.folder / "checkpoints" / name
        folder.mkdir(parents=True)
        (folder / "all.jsonl").write_text(
            "".join(json.dumps({"text": sentence(number)}) + "\n" for number in numbers)
        )
        sources.append({"name": f"pvc://checkpoints/{name}", "weight": 1})
    spec = {
        "model": {"name": f"file://{base}"},
        "dataset": {"mixture": sources},
        "training": {"sequenceLength": LENGTH},
        "evaluation": ONLY,
        "output": {"uri": "pvc://checkpoints/tiny"},
    }
    run.ask(spec)
    run.to_the_end()
    return run


def test_the_loss_is_that_of_plain_transformers_over_all_of_the_text(laptop: LaptopRun, base: Path) -> None:
    assert laptop.codes == [0], laptop.text()
    status = laptop.object()["status"]
    rows = torch.from_numpy(np.array(open_held_out(laptop.output.data)).astype(np.int64))
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    numbers = [*range(TEXTS), *range(1000, 1000 + TEXTS)]
    tokens = sum(len(tokenizer(sentence(number))["input_ids"]) + 1 for number in numbers)
    assert tokens - 2 * LENGTH < rows.numel() <= tokens, "all of it, but for the ends that fill no row"
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(rows).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).double(), rows[:, 1:].flatten())
    assert status["phase"] == "Succeeded"
    assert status["results"]["evalLoss"] == pytest.approx(float(loss), rel=1e-4)
    assert status["results"]["perplexity"] == pytest.approx(float(loss.exp()), rel=1e-3)


def test_each_source_is_told_by_itself(laptop: LaptopRun) -> None:
    results = laptop.object()["status"]["results"]
    first, second = results["sources"]
    assert [one["name"] for one in (first, second)] == ["pvc://checkpoints/first", "pvc://checkpoints/second"]
    assert first["evalLoss"] != second["evalLoss"]
    tokens = first["tokens"] + second["tokens"]
    mean = sum(one["evalLoss"] * one["tokens"] for one in (first, second)) / tokens
    assert results["evalLoss"] == pytest.approx(mean, rel=1e-6)
    assert f"pvc://checkpoints/first: {first['evalLoss']:.3f} nat a token" in laptop.text()


def test_nothing_is_trained_and_nothing_exported(laptop: LaptopRun) -> None:
    results = laptop.object()["status"]["results"]
    assert results["steps"] == 0
    assert "exportUri" not in results
    assert laptop.output.committed() == []
    assert not laptop.output.export.exists()
    assert not list(laptop.output.root.rglob("*.safetensors"))


def test_a_person_is_told_what_was_measured(laptop: LaptopRun) -> None:
    told = laptop.text()
    assert "Succeeded: measured, nothing trained" in told
    assert "perplexity" in told
    assert "/export" not in told
    assert "0 steps" not in told


def test_answers_are_written_by_the_model_as_it_is(base: Path, tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is {number}?"},
                {"role": "assistant", "content": f"It is {number}."},
            ]
        }
        for number in range(8)
    ]
    metrics = {"answerMetrics": ["exactMatch", "chrf"], "maxAnswers": 4}
    launch = Launch(tmp_path, job(base, tmp_path, rows, task="chat", evaluation=ONLY | metrics))
    assert launch.wait() == 0, launch.text()
    results = json.loads(launch.output.results.read_text())
    assert results["answers"]["written"] == 4
    assert results["answers"]["exactMatch"] == 0, "random weights know nothing"
    assert launch.message()["results"]["evalLoss"] == results["evalLoss"]
    again = Launch(tmp_path, launch.job)
    assert again.wait() == 0
    assert "complete already" in again.text()


def test_a_model_that_was_not_taught_its_task_is_refused(tmp_path: Path) -> None:
    """Training would begin a new head; measured, it would be random numbers in the place of one."""
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    cut = make(tmp_path / "cut", "bert", Task.MASKED, torch.float32, **sizes)
    weights = load_file(cut / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("cls.")}
    save_file(kept, cut / "model.safetensors", {"format": "pt"})
    config = json.loads((cut / "config.json").read_text())
    (cut / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
    launch = Launch(tmp_path, job(cut, tmp_path, [{"text": sentence(1)}] * 9, task="masked"))
    assert launch.wait() == 78, launch.text()
    assert "it has no head for task masked, so there is nothing to measure" in launch.message()["message"]


def test_too_little_text_is_named(base: Path, tmp_path: Path) -> None:
    launch = Launch(tmp_path, job(base, tmp_path, [{"text": "short"}]))
    assert launch.wait() == 78, launch.text()
    assert "no sequence of 64 tokens to measure in 1 document;" in launch.message()["message"]
