"""What the folder of a built-in model says of how text is written with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmtrain_api import Task
from llmtrain_trainer.export.folder import GENERATION, finish_generation
from llmtrain_trainer.special_tokens import special_names


@pytest.mark.parametrize("task", [Task.CHAT, Task.IMAGE_CHAT, Task.PREFERENCE, Task.REINFORCEMENT])
def test_an_answer_ends_with_its_message(task: Task, tmp_path: Path) -> None:
    (tmp_path / GENERATION).write_text(json.dumps({"eos_token_id": 0, "use_cache": False, "bos_token_id": 0}))
    finish_generation(tmp_path, task)
    told = json.loads((tmp_path / GENERATION).read_text())
    assert told == {"eos_token_id": [0, 2], "use_cache": True, "bos_token_id": 0}
    assert ["<|endoftext|>", *special_names(task)][2] == "<|im_end|>"


@pytest.mark.parametrize("task", [Task.CAUSAL, Task.TEXT2TEXT])
def test_a_text_ends_with_its_document(task: Task, tmp_path: Path) -> None:
    (tmp_path / GENERATION).write_text(json.dumps({"eos_token_id": 0, "use_cache": False}))
    finish_generation(tmp_path, task)
    assert json.loads((tmp_path / GENERATION).read_text()) == {"eos_token_id": 0, "use_cache": True}


def test_a_model_that_writes_nothing_gets_no_file(tmp_path: Path) -> None:
    finish_generation(tmp_path, Task.CLASSIFICATION)
    assert not (tmp_path / GENERATION).exists()
