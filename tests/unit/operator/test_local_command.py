"""What `llmtrain run` decides before anything is started."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from harness.jobs import T0, UID, job, manifest, seen

from llmtrain.cli.app import main
from llmtrain_api import (
    Attempt,
    Checkpoint,
    Failure,
    FailureClass,
    Job,
    JobStatus,
    Phase,
    Restarts,
    Workers,
    parse_manifest,
)
from llmtrain_api.names import EXIT_INTERRUPTED
from llmtrain_operator.local.command import decide, fitted
from llmtrain_operator.local.console_text import suspended
from llmtrain_operator.local.manifest_file import Refused
from llmtrain_operator.local.runner import RunPlan, interrupted
from llmtrain_operator.local.saved_jobs import Busy, JobFolder, SavedApi, output_folder, owned, saved_by_name
from llmtrain_operator.local.scale_down import GangOverrides, describe_changes, not_told, scaled_down
from llmtrain_operator.plan import plan


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command sets logging for its process, into a file that it closes: other tests would write there."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_gang_is_made_to_fit() -> None:
    assert fit_of({"nodes": 4}) == (2, 0, 1)
    assert fit_of({"nodes": 2}, GangOverrides(3, 2)) == (3, 0, 2)
    assert fit_of({"nodes": 1, "processesPerNode": 8}) == (1, 0, 2)
    assert fit_of({"nodes": 2, "gpusPerNode": 8, "resources": {"memory": "32Gi"}}) == (2, 0, 1), "no GPU here"
    assert fit_of({"nodes": 2, "gpusPerNode": 8, "resources": {"memory": "32Gi"}}, have=4) == (1, 4, 4)
    assert fit_of(
        {"nodes": 2, "gpusPerNode": 8, "resources": {"memory": "32Gi"}}, GangOverrides(nodes=2), have=4
    ) == (2, 2, 2)
    assert fit_of({"nodes": 2}, have=4) == (2, 0, 1), "who asks for no GPU gets none"


def fit_of(
    spec: dict[str, Any], overrides: GangOverrides | None = None, have: int = 0
) -> tuple[int, int, int]:
    document = manifest()
    document["spec"] |= spec | {"training": {"globalBatchSize": 16}}
    found = scaled_down(document, parse_manifest(document)[1], have, overrides or GangOverrides())
    parsed = parse_manifest(found)[1]
    return parsed.nodes, parsed.gpus_per_node, parsed.local_world_size


def test_devices_have_no_names_of_nodes_here() -> None:
    devices = {"gpuResource": "amd.com/gpu", "rdma": {"resource": "rdma/hca"}}
    document = manifest(gpusPerNode=1, resources=devices)
    found = scaled_down(document, parse_manifest(document)[1], 1, GangOverrides())
    assert parse_manifest(found)[1].resources.gpu_resource == "nvidia.com/gpu"
    assert parse_manifest(found)[1].resources.rdma is None


def test_a_receiver_in_a_secret_is_not_told_here_and_that_is_said() -> None:
    receivers = [{"url": "https://a.test/"}, {"urlSecret": {"name": "slack"}}]
    document = manifest(notify=receivers)
    asked = parse_manifest(document)[1]
    found = scaled_down(document, asked, 0, GangOverrides())
    assert found["spec"]["notify"] == receivers[:1]
    assert "spec.notify[1] is not told" in not_told(asked)
    assert not_told(parse_manifest(found)[1]) == ""


def test_what_was_changed_is_one_line() -> None:
    four, two = (parse_manifest(manifest(nodes=n))[1] for n in (4, 2))
    assert describe_changes(four, two) == (
        "this machine: 2 nodes x 1 CPU process instead of 4 nodes x 1 CPU process; the global batch stays 16"
    )
    assert describe_changes(two, two) == ""


def test_every_mistake_is_printed_with_its_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.yaml"
    broken = manifest(nodez=1, output={"uri": "s3://x"}, model={"name": "huge"})
    path.write_text(json.dumps(broken))
    assert main(["run", str(path), "--runs", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert all(field in told for field in ("spec.model.name", "spec.nodez", "spec.output.uri"))
    assert main(["run", str(tmp_path / "none.yaml"), "--runs", str(tmp_path)]) == 2
    path.write_text(json.dumps(manifest(training={"globalBatchSize": 2, "microBatchSize": 1})))
    assert main(["run", str(path), "--runs", str(tmp_path), "--nodes", "3"]) == 2
    assert "globalBatchSize" in capsys.readouterr().err


def test_an_object_store_is_refused_where_folders_are_shared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(manifest(output={"uri": "s3://models/run"})))
    assert main(["run", str(path), "--runs", str(tmp_path)]) == 2
    assert "spec.output.uri" in capsys.readouterr().err


def test_a_second_runner_of_one_job_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(manifest()))
    with JobFolder(tmp_path, "default", "tiny").locked(), JobFolder(tmp_path, "default", "other").locked():
        with pytest.raises(Busy), JobFolder(tmp_path, "default", "tiny").locked():
            pass
        assert main(["run", str(path), "--runs", str(tmp_path)]) == 2
    assert f"another process runs this job (pid {os.getpid()})" in capsys.readouterr().err


def status(phase: Phase, **changes: Any) -> JobStatus:
    return JobStatus(
        phase=phase,
        attempt=1,
        restarts=Restarts(total=4, application=4),
        workers=Workers(desired=2, ready=0, summary="0/2"),
        checkpoint=Checkpoint(step=50),
        attempts=[Attempt(number=n, started_at=T0, created_at=T0) for n in (0, 1)],
    ).model_copy(update=changes)


class Earlier:
    """A job that this program has run before."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder
        self.folder = JobFolder(folder, "default", "tiny")
        self.output = output_folder("pvc://checkpoints/tiny", folder)
        (folder / ".llmtrain").mkdir()

    def left(self, found: JobStatus, **spec: Any) -> None:
        body = manifest(**spec)
        body["metadata"] |= {"uid": UID, "generation": 1, "resourceVersion": "9"}
        self.folder.save(body | {"status": found.to_json()}, str(self.output))
        self.output.mkdir(parents=True)
        (self.output / "OWNER").write_text(json.dumps({"jobUid": UID}))

    def again(self, **spec: Any) -> RunPlan | None:
        return decide(self.folder.load(), manifest(**spec), self.runs, self.output)


@pytest.fixture
def earlier(tmp_path: Path) -> Earlier:
    return Earlier(tmp_path)


def test_a_job_that_was_stopped_goes_on_as_it_was(earlier: Earlier) -> None:
    earlier.left(status(Phase.RUNNING))
    work = earlier.again()
    assert work is not None
    assert work.goes_on
    found = Job.model_validate(work.job)
    assert (found.metadata.uid, found.status.attempt) == (UID, 1)
    assert interrupted(found) == 1
    assert "step 50" in work.note


def test_an_attempt_of_which_nothing_was_created_is_not_skipped(earlier: Earlier) -> None:
    earlier.left(status(Phase.STARTING, attempts=[Attempt(number=1, started_at=T0)]))
    work = earlier.again()
    assert work is not None
    assert interrupted(Job.model_validate(work.job)) is None


def test_a_job_that_was_suspended_goes_on_when_its_manifest_says_so(earlier: Earlier) -> None:
    earlier.left(status(Phase.SUSPENDED), suspend=True)
    work = earlier.again(suspend=False, recovery={"maxRestarts": 9})
    assert work is not None
    assert work.goes_on
    found = Job.model_validate(work.job)
    assert (found.spec["suspend"], found.metadata.generation, found.metadata.uid) == (False, 2, UID)
    assert plan(seen(found), T0).status.attempt == 2
    told = "\n".join(suspended(status(Phase.SUSPENDED), "llmtrain run job.yaml"))
    assert "step 50 is saved" in told
    assert "set it to false" in told


def test_a_manifest_that_says_to_stand_still_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(manifest(suspend=True)))
    assert main(["run", str(path), "--runs", str(tmp_path)]) == EXIT_INTERRUPTED
    assert "suspended by spec.suspend; nothing was saved yet" in capsys.readouterr().out
    kept = JobFolder(tmp_path, "default", "tiny").load()
    assert kept is not None
    assert (kept.job.status.phase, kept.job.status.attempt) == (Phase.SUSPENDED, None)


def test_another_spec_under_way_is_refused_naming_the_field(earlier: Earlier) -> None:
    earlier.left(status(Phase.RUNNING))
    with pytest.raises(Refused, match=r"spec.training.maxSteps was 20"):
        earlier.again(training={"maxSteps": 21})


@pytest.mark.parametrize(
    ("if_exists", "max_steps", "anew"),
    [("fail", 20, False), ("fail", 21, True), ("new", 20, True), ("resume", 20, True)],
)
def test_a_complete_job_follows_if_exists(
    earlier: Earlier, if_exists: str, max_steps: int, anew: bool
) -> None:
    output = {"uri": "pvc://checkpoints/tiny", "ifExists": if_exists}
    earlier.left(status(Phase.SUCCEEDED), output=output)
    work = earlier.again(output=output, training={"maxSteps": max_steps})
    assert (work is not None) is anew
    assert work is None or not work.goes_on


def test_a_failed_job_is_tried_again_with_all_its_restarts(earlier: Earlier) -> None:
    why = Failure(failure_class=FailureClass.USER_ERROR, message="boom")
    earlier.left(status(Phase.FAILED, failure=why))
    work = earlier.again(training={"maxSteps": 21})
    assert work is not None
    found = Job.model_validate(work.job)
    assert (found.metadata.uid, found.status.attempt, interrupted(found)) == (UID, 1, 1)
    assert (found.status.phase, found.status.failure) == (Phase.STARTING, None)
    assert found.status.restarts == Restarts()
    assert found.spec["training"]["maxSteps"] == 21


def test_an_output_that_is_gone_or_elsewhere_makes_a_new_job(earlier: Earlier) -> None:
    earlier.left(status(Phase.RUNNING))
    elsewhere = decide(earlier.folder.load(), manifest(), earlier.runs, earlier.runs / "x")
    shutil.rmtree(earlier.output)
    gone = earlier.again()
    for work in (elsewhere, gone):
        assert work is not None
        assert not work.goes_on
        assert "uid" not in work.job["metadata"]


def test_the_folder_that_is_really_used_is_found(tmp_path: Path) -> None:
    output = output_folder("pvc://checkpoints/tiny", tmp_path)
    assert output == tmp_path / "checkpoints" / "tiny"
    assert output_folder("pvc://checkpoints", tmp_path) == tmp_path / "checkpoints"
    assert output_folder("file:///data/x", tmp_path) == Path("/data/x")
    for place in (output, output.with_name("tiny-11111111")):
        place.mkdir(parents=True)
    (output / "OWNER").write_text(json.dumps({"jobUid": "another"}))
    assert owned(output, UID) is None
    (output.with_name("tiny-11111111") / "OWNER").write_text(json.dumps({"jobUid": UID}))
    assert owned(output, UID) == output.with_name("tiny-11111111")


async def test_the_object_is_on_disk_before_a_write_is_answered(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path, "default", "tiny")
    (tmp_path / ".llmtrain").mkdir()
    assert folder.load() is None
    api = SavedApi(folder, "/out")
    made = await api.create("llmtrainingjobs", "default", manifest())
    await api.patch_status(
        "llmtrainingjobs", "default", "tiny", {"status": {"phase": "Running", "attempt": 0}}
    )
    kept = folder.load()
    assert kept is not None
    assert (kept.job.metadata.uid, kept.job.status.phase) == (made["metadata"]["uid"], Phase.RUNNING)
    again = SavedApi(folder, "/out")
    again.restore(kept.raw)
    found = await again.get("llmtrainingjobs", "default", "tiny")
    assert (found["metadata"]["uid"], found["status"]) == (made["metadata"]["uid"], kept.raw["status"])


def test_help_tells_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    assert "75" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spec", "have", "overrides", "told"),
    [
        (
            {"nodes": 4, "parallelism": {"tensor": 4}},
            0,
            GangOverrides(),
            "here the gang is 2 nodes x 1 CPU process, and the manifest's is 4 nodes x 1 CPU process: "
            "try --nodes 4 --processes-per-node 1",
        ),
        (
            {"nodes": 1, "processesPerNode": 4, "parallelism": {"tensor": 4}},
            0,
            GangOverrides(),
            "here the gang is 1 node x 2 CPU processes, and the manifest's is 1 node x 4 CPU processes: "
            "try --nodes 1 --processes-per-node 4",
        ),
        (
            {"nodes": 2, "gpusPerNode": 4, "resources": {"memory": "32Gi"}, "parallelism": {"tensor": 4}},
            0,
            GangOverrides(),
            "here the gang is 2 nodes x 1 CPU process, and the manifest's is 2 nodes x 4 GPUs: "
            "try --nodes 2 --processes-per-node 4",
        ),
        (
            {"nodes": 4, "parallelism": {"tensor": 4}},
            0,
            GangOverrides(nodes=3),
            "here the gang is 3 nodes x 1 CPU process, and the manifest's is 4 nodes x 1 CPU process: "
            "try --nodes 4 --processes-per-node 1",
        ),
    ],
)
def test_a_gang_that_is_too_small_here_names_the_options_and_the_manifests_numbers(
    spec: dict[str, Any], have: int, overrides: GangOverrides, told: str
) -> None:
    document = manifest(**spec)
    asked = parse_manifest(document)[1]
    with pytest.raises(Refused) as caught:
        fitted(document, asked, have, overrides)
    assert "world size" in caught.value.reasons[0]
    assert caught.value.reasons[-1] == told
    nodes, processes = (
        int(told.split(f"{option} ")[1].split()[0]) for option in ("--nodes", "--processes-per-node")
    )
    found = fitted(document, asked, have, GangOverrides(nodes, processes))[1]
    assert found.world_size == asked.world_size, "what the sentence names works"


def test_a_manifest_is_read_as_kubectl_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.yaml"
    text = json.dumps(manifest()).replace('"maxSteps": 20', "maxSteps: 1:30")
    path.write_bytes(text.encode())
    assert main(["run", str(path), "--runs", str(tmp_path)]) == 2
    assert f"{path}: spec.training.maxSteps: got '1:30'; use a whole number" in capsys.readouterr().err
    path.write_bytes(text.encode("utf-16"))
    assert main(["run", str(path), "--runs", str(tmp_path)]) == 2
    assert "it is not UTF-8 (byte 0); save it as UTF-8" in capsys.readouterr().err


def test_a_run_deletes_no_folder_but_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "home" / "project.git"
    project.mkdir(parents=True)
    (project / "config").write_text("precious")
    document = manifest("git", namespace="../../../project")
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps(document))
    assert main(["run", str(path), "--runs", str(tmp_path / "home" / "work" / "runs")]) == 2
    assert "metadata.namespace must be at most 63 characters" in capsys.readouterr().err
    assert (project / "config").read_text() == "precious"


@pytest.mark.parametrize(
    ("namespace", "name"),
    [("../../../project", "git"), ("default", "../x"), ("default", ".."), ("default", ""), ("a/b", "c")],
)
def test_the_folder_of_a_job_lies_in_the_folder_of_jobs(tmp_path: Path, namespace: str, name: str) -> None:
    with pytest.raises(ValueError, match="would not lie in"):
        JobFolder(tmp_path, namespace, name)
    assert JobFolder(tmp_path, "team", "x").folder == tmp_path / ".llmtrain" / "team.x"


def test_an_earlier_job_is_found_with_the_output_that_it_really_had(tmp_path: Path) -> None:
    """Also where --output named another folder than the manifest."""
    folder = JobFolder(tmp_path, "default", "tiny")
    with folder.locked():
        folder.save(job().to_json(), str(tmp_path / "checkpoints" / "tiny"))
    find = saved_by_name(tmp_path)
    assert find("default", "none") is None
    assert find("default", "../tiny") is None
    found = find("default", "tiny")
    assert found is not None
    assert found.spec["output"]["uri"] == "pvc://checkpoints/tiny"
    folder.save(job().to_json(), "/elsewhere")
    found = find("default", "tiny")
    assert found is not None
    assert found.spec["output"]["uri"] == "file:///elsewhere"
