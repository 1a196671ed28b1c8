"""What the folder of a built-in model says of its tokens, and of how text is written with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers

from llmtrain_api import Task
from llmtrain_trainer.data.tokenizer import train_bpe
from llmtrain_trainer.export.folder import GENERATION, say_of_ours
from llmtrain_trainer.special_tokens import OURS, special_names


@pytest.mark.parametrize("task", [Task.CHAT, Task.IMAGE_CHAT, Task.PREFERENCE, Task.REINFORCEMENT])
def test_an_answer_ends_with_its_message(task: Task, tmp_path: Path) -> None:
    (tmp_path / GENERATION).write_text(json.dumps({"eos_token_id": 0, "use_cache": False, "bos_token_id": 0}))
    say_of_ours(tmp_path, task)
    told = json.loads((tmp_path / GENERATION).read_text())
    assert told == {"eos_token_id": [0, 2], "use_cache": True, "bos_token_id": 0}
    assert ["<|endoftext|>", *special_names(task)][2] == "<|im_end|>"


@pytest.mark.parametrize("task", [Task.CAUSAL, Task.TEXT2TEXT])
def test_a_text_ends_with_its_document(task: Task, tmp_path: Path) -> None:
    (tmp_path / GENERATION).write_text(json.dumps({"eos_token_id": 0, "use_cache": False}))
    say_of_ours(tmp_path, task)
    assert json.loads((tmp_path / GENERATION).read_text()) == {"eos_token_id": 0, "use_cache": True}


def test_the_token_that_hides_a_word_is_named(tmp_path: Path) -> None:
    trained = train_bpe(
        ["words that are here, and words that are there"] * 9, 300, special_names(Task.MASKED)
    )
    whole = transformers.PreTrainedTokenizerFast(tokenizer_object=trained, eos_token="<|endoftext|>")
    whole.save_pretrained(tmp_path)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).mask_token is None
    say_of_ours(tmp_path, Task.MASKED)
    told = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert told.mask_token_id == OURS.mask
    assert told(f"that {told.mask_token} are")["input_ids"].count(OURS.mask) == 1


def test_a_model_that_writes_nothing_gets_no_file(tmp_path: Path) -> None:
    say_of_ours(tmp_path, Task.CLASSIFICATION)
    assert not (tmp_path / GENERATION).exists()
