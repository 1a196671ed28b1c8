"""Training starts from a model in a folder: its weights, its tokenizer, its configuration in the export."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.builders import QUICK, job_file
from harness.ports import free_port
from harness.trainer.launches import Launch

from llmtrain_api import JobFile, parse_spec
from llmtrain_trainer.data.order import Order, Source
from llmtrain_trainer.data.store import INITIAL, read_marker

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    import transformers
    from harness.models.tiny import TEMPLATE, facts_of, folder_of_llama

    from llmtrain_trainer.data.base_tokenizer import open_tokenizer
    from llmtrain_trainer.data.loader import open_train
    from llmtrain_trainer.data.prepare import prepare


def job(base: Path, output: Path, **changes: Any) -> JobFile:
    """A job that starts from a folder."""
    sections = {name: {**QUICK.get(name, {}), **changes.get(name, {})} for name in ("training", "dataset")}
    sections["training"] = {"maxSteps": 6, "globalBatchSize": 4, "microBatchSize": 2} | sections["training"]
    asked = parse_spec(QUICK | {"model": {"name": f"file://{base}"}} | sections, strict=True)
    facts = facts_of(base)
    return job_file(asked, output, port=free_port(), shape=facts.shape, model=facts, base=str(base))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_llama(tmp_path_factory.mktemp("base") / "model", shard="20KB")


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Launch:
    work = tmp_path_factory.mktemp("trained")
    before = {path.name: path.read_bytes() for path in base.iterdir()}
    launch = Launch(work, job(base, work / "output"))
    assert launch.wait() == 0, launch.text()
    assert {path.name: path.read_bytes() for path in base.iterdir()} == before
    return launch


def test_the_first_loss_is_that_of_plain_transformers(trained: Launch, base: Path) -> None:
    marker = read_marker(trained.output.data)
    assert marker is not None
    metrics = [
        json.loads(line) for line in (trained.output.logs(0) / "metrics.jsonl").read_text().splitlines()
    ]
    first = next(line for line in metrics if line.get("step") == 1)
    spec = trained.job.spec
    rows = open_train(trained.output.data, marker)
    order = Order([Source(len(rows), 1)], spec.training.seed)
    chosen = [order.at(place)[0] for place in range(spec.training.global_batch_size)]
    ids = torch.from_numpy(np.stack([rows[at] for at in chosen]).astype(np.int64))
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(ids).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).double(), ids[:, 1:].flatten())
    assert first["loss"] == pytest.approx(float(loss), rel=1e-6)


def test_nothing_of_the_weights_is_copied_into_the_data(trained: Launch) -> None:
    assert not (trained.output.data / INITIAL).exists()
    assert not list(trained.output.data.rglob("*.safetensors"))


def test_the_export_is_the_base_with_other_weights(trained: Launch, base: Path) -> None:
    export = trained.output.export
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (export / name).read_bytes() == (base / name).read_bytes()
    assert json.loads((export / "config.json").read_text())["attention_dropout"] == 0.1
    generation = json.loads((base / "generation_config.json").read_text())
    assert json.loads((export / "generation_config.json").read_text()) == generation
    model = transformers.AutoModelForCausalLM.from_pretrained(export)
    start = transformers.AutoModelForCausalLM.from_pretrained(base)
    moved = [not torch.equal(a, b) for a, b in zip(model.parameters(), start.parameters(), strict=True)]
    assert all(moved)
    tokenizer = transformers.AutoTokenizer.from_pretrained(export)
    assert tokenizer.chat_template == TEMPLATE


def test_documents_are_encoded_as_the_model_was_taught(trained: Launch, base: Path) -> None:
    marker = read_marker(trained.output.data)
    assert marker is not None
    whole = transformers.AutoTokenizer.from_pretrained(base)
    assert marker.special.eos == whole.eos_token_id
    assert marker.special.before == (whole.bos_token_id,)
    rows = np.asarray(open_train(trained.output.data, marker)).ravel()
    ends = np.flatnonzero(rows[:-1] == whole.eos_token_id)
    assert len(ends)
    assert set(rows[ends + 1].tolist()) == {whole.bos_token_id}


def test_a_special_token_that_a_text_spells_is_text(base: Path) -> None:
    backend, tokens = open_tokenizer(base, "the model")
    ids = backend.encode("a</s><|user|>b", add_special_tokens=False).ids
    assert not {tokens.eos, backend.token_to_id("<|user|>")} & set(ids)


BROKEN: dict[str, tuple[Any, str]] = {
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "a torn tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), "its tokenizer cannot be read"),
    "weights of another model": (
        lambda f: shutil.copyfile(
            folder_of_llama(f.parent / "wide", intermediate_size=96) / "model.safetensors",
            f / "model.safetensors",
        ),
        r"has shape \[96, 32\], and config.json asks for \[64, 32\]",
    ),
}


@pytest.mark.parametrize(("breaks", "says"), BROKEN.values(), ids=BROKEN)
def test_a_model_that_is_not_whole_is_refused_before_training(tmp_path: Path, breaks: Any, says: str) -> None:
    folder = folder_of_llama(tmp_path / "model")
    asked = job(folder, tmp_path / "output")
    breaks(folder)
    with pytest.raises(Exception, match=says) as caught:
        prepare(asked, tmp_path / "data")
    assert type(caught.value).__name__ == "ConfigError"
    assert str(caught.value).startswith("spec.model.name file://")
