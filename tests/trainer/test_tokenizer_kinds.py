"""A job whose tokenizer is not the default one, from text to a folder that anybody opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from harness.builders import job
from harness.trainer.launches import Launch

from llmtrain_trainer.special_tokens import EOS

TEXT = "The river counts lamps, and {number} clerks weigh the bridge über Nacht. "


@pytest.mark.parametrize(
    ("kind", "model", "family", "opened"),
    [
        ("wordPiece", "WordPiece", "llama", transformers.AutoModelForCausalLM),
        ("unigram", "Unigram", "t5", transformers.AutoModelForSeq2SeqLM),
    ],
)
def test_a_job_trains_with_other_pieces_and_its_export_cuts_text_so(
    tmp_path: Path, kind: str, model: str, family: str, opened: Any
) -> None:
    rows = [{"text": TEXT.replace("{number}", str(number)) * 20} for number in range(120)]
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = job(
        tmp_path / "output",
        model={
            "name": f"builtin://tiny-{family}",
            "vocabSize": 700,
            "tokenizerKind": kind,
            "numKvHeads": None,
        },
        dataset={"name": f"file://{tmp_path / 'rows'}", "maxBytes": None},
        training={"maxSteps": 4},
    )
    launch = Launch(tmp_path, asked)
    assert launch.wait() == 0, launch.text()
    folder = tmp_path / "output" / "export"
    assert json.loads((folder / "tokenizer.json").read_text())["model"]["type"] == model
    read = transformers.AutoTokenizer.from_pretrained(folder)
    text = "## a [UNK] \u4f60\u597d, \U0001f937 counts the  lamps\n\x00"
    ids = read(text)["input_ids"]
    assert read.convert_tokens_to_ids(EOS) not in ids
    assert read.decode(ids) == text
    trained = opened.from_pretrained(folder)
    assert trained.config.vocab_size == 700
