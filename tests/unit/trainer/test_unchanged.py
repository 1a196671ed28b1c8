"""Weights that somebody changes after a job has looked at them are noticed, whatever their headers say."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import fsspec
import pytest
from harness.builders import job_file, least_spec, shape_of
from harness.models.raw import header, tensor, write

from llmtrain_api import JobFile, ModelFacts
from llmtrain_trainer.checkpoint.fence import Fence
from llmtrain_trainer.checkpoint.resume import Resume
from llmtrain_trainer.data.store import _base_of
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.launch.attempt import Attempt
from llmtrain_trainer.launch.before_training import look_again
from llmtrain_trainer.launch.stages import STAGES
from llmtrain_trainer.launch.torchrun import Stop
from llmtrain_trainer.models.headers import INDEX, LocalFiles, read_headers
from llmtrain_trainer.models.location import SCRATCH
from llmtrain_trainer.output import Output
from llmtrain_trainer.pretrained.fetch import fetch
from llmtrain_trainer.pretrained.remote import BucketFiles
from llmtrain_trainer.pretrained.unchanged import digest_of_files, require_unchanged
from llmtrain_trainer.storage.select import output_store_of
from llmtrain_trainer.storage.start_marker import Start

ONE = {"a": tensor(0, 16, [2, 2])}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tmp_path / "base"
    base.mkdir()
    for name in ("x.safetensors", "y.safetensors"):
        write(base / name, {name[0]: tensor(0, 16, [2, 2])}, 16)
    (base / INDEX).write_text(json.dumps({"weight_map": {"x": "x.safetensors", "y": "y.safetensors"}}))
    (base / "README.md").write_text("words")
    return base


def noted(base: Path) -> str | None:
    files = LocalFiles(base)
    return digest_of_files(files, read_headers(files))


def job_of(
    name: str,
    weights: str | None,
    base: Path | None = None,
    scratch: Path | None = None,
    adapter: dict[str, int] | None = None,
) -> JobFile:
    asked = least_spec(model={"name": name} | ({"adapter": adapter} if adapter else {}))
    facts = ModelFacts(shape=shape_of(least_spec()), digest="0" * 64, weights=weights)
    told = job_file(asked, shape=facts.shape, model=facts, base=str(base) if base else None)
    return told.model_copy(update={"scratch": str(scratch)}) if scratch else told


def other_numbers(base: Path) -> None:
    path = base / "y.safetensors"
    before = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    os.utime(path, ns=(before + 1, before + 1))


CHANGES: dict[str, Callable[[Path], object]] = {
    "other numbers": other_numbers,
    "another index": lambda base: (base / INDEX).write_text((base / INDEX).read_text() + " "),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_folder_that_was_changed_is_refused(folder: Path, change: Callable[[Path], object]) -> None:
    job = job_of(f"file://{folder}", noted(folder), folder)
    require_unchanged(job)
    (folder / "README.md").write_text("other words")
    require_unchanged(job)
    change(folder)
    with pytest.raises(ConfigError, match=r"spec.model.name file://.*: its weights were changed since"):
        require_unchanged(job)


def test_what_a_commit_names_and_what_an_older_operator_noted_is_not_asked(folder: Path) -> None:
    other_numbers(folder)
    require_unchanged(job_of(f"file://{folder}", None, folder))
    require_unchanged(job_file(least_spec()))


def test_adapters_over_weights_that_were_changed_have_another_base(folder: Path) -> None:
    facts = ModelFacts(shape=shape_of(least_spec()), digest="0" * 64, weights=noted(folder))
    other_numbers(folder)
    changed = facts.model_copy(update={"weights": noted(folder)})
    assert _base_of(facts) != _base_of(changed)
    assert _base_of(facts.model_copy(update={"weights": None})) == facts.digest


def test_a_bucket_that_changes_between_two_looks_is_refused(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    for name, content in (("config.json", b"{}"), ("model.safetensors", header(ONE) + bytes(16))):
        store.pipe_file(f"/bucket/mine/{name}", content)
    url = "memory://bucket/mine"
    first = BucketFiles(url, url)
    weights = digest_of_files(first, read_headers(first))
    assert weights is not None
    asked = job_of("s3://bucket/mine", weights, scratch=tmp_path)
    with pytest.raises(ConfigError, match="were changed"):  # nothing is here yet
        require_unchanged(asked)
    fetch(BucketFiles(url, url), tmp_path / SCRATCH)
    require_unchanged(asked)
    store.pipe_file("/bucket/mine/model.safetensors", header(ONE) + b"x" * 16)
    fetch(BucketFiles(url, url), tmp_path / "later" / SCRATCH)
    with pytest.raises(ConfigError, match="put the files back as they were"):
        require_unchanged(job_of("s3://bucket/mine", weights, scratch=tmp_path / "later"))


@pytest.mark.parametrize(
    ("resumed", "adapter", "asked"), [(False, None, True), (True, None, False), (True, {"rank": 4}, True)]
)
def test_the_launcher_asks_where_the_weights_are_about_to_be_read(
    folder: Path, resumed: bool, adapter: dict[str, int] | None, asked: bool
) -> None:
    names = [stage.name for stage in STAGES]
    assert names.index("fetch") < names.index("look again") < names.index("train")
    noted_before = noted(folder)
    other_numbers(folder)
    job = job_of(f"file://{folder}", noted_before, folder, adapter=adapter)
    fence = Fence(Output(folder), job.job.uid, 0, "pod")
    start = Start(fence, Resume(5, job.layout) if resumed else None, {})
    attempt = Attempt(job, "job.json", 0, output_store_of(job), Stop(), start=start)
    with pytest.raises(ConfigError, match="were changed") if asked else nullcontext():
        look_again(attempt)
