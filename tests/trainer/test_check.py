"""`llmtrain check --data`: what would be trained on, before anything is; nothing is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.children import environment
from harness.hub import hub
from harness.jobs import manifest
from harness.models.tiny import folder_of_llama

from llmtrain_trainer.data.store import REPORT
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.files import read_json

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    from llmtrain_trainer.data import preview
    from llmtrain_trainer.data.prepare import prepare

pytestmark = pytest.mark.timeout(300)


def dialogue(question: str, answer: str) -> dict[str, Any]:
    turns = (("user", question), ("assistant", answer))
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def rows(count: int = 64) -> list[dict[str, Any]]:
    return [dialogue(f"What is {n} plus 1?", f"It is {n + 1}.") for n in range(count)]


def write(folder: Path, found: list[dict[str, Any]], name: str = "all.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in found))
    return folder


def chat_job(work: Path, texts: Path, **dataset: Any) -> Any:
    dataset = {"name": f"file://{texts}", "maxBytes": None, **dataset}
    return job(work / "output", task="chat", model={"vocabSize": 320}, dataset=dataset)


def command(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llmtrain", "check", *words],
        env=environment() | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_look_at_little_data_shows_what_preparation_makes(tmp_path: Path) -> None:
    long = dialogue("and " * 90, "Yes.")
    asked = chat_job(tmp_path, write(tmp_path / "rows", [*rows(), long]))
    seen = preview.look(asked, tmp_path / "look")
    told = "\n".join(preview.lines_of(seen, live=False))
    assert "65, of them" not in told
    assert "documents   64, of them" in told
    assert "1 x tooLong" in told
    assert "looked at: all of it" in told
    assert "to train on them raise it" in told
    turn = "⟪<|im_start|>user\\nWhat is 62 plus 1?<|im_end|>\\n<|im_start|>assistant\\n⟫It is 63.<|im_end|>"
    assert turn in told
    prepare(asked, tmp_path / "data")
    report = read_json(tmp_path / "data" / REPORT)
    assert report is not None
    assert report["samples"] == preview.sampled(seen)
    assert not (tmp_path / "output").exists()


def test_a_look_at_much_data_ends_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "GLANCE", 20_000)
    texts = write(tmp_path / "rows", [*rows(2000), {"messages": "no dialogue"}])
    seen = preview.look(chat_job(tmp_path, texts), tmp_path / "look")
    told = preview.lines_of(seen, live=True)
    assert 18_000 < seen.counts[0].bytes_read <= 20_000
    assert any("looked at: the first " in line for line in told)
    assert any(line.startswith("all of it     about ") for line in told)
    assert any("\x1b[2m" in line and "\x1b[1mIt is " in line for line in told)
    with pytest.raises(ConfigError, match="line 2001"):
        prepare(chat_job(tmp_path, texts), tmp_path / "data")


def test_too_little_data_is_refused_only_where_all_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("few words. " * 400)
    asked = job(tmp_path / "output", dataset={"name": f"file://{texts}", "maxBytes": None})
    with pytest.raises(ConfigError, match="too small"):
        preview.look(asked, tmp_path / "whole")
    (texts / "a.txt").write_text("few words. " * 40_000)
    monkeypatch.setattr(preview, "GLANCE", 2_000)
    assert any(
        "held out" in line for line in preview.lines_of(preview.look(asked, tmp_path / "part"), live=False)
    )


@pytest.mark.proof
def test_a_model_and_dialogues_in_claims_are_looked_at(tmp_path: Path) -> None:
    runs, path = tmp_path / "runs", tmp_path / "job.yaml"
    folder_of_llama(runs / "models" / "small")
    write(runs / "texts", rows())
    spec: dict[str, Any] = {
        "model": {"name": "pvc://models/small"},
        "task": "chat",
        "dataset": {"name": "pvc://texts/"},
        "training": {"maxSteps": 5, "sequenceLength": 64},
    }
    path.write_text(json.dumps(manifest(**spec)))
    before = sorted(runs.rglob("*"))
    done = command(str(path), "--data", "--runs", str(runs))
    assert done.returncode == 0, done.stderr
    assert "LlamaForCausalLM" in done.stdout
    assert "tokenizer     of the model: " in done.stdout
    assert "⟪<|user|>What is 0 plus 1?</s>⟫<|user|>It is 1.</s>" in done.stdout
    assert "\x1b" not in done.stdout, "a pipe gets no colours"
    assert sorted(runs.rglob("*")) == before

    write(runs / "texts", [*rows(3), {"messages": []}])
    done = command(str(path), "--data", "--runs", str(runs))
    assert done.returncode == 2
    assert "all.jsonl line 4" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

    long = spec | {"training": {"maxSteps": 5, "sequenceLength": 4096}}
    path.write_text(json.dumps(manifest(**long)))
    done = command(str(path), "--runs", str(runs))
    assert done.returncode == 2
    assert done.stderr.startswith(f"{path}: spec.training.sequenceLength: ")


def test_a_model_of_the_hub_is_looked_at_without_its_weights(tmp_path: Path) -> None:
    folder, path = folder_of_llama(tmp_path / "small"), tmp_path / "job.yaml"
    write(tmp_path / "runs" / "texts", rows())
    spec: dict[str, Any] = {
        "model": {"name": "owner/small"},
        "task": "chat",
        "dataset": {"name": "pvc://texts/"},
        "training": {"maxSteps": 5, "sequenceLength": 64},
    }
    path.write_text(json.dumps(manifest(**spec)))
    with hub() as made:
        made.repository("models/owner/small", {one.name: one.read_bytes() for one in folder.iterdir()})
        variables = {"HF_ENDPOINT": made.endpoint, "HF_HOME": str(tmp_path / "home")}
        done = command(str(path), "--data", "--runs", str(tmp_path / "runs"), **variables)
        assert done.returncode == 0, done.stderr
        assert "commit " in done.stdout
        assert "It is 1.</s>" in done.stdout
        whole = [one for one in made.asked if one.endswith("/model.safetensors")]
        assert whole == [], "of its weights the headers are read"
        done = command(
            str(path), "--runs", str(tmp_path / "runs"), **variables | {"HF_ENDPOINT": "http://127.0.0.1:9"}
        )
    assert done.returncode == 1
    assert "spec.model.name owner/small" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
