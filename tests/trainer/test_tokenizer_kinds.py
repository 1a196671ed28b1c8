"""A job whose tokenizer is not the default one, from text to a folder that anybody opens."""

from __future__ import annotations

import json
from pathlib import Path

import transformers
from harness.builders import job
from harness.trainer.launches import Launch

from llmtrain_trainer.special_tokens import EOS

TEXT = "The river counts lamps, and {number} clerks weigh the bridge über Nacht. "


def test_a_job_trains_with_word_pieces_and_its_export_cuts_text_so(tmp_path: Path) -> None:
    rows = [{"text": TEXT.replace("{number}", str(number)) * 20} for number in range(120)]
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = job(
        tmp_path / "output",
        model={"vocabSize": 700, "tokenizerKind": "wordPiece"},
        dataset={"name": f"file://{tmp_path / 'rows'}", "maxBytes": None},
        training={"maxSteps": 4},
    )
    launch = Launch(tmp_path, asked)
    assert launch.wait() == 0, launch.text()
    folder = tmp_path / "output" / "export"
    assert json.loads((folder / "tokenizer.json").read_text())["model"]["type"] == "WordPiece"
    read = transformers.AutoTokenizer.from_pretrained(folder)
    text = "## a [UNK] \u4f60\u597d, \U0001f937 counts the  lamps\n\x00"
    ids = read(text)["input_ids"]
    assert read.convert_tokens_to_ids(EOS) not in ids
    assert read.decode(ids) == text
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.vocab_size == 700
