"""A BART of a folder, from its files to an export that writes what it learnt in plain transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from harness.catalogues import made_up
from harness.models.tiny import VOCABULARY, write_tokenizer
from harness.pairs import write
from harness.trainer.laptop import LaptopRun
from safetensors.torch import load_file, save_file
from tokenizers import processors

from llmtrain_api import Task
from llmtrain_trainer.data.sources import is_held_out
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.models.start import start_weights

FRACTION, COUNT = 0.1, 16
APART, TRAINED = (
    [pair for pair in made_up() if is_held_out(json.dumps(pair, ensure_ascii=False), FRACTION) is apart]
    for apart in (True, False)
)
PAIRS = [{"source": source, "target": target} for source, target in TRAINED[::4][:COUNT]]
BIAS, SHARED = "final_logits_bias", "shared.weight"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With dropout, and begun by the token that all of its kind begin with, which its file does not say."""
    folder = tmp_path_factory.mktemp("base") / "bart"
    words = write_tokenizer(folder)
    begin, end = words.bos_token_id, words.eos_token_id
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", begin), ("</s>", end)]
    )
    words.save_pretrained(folder)
    torch.manual_seed(3)
    config = transformers.BartConfig(
        vocab_size=VOCABULARY,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_position_embeddings=64,
        attention_dropout=0.1,
        decoder_layerdrop=0.1,
        bos_token_id=begin,
        eos_token_id=end,
        pad_token_id=words.pad_token_id,
        forced_eos_token_id=end,
    )
    transformers.BartForConditionalGeneration(config).save_pretrained(folder)
    assert BIAS in load_file(folder / "model.safetensors")
    told = json.loads((folder / "config.json").read_text())
    told.pop("decoder_start_token_id")
    (folder / "config.json").write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> LaptopRun:
    work = tmp_path_factory.mktemp("trained")
    source, target = APART[0]
    write(work / "data" / "pairs", [*PAIRS, {"source": source, "target": target}])
    spec = {
        "model": {"name": f"file://{base}"},
        "task": "text2text",
        "dataset": {"name": "pvc://data/pairs", "heldOutFraction": FRACTION},
        "processesPerNode": 2,
        "training": {
            "maxSteps": 120,
            "learningRate": 4e-3,
            "sequenceLength": 48,
            "globalBatchSize": len(PAIRS),
            "microBatchSize": 8,
            "zeroStage": 3,
        },
        "output": {"uri": "pvc://checkpoints/tiny"},
    }
    run = LaptopRun(work, seconds=400)
    run.ask(spec)
    run.to_the_end()
    assert run.codes == [0], run.text()
    return run


def opened(folder: Path) -> tuple[Any, Any]:
    model = transformers.BartForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def test_the_first_loss_is_that_of_plain_transformers(trained: LaptopRun, base: Path) -> None:
    model, tokenizer = opened(base)
    total, count = 0.0, 0
    for pair in PAIRS:
        ids = tokenizer(pair["source"], return_tensors="pt").input_ids
        labels = tokenizer(pair["target"], return_tensors="pt").input_ids
        total += float(model(input_ids=ids, labels=labels).loss) * labels.numel()
        count += labels.numel()
    lines = (trained.output.logs(0) / "metrics.jsonl").read_text().splitlines()
    first = next(line for line in map(json.loads, lines) if line.get("step") == 1)
    assert first["loss"] == pytest.approx(total / count, rel=1e-5)


@torch.no_grad()
def test_the_export_writes_what_it_learnt(trained: LaptopRun, base: Path) -> None:
    model, tokenizer = opened(trained.output.export)
    inputs = tokenizer([pair["source"] for pair in PAIRS], padding=True, return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=48, do_sample=False)
    # what it begins with is a token of text in this tokenizer
    written = tokenizer.batch_decode(ids[:, 1:], skip_special_tokens=True)
    right = [one.strip() == pair["target"] for one, pair in zip(written, PAIRS, strict=True)]
    assert sum(right) >= len(right) - 1, written
    kept = json.loads((trained.output.export / "config.json").read_text())
    assert kept["decoder_layerdrop"] == 0.1
    assert not model.final_logits_bias.any()
    assert json.loads((base / "config.json").read_text()).items() <= kept.items()


def test_a_bias_that_would_be_lost_is_told(base: Path, tmp_path: Path) -> None:
    weights = load_file(base / "model.safetensors")
    (tmp_path / "config.json").write_bytes((base / "config.json").read_bytes())
    save_file(weights, tmp_path / "model.safetensors")
    start_weights(tmp_path, Task.TEXT2TEXT, 0)
    weights[BIAS][0, 5] = 0.5
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match=f"its {BIAS} is not zero everywhere"):
        start_weights(tmp_path, Task.TEXT2TEXT, 0)


def test_files_of_the_model_without_its_head_are_read(base: Path, tmp_path: Path) -> None:
    """As the first ones were published: without what is shared, or with each copy of it."""
    model = transformers.BartModel.from_pretrained(base)
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    for copies in ((), ("encoder", "decoder")):
        save_file(weights | {f"{side}.embed_tokens.weight": weights[SHARED].clone() for side in copies}, path)
        found = start_weights(tmp_path, Task.TEXT2TEXT, 0)
        assert torch.equal(found.read(f"model.{SHARED}", tuple(weights[SHARED].shape)), weights[SHARED])


@pytest.fixture(scope="module")
def infilled(base: Path, tmp_path_factory: pytest.TempPathFactory) -> LaptopRun:
    work = tmp_path_factory.mktemp("infilled")
    rows = [{"text": source} for source, _ in made_up()]
    (work / "data" / "texts").mkdir(parents=True)
    (work / "data" / "texts" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = LaptopRun(work, seconds=400)
    run.ask(
        {
            "model": {"name": f"file://{base}"},
            "dataset": {"name": "pvc://data/texts", "heldOutFraction": FRACTION},
            "processesPerNode": 2,
            "training": {
                "maxSteps": 60,
                "learningRate": 4e-3,
                "sequenceLength": 32,
                "globalBatchSize": 16,
                "microBatchSize": 8,
                "zeroStage": 2,
            },
            "output": {"uri": "pvc://checkpoints/tiny"},
        }
    )
    run.to_the_end()
    assert run.codes == [0], run.text()
    return run


def test_of_text_it_learns_to_write_what_masks_stand_for(infilled: LaptopRun) -> None:
    lines = (infilled.output.logs(0) / "metrics.jsonl").read_text().splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
    assert losses[-1] < 0.8 * losses[0]
    rows = next(infilled.output.root.rglob("heldout.npy"))
    asked = [sys.executable, "-m", "llmtrain_trainer", "evaluate", str(infilled.output.export), str(rows)]
    done = subprocess.run([*asked, "--task", "seq2seq"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    results = json.loads(infilled.output.results.read_text())
    assert told["loss"] == pytest.approx(results["evalLoss"], rel=1e-5)
    # it writes whole rows, of which whoever copies what is shown must know the hidden ones
    assert told["tokens"] == np.load(rows).size
    marker = json.loads((rows.parent / "data.json").read_text())
    assert marker["tokens"]["start"] == transformers.BartConfig().decoder_start_token_id
    opened(infilled.output.export)
    assert '"The <mask> is here."' in (infilled.output.export / "README.md").read_text()
