"""From which checkpoint an attempt goes on, and what is said about it: real files, no torch."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job_file, least_spec
from pydantic import ValidationError

from llmtrain_api import JobFile, Layout
from llmtrain_trainer.checkpoint.fence import Fence
from llmtrain_trainer.checkpoint.manifest import (
    MANIFEST,
    Manifest,
    Metrics,
    StepFacts,
    broken,
    read_manifest,
)
from llmtrain_trainer.checkpoint.resume import Resume, choose
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.files import inventory, write_json
from llmtrain_trainer.output import Output
from llmtrain_trainer.records import StartRecord
from llmtrain_trainer.storage.start_marker import Start

OURS, ANOTHERS = "aaaaaaaa-1", "bbbbbbbb-2"
FOUR, TWO = Layout(data=4), Layout(data=2)
PRINTS = {"seed": 0, "precision": "fp32"}


def job(resume_from: str = "state") -> JobFile:
    output = {"uri": "pvc://claim/run", "ifExists": "resume"}
    asked = least_spec(output=output, checkpoint={"resumeFrom": resume_from}, processesPerNode=2)
    return job_file(asked, attempt=1, uid=OURS, layout=TWO)


def saved(root: Path, step: int, *, uid: str = OURS, **changes: Any) -> Output:
    output = Output(root)
    folder = output.step(step)
    folder.mkdir(parents=True)
    (folder / "file").write_text("weights")
    manifest = {
        "step": step,
        "jobUid": uid,
        "layout": asdict(FOUR),
        "fingerprints": PRINTS,
        "files": inventory(folder),
    }
    write_json(folder / MANIFEST, manifest | changes)
    return output


def chosen(output: Output, resume_from: str = "state", **prints: Any) -> Resume | None:
    return choose(output, job(resume_from), PRINTS | prints, lambda *_: None)


def test_another_layout_is_resumed_and_told(tmp_path: Path) -> None:
    found = chosen(saved(tmp_path, 5))
    assert found == Resume(5, FOUR)
    assert found.as_saved(FOUR)
    assert not found.as_saved(TWO)
    assert (found.note(FOUR), found.note(TWO)) == ("", "from layout dp4 zero1 to dp2 zero1")


def test_a_torn_checkpoint_is_passed_over_and_told(tmp_path: Path) -> None:
    saved(tmp_path, 5)
    output = saved(tmp_path, 10)
    (output.step(10) / "file").write_text("weigh")
    torn: list[int] = []
    found = choose(output, job(), PRINTS, lambda step, _reason: torn.append(step))
    assert (found, torn) == (Resume(5, FOUR), [10])
    fence = Fence(output, "uid", 1, "pod")
    told = Start(fence, found, PRINTS, tuple(torn))
    assert told.note(FOUR) == "passed over the torn checkpoint of step 10"
    assert told.note(TWO).startswith("from layout dp4 zero1 to dp2 zero1; passed over")
    nothing = Start(fence, None, PRINTS, (10, 5))
    assert nothing.note(FOUR).endswith("of step 10, 5, and there is no other: training begins anew")
    said = StartRecord.model_validate_json(json.dumps(told.record.to_json()))
    assert Start.of(fence, said) == told
    assert Start(fence, None, PRINTS).note(FOUR) == ""


def test_only_weights_are_taken_from_another_jobs_checkpoint_when_asked(tmp_path: Path) -> None:
    output = saved(tmp_path, 5, uid=ANOTHERS)
    assert chosen(output) == Resume(5, FOUR)
    found = chosen(output, "weights", precision="bf16")
    assert found == Resume(5, FOUR, weights_only=True)
    assert not found.as_saved(FOUR), "DeepSpeed's own load would bring the optimizer's state too"
    assert found.note(FOUR) == "weights only, the optimizer starts anew"
    with pytest.raises(ConfigError, match="precision: fp32 in the checkpoint, bf16 in this job"):
        chosen(output, precision="bf16")
    with pytest.raises(ConfigError, match="seed: 0 in the checkpoint, 1 in this job"):
        chosen(output, "weights", seed=1)


def test_a_jobs_own_checkpoint_is_always_resumed_in_full(tmp_path: Path) -> None:
    """Or each restart would throw the optimizer's state away again."""
    assert chosen(saved(tmp_path, 5), "weights") == Resume(5, FOUR)


@pytest.mark.parametrize("layout", [None, {"data": 2, "expert": 2}])
def test_a_manifest_without_a_layout_that_is_known_is_refused(tmp_path: Path, layout: Any) -> None:
    with pytest.raises(ConfigError, match=r"step 5 cannot be resumed: its .* tells no layout"):
        chosen(saved(tmp_path, 5, layout=layout))


def test_nothing_there_is_a_fresh_start(tmp_path: Path) -> None:
    assert chosen(Output(tmp_path)) is None


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "state/../../x"])
def test_a_manifest_that_lists_a_file_outside_of_its_folder_is_no_manifest(tmp_path: Path, name: str) -> None:
    output = saved(tmp_path, 5)
    entry = {"size": 1, "sha256": "00"}
    write_json(output.step(5) / MANIFEST, {"step": 5, "files": {name: entry}})
    assert broken(output.step(5)) == f"no readable {MANIFEST}"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    """Also what JSON has no number for, and a fingerprint that is null."""
    facts = StepFacts(step=7, consumed_samples=56, metrics=Metrics(train_loss=2.5), run_state={"a": [1]})
    manifest = Manifest(**dict(facts), job_uid=OURS, layout=asdict(FOUR), fingerprints={"mixture": None})
    write_json(tmp_path / MANIFEST, manifest.to_json())
    assert read_manifest(tmp_path) == manifest
    with pytest.raises(ValidationError):
        Metrics(train_loss=math.nan)
