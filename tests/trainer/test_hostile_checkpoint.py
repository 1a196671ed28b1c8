"""A checkpoint that another left, with a valid manifest and a pickle that runs a command: nothing runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.trainer.launches import Launch

from llmtrain_trainer.checkpoint.manifest import MANIFEST
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.files import entry_of, read_json, write_json
from llmtrain_trainer.models.headers import INDEX
from llmtrain_trainer.models.source import Source

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    from deepspeed.runtime.zero.config import ZeroStageEnum

    from llmtrain_trainer.checkpoint.unpickle import load_state

MODEL, OPTIMIZER = "mp_rank_00_model_states.pt", "zero_pp_rank_1_mp_rank_00_optim_states.pt"
STRANGER = "99999999-bbbb-4ccc-8ddd-000000000000"
LAST = 4
pytestmark = pytest.mark.timeout(600)


class Attribute:
    """Pickled as a call of ``getattr``, as Python before 3.11.4 pickles a member of an enumeration."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name = owner, name

    def __reduce__(self) -> tuple[Any, tuple[Any, str]]:
        return getattr, (self.owner, self.name)


class Command:
    """Unpickled by `torch.load` without limits, it runs a shell command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of another job of two ranks, which ended well."""
    work = tmp_path_factory.mktemp("stranger")
    asked = job(work / "output", uid=STRANGER, name="strangers", training={"maxSteps": LAST, "zeroStage": 1})
    launch = Launch(work, asked)
    try:
        assert launch.wait() == 0, launch.text()
    finally:
        launch.end()
    return work


def plant(step: Path, name: str, command: str) -> None:
    """Put a command into one file of a checkpoint, and make the manifest fit."""
    path = step / "state" / name
    state = torch.load(path, weights_only=False)
    state["more"] = Command(command)
    torch.save(state, path)
    manifest = read_json(step / MANIFEST)
    assert manifest is not None
    manifest["files"][f"state/{name}"] = entry_of(path)
    write_json(step / MANIFEST, manifest)


WAYS = {
    "the same layout, the model's file": (MODEL, 2, "state"),
    "the same layout, the optimizer's file": (OPTIMIZER, 2, "state"),
    "another layout, the model's file": (MODEL, 1, "state"),
    "another layout, the optimizer's file": (OPTIMIZER, 1, "state"),
    "weights only": (OPTIMIZER, 2, "weights"),
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_a_checkpoint_names_is_run(strangers: Path, tmp_path: Path, way: str) -> None:
    name, processes, resume_from = WAYS[way]
    work = shutil.copytree(strangers, tmp_path / "copy")
    ran = work / "it-ran"
    plant(work / "output" / "checkpoints" / f"step-{LAST}", name, f"touch {ran}")
    asked = job(
        work / "output",
        processesPerNode=processes,
        training={"maxSteps": 2 * LAST, "zeroStage": 1},
        checkpoint={"resumeFrom": resume_from},
        output={"uri": "pvc://claim/run", "ifExists": "resume"},
    )
    launch = Launch(work, asked)
    try:
        assert launch.wait() == 78, launch.text()
        message = launch.message()
    finally:
        launch.end()
    assert not ran.exists()
    assert message["failureClass"] == "ConfigError"
    assert name in message["message"]
    assert "system" in message["message"]


def test_what_is_no_file_of_torchs_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / MODEL
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError, match=f"{MODEL} is not loaded"):
        load_state(path)


@pytest.mark.parametrize("old", [True, False], ids=["torch's old format", "torch's format"])
@pytest.mark.parametrize("mapped", [True, False])
def test_a_command_in_either_format_is_named_and_not_run(tmp_path: Path, old: bool, mapped: bool) -> None:
    path, ran = tmp_path / MODEL, tmp_path / "it-ran"
    state = {"module": torch.zeros(2), "more": Command(f"touch {ran}")}
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(ConfigError, match=f"{MODEL} is not loaded"):
        load_state(path, mapped=mapped)
    assert not ran.exists()


@pytest.mark.parametrize("member", ZeroStageEnum)
def test_a_checkpoint_of_any_python_is_read(tmp_path: Path, member: ZeroStageEnum) -> None:
    path = tmp_path / OPTIMIZER
    torch.save({"stage": Attribute(ZeroStageEnum, member.name), "same": member}, path)
    assert load_state(path) == {"stage": member, "same": member}


@pytest.mark.parametrize("name", ["mro", "__subclasses__", "__class__", "_member_map_"])
def test_no_other_attribute_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / OPTIMIZER
    torch.save({"stage": Attribute(ZeroStageEnum, name)}, path)
    with pytest.raises(ConfigError, match=re.escape(f"getattr, here of {name!r}")):
        load_state(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../other.safetensors", "a/../../b", ""])
def test_an_index_of_weights_names_no_file_outside_of_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"lm_head.weight": name}}))
    with pytest.raises(ConfigError, match="no file inside of the folder"):
        Source(tmp_path)
