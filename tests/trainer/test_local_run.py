"""``llmtrain run``: one job that loses a rank, is stopped by hand, loses its runner, and succeeds."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest
from harness.builders import spec
from harness.children import environment, processes
from harness.cluster import restarts
from harness.jobs import POD_FIELDS
from harness.trainer.laptop import LaptopRun, resumed

STEPS = 60
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopRun]:
    told = LaptopRun(tmp_path_factory.mktemp("laptop"))
    asked = spec(
        nodes=4,
        processesPerNode=1,
        training={"maxSteps": STEPS},
        output={"uri": "pvc://checkpoints/tiny"},
        prepare={"nodes": 1},
        # there is no scheduler here
        resources={"memory": "4Gi", "cpuLimit": 2},
        **POD_FIELDS,
    )
    told.ask(asked.to_json())
    try:
        told.start()
        told.until(lambda: processes(str(told.folder), "llmtrain_trainer prepare"), "data being prepared")
        told.end(signal.SIGINT)
        told.start()
        told.until(lambda: told.output.committed(), "a first checkpoint")
        told.kill_rank("tiny-0-1")
        rows = told.output.logs(1) / "metrics.jsonl"
        told.until(lambda: rows.exists() and len(rows.read_text().splitlines()) > 2, "steps of attempt 1")
        told.end(signal.SIGINT)
        told.start()
        told.until(lambda: "Resumed: attempt 2" in told.text(), "attempt 2")
        told.end(signal.SIGKILL)
        told.start()
        told.end()
        yield told
    finally:
        told.close()


def test_data_are_prepared_before_the_gang_and_stopped_on_the_way(laptop: LaptopRun) -> None:
    """That is nobody's failure, and the gang finds the data as they are."""
    assert "Preparing: " in laptop.text(0)
    assert laptop.codes[0] == 75, laptop.text(0)
    assert laptop.left[0] == []
    setup = laptop.object()["status"]["setup"]
    assert (setup["stage"], setup["number"], setup["restarts"]["total"]) == ("prepare", 0, 0)
    assert "endedAt" in setup
    logs = laptop.folder / ".llmtrain/tiny/logs"
    assert "preparing data" in (logs / "tiny-prepare-0.log").read_text()
    assert "prepared data are reused" in (logs / "tiny-0-0.log").read_text()


def test_a_killed_rank_is_explained_and_the_gang_goes_on_from_the_checkpoint(laptop: LaptopRun) -> None:
    text = laptop.text(1)
    assert "2 nodes x 1 CPU process instead of 4 nodes x 1 CPU process; the global batch stays 8" in text
    assert "Restarting: Unknown: rank 1 was killed by signal 9" in text
    before = text[: text.index("Restarting:")]
    newest = max(int(step) for step in [*re.findall(r"Checkpoint: step (\d+)", before), 10])
    assert resumed(text, 1) >= newest >= 10


def test_ctrl_c_saves_a_checkpoint_and_tells_how_to_go_on(laptop: LaptopRun) -> None:
    text = laptop.text(1)
    assert laptop.codes[1] == 75, text
    saved = re.search(r"stopped; step (\d+) is saved", text)
    assert saved, text
    assert int(saved[1]) == laptop.committed[1] > resumed(text, 1)
    assert "-m llmtrain run" in text[saved.end() :]
    assert laptop.left[1] == []


def test_the_same_command_goes_on_where_it_was_stopped(laptop: LaptopRun) -> None:
    assert resumed(laptop.text(2), 2) == laptop.committed[1]


def test_a_killed_runner_leaves_no_process_and_the_job_goes_on(laptop: LaptopRun) -> None:
    assert laptop.codes[2] == -signal.SIGKILL
    assert laptop.left[2] == []
    assert resumed(laptop.text(3), 3) == laptop.committed[2]


def test_it_succeeds_and_only_the_failure_was_counted(laptop: LaptopRun) -> None:
    text = laptop.text(3)
    assert laptop.codes[3] == 0, text
    assert laptop.left[3] == []
    found = laptop.object()
    assert (found["status"]["phase"], found["status"]["attempt"]) == ("Succeeded", 3)
    assert restarts(found["status"]) == (1, 1, 0)
    assert [a["number"] for a in found["status"]["attempts"]] == [0, 1, 2, 3]
    assert found["status"]["results"]["steps"] == STEPS
    assert (laptop.output.export / "model.safetensors").exists()
    assert "held-out loss" in text
    assert str(laptop.output.export) in text


def test_no_log_holds_a_secret_and_no_private_folder_is_left(laptop: LaptopRun) -> None:
    kept = laptop.folder / ".llmtrain"
    assert not list(kept.rglob("pods/*"))
    assert not list(kept.rglob("token"))
    assert "PRIVATE KEY" not in "".join(p.read_text() for p in kept.rglob("*") if p.is_file())
    first = json.loads((kept / "tiny.log").read_text().splitlines()[0])
    assert "event" in first


def test_run_again_it_is_complete_already(laptop: LaptopRun) -> None:
    again = subprocess.run(
        laptop.command(),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert "is complete already" in again.stdout
    assert laptop.object()["status"]["attempt"] == 3
