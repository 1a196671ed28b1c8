"""``try``: what happens before anything is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmtrain_api import JobFile
from llmtrain_trainer import launcher, local

MANIFEST = """
apiVersion: llmtrain.dev/v1alpha1
kind: LLMTrainingJob
metadata: {name: mine}
spec:
  model: {name: builtin://tiny-llama}
  dataset: {name: pvc://texts/books}
  nodes: 4
  output: {uri: pvc://checkpoints/mine, ifExists: IF_EXISTS}
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[JobFile]:
    """Jobs that would have been launched."""
    jobs: list[JobFile] = []

    def launch(path: str, *, human: bool) -> int:
        assert human
        jobs.append(JobFile.model_validate_json(Path(path).read_text()))
        return 75

    monkeypatch.setattr(launcher, "launch", launch)
    monkeypatch.chdir(tmp_path)
    return jobs


def manifest(tmp_path: Path, if_exists: str = "fail") -> str:
    path = tmp_path / "job.yaml"
    path.write_text(MANIFEST.replace("IF_EXISTS", if_exists))
    return str(path)


def test_every_mistake_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(manifest(tmp_path))
    path.write_text(
        path.read_text().replace("tiny-llama", "huge").replace("nodes", "nodez").replace("pvc://c", "s3://c")
    )
    assert local.run(str(path), None, None) == 2
    said = capsys.readouterr().err
    assert all(field in said for field in ("spec.model.name", "spec.nodez", "spec.output.uri"))


def test_four_nodes_become_two_processes_of_one(started: list[JobFile], tmp_path: Path) -> None:
    assert local.run(manifest(tmp_path), None, None) == 75
    [job] = started
    assert (job.spec.nodes, job.spec.processes_per_node, job.spec.world_size) == (1, 2, 2)
    assert job.output == str(tmp_path / "runs" / "checkpoints" / "mine")
    assert job.dataset == str(tmp_path / "runs" / "texts" / "books")
    assert job.report is None


def test_an_interrupted_run_is_the_same_job_again(started: list[JobFile], tmp_path: Path) -> None:
    for _ in range(3):
        local.run(manifest(tmp_path), None, None)
    assert len({job.job.uid for job in started}) == 1
    assert [job.attempt for job in started] == [0, 1, 2]


@pytest.mark.parametrize(("if_exists", "jobs"), [("fail", 1), ("new", 2), ("resume", 2)])
def test_a_finished_run_follows_if_exists(
    started: list[JobFile], tmp_path: Path, if_exists: str, jobs: int
) -> None:
    path = manifest(tmp_path, if_exists)
    local.run(path, None, None)
    complete = Path(started[0].output) / "COMPLETE"
    complete.write_text(json.dumps({"jobUid": started[0].job.uid}))
    local.run(path, None, None)
    assert len({job.job.uid for job in started}) == jobs
    assert started[1].attempt == 0
