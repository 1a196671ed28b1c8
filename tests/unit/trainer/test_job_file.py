"""``job.json``: what a rank refuses to run."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.builders import job

from llmtrain_api import Layout, changed
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.models.families import STAGES, TRAINED
from llmtrain_trainer.training.rank import read_job


def written(folder: Path, layout: Layout) -> str:
    path = folder / "job.json"
    asked = changed(job(folder / "run"), layout=layout)
    path.write_text(asked.model_dump_json(by_alias=True))
    return str(path)


def test_a_layout_is_taken_as_it_was_decided(tmp_path: Path) -> None:
    """The spec alone would give ZeRO 0."""
    assert job(tmp_path / "run").layout.zero == 0
    told = Layout(data=2, zero=2, why="decided by another version")
    assert read_job(written(tmp_path, told)).layout == told


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (Layout(data=4), "layout dp4 zero1 is of 4 ranks, and the job has 2"),
        (Layout(), "layout dp1 zero1 is of 1 ranks, and the job has 2"),
        (Layout(pipeline=2, zero=3), "layout dp1 pp2 zero3: llama with pp"),
    ],
)
def test_a_layout_that_is_not_proven_or_not_of_this_gang_is_refused(
    tmp_path: Path, layout: Layout, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        read_job(written(tmp_path, layout))


@pytest.mark.parametrize("decided", ["layout", "shape"])
def test_a_job_file_without_what_was_decided_is_refused(decided: str, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(job(tmp_path / "run").model_dump_json(by_alias=True, exclude={decided}))
    with pytest.raises(ConfigError, match=decided):
        read_job(str(path))


def test_each_family_of_the_contract_can_be_trained() -> None:
    from llmtrain_api.families import BUILTIN

    assert TRAINED.keys() == {family.architecture for family in BUILTIN.values()}


def test_families_with_a_proven_pipeline_are_those_that_have_stages() -> None:
    from llmtrain_api.families import FAMILIES
    from llmtrain_api.layouts.proven import families

    cut = {name.partition(" ")[0].removesuffix("-tied") for name in families("pp")}
    assert cut == {family.name for family in FAMILIES.values() if family.model_type in STAGES}
    assert len(STAGES) == len(cut)
