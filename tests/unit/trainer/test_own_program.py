"""A program of one's own under the launcher: started once a node, as it ends, and as it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness.bad_manifests import own_program
from harness.builders import job_file
from harness.children import environment
from harness.ports import free_port

from llmtrain_api import FailureClass, JobFile, Layout, Outcome, ReportTarget, kubeflow, parse_spec
from llmtrain_api.names import ENV_TERMINATION_LOG
from llmtrain_trainer.checkpoint import fence
from llmtrain_trainer.launch import program
from llmtrain_trainer.launch.attempt import Attempt
from llmtrain_trainer.launch.launcher import Launcher
from llmtrain_trainer.launch.program import Program, saved_steps, torch_environment
from llmtrain_trainer.launch.relay import Relay
from llmtrain_trainer.launch.root_cause import told_by_python
from llmtrain_trainer.launch.stages import stages_of
from llmtrain_trainer.launch.torchrun import Stop
from llmtrain_trainer.output import Output
from llmtrain_trainer.storage.select import output_store_of
from llmtrain_trainer.storage.start_marker import Start

UP = {
    "trainerStatus": {
        "progressPercentage": 10,
        "metrics": [{"name": "current_step", "value": "2"}, {"name": "total_steps", "value": "20"}],
    }
}


def own(
    output: Path, *words: str, starter: str = "none", report: ReportTarget | None = None, **spec: Any
) -> JobFile:
    asked = own_program(entrypoint={"command": list(words), "starter": starter}, **({"nodes": 1} | spec))
    parsed = parse_spec(asked["spec"], strict=True)
    layout = Layout(data=parsed.world_size)
    return job_file(parsed, output, layout=layout, port=free_port(), report=report)


def shell(output: Path, script: str, **fields: Any) -> JobFile:
    return own(output, "/bin/sh", "-c", script, **fields)


def log_of(output: Path, rank: int = 0) -> str:
    return Output(output).rank_log(0, rank).read_text()


def test_which_stages_run_on_which_node(tmp_path: Path) -> None:
    gang = shell(tmp_path / "output", "true", nodes=2)
    for node, names in (
        (0, ["claim", "fence", "start", "gather", "resolve", "run", "finish"]),
        (1, ["join", "gather", "resolve", "run"]),
    ):
        one = Attempt(gang, "job.json", node, output_store_of(gang), Stop())
        assert [stage.name for stage in stages_of(one) if stage.applies(one)] == names


def test_a_program_that_ends_well_is_the_end_of_the_job(tmp_path: Path) -> None:
    output = tmp_path / "output"
    asked = shell(output, 'echo "$RANK of $WORLD_SIZE" > "$LLMTRAIN_OUTPUT/said"; echo hello; echo oh >&2')
    message = Launcher(asked, "job.json", 0).run()
    assert message.outcome is Outcome.COMPLETE, message
    assert (output / "program/said").read_text() == "0 of 1\n"
    assert log_of(output) == "hello\noh\n"
    again = Launcher(shell(output, "exit 1"), "job.json", 0).run()
    assert again.outcome is Outcome.COMPLETE, "what is complete is not done twice"


def test_a_program_that_fails_is_explained_by_its_last_words(tmp_path: Path) -> None:
    asked = own(tmp_path / "output", "python3", "-c", "print('so far'); raise ValueError('a bad batch')")
    message = Launcher(asked, "job.json", 0).run()
    assert (message.outcome, message.failure_class) == (Outcome.FAILED, FailureClass.USER_ERROR)
    assert (message.rank, message.exit_code, message.cascade) == (0, 1, False)
    assert message.message == "ValueError: a bad batch"
    assert "so far" in str(message.log_tail)


def test_an_exception_of_a_lost_connection_is_an_echo(tmp_path: Path) -> None:
    """The cause is on another node, and must not be taken for this program's own mistake."""
    words = (
        "raise RuntimeError('[gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.2]:29400')"
    )
    message = Launcher(own(tmp_path / "output", "python3", "-c", words), "job.json", 0).run()
    assert message.cascade is True


def test_a_program_that_leaves_its_gang_by_an_abort_is_told_how_to_leave_it(tmp_path: Path) -> None:
    words = "echo 'terminate called without an active exception' >&2; kill -ABRT $$"
    message = Launcher(shell(tmp_path / "output", words), "job.json", 0).run()
    assert (message.exit_code, message.reason) == (-6, "ThreadsAtExit"), message
    assert "torch.distributed.destroy_process_group()" in str(message.hint)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    message = Launcher(own(tmp_path / "output", "no-such-program"), "job.json", 0).run()
    assert (message.outcome, message.exit_code) == (Outcome.FAILED, 127)
    assert "not found" in str(message.log_tail)


def test_the_exception_that_a_log_ends_with() -> None:
    log = "KeyError: 'a'\nwas handled\nTraceback (most recent call last):\ntorch.cuda.OutOfMemoryError: CUDA"
    assert told_by_python(log) == ("OutOfMemoryError", "CUDA")
    assert told_by_python("nothing of the kind") == ("", "")


def test_a_program_that_is_asked_to_stop_may_save(tmp_path: Path) -> None:
    output = tmp_path / "output"
    asked = shell(
        output,
        'trap \'echo saved > "$LLMTRAIN_OUTPUT/saved"; exit 0\' TERM; touch "$LLMTRAIN_OUTPUT/up"; '
        "while :; do sleep 0.05; done",
    )
    launcher = Launcher(asked, "job.json", 0)
    threading.Thread(target=ask_once_up, args=(launcher.stop, output / "program/up"), daemon=True).start()
    message = launcher.run()
    assert message.outcome is Outcome.INTERRUPTED, message
    assert (output / "program/saved").exists()


def ask_once_up(stop: Stop, file: Path) -> None:
    while not file.exists():
        threading.Event().wait(0.02)
    stop.ask()


def test_a_program_ends_once_a_newer_attempt_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "FENCE_SECONDS", 0.05)
    output = tmp_path / "output"
    asked = shell(output, 'touch "$LLMTRAIN_OUTPUT/up"; sleep 60; echo on >> "$LLMTRAIN_OUTPUT/late"')
    threading.Thread(target=fence_once_up, args=(asked, output), daemon=True).start()
    message = Launcher(asked, "job.json", 0).run()
    assert message.outcome is Outcome.FENCED, message
    assert not (output / "program/late").exists()


def fence_once_up(asked: JobFile, output: Path) -> None:
    while not (output / "program/up").exists():
        threading.Event().wait(0.02)
    newer = asked.model_copy(update={"attempt": 1})
    fence.raise_fence(Output(output), newer, "newer")


def test_the_variables_by_which_programs_find_their_gang(tmp_path: Path) -> None:
    asked = own(tmp_path / "output", "./train", nodes=2, gpusPerNode=8)
    found = torch_environment(asked, 1)
    meet = asked.rendezvous
    expected = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "NODE_RANK": "1", "PET_NODE_RANK": "1"}
    expected |= {"PET_NNODES": "2", "PET_NPROC_PER_NODE": "8", "MASTER_ADDR": meet.master_address}
    assert expected.items() <= found.items()
    assert found["MASTER_PORT"] == found["PET_MASTER_PORT"] == str(meet.master_port)
    ranks = torch_environment(own(tmp_path / "output", "./train", starter="torchrun", nodes=2), 1)
    assert "RANK" not in ranks, "torchrun gives each process its own"


def started(asked: JobFile, node: int = 0) -> Program:
    output = Output(Path(asked.output))
    return Program(asked, Start(fence.Fence(output, asked.job.uid, 0, "me"), None, {}), node, Stop())


def test_torchrun_starts_the_program_as_it_is(tmp_path: Path) -> None:
    asked = own(tmp_path / "output", "python3", "-m", "x", starter="torchrun", nodes=2, processesPerNode=2)
    command = started(asked, 1).command()
    assert command[command.index("--nproc-per-node") + 1] == "2"
    assert command[-3:] == ["python3", "-m", "x"]
    assert "--no-python" in command


def test_the_trainers_search_path_is_not_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    env = started(own(tmp_path / "output", "python3", "train.py")).environment()
    assert "PYTHONSAFEPATH" not in env, "a script finds the modules beside it"
    assert kubeflow.ENV_URL not in env, "where nobody is told, a callback would only wait"


def test_the_program_computes_in_the_threads_that_its_pod_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(program, "cores", lambda: 64)
    asked = own(tmp_path / "output", "python3", "train.py", resources={"cpu": "6"})
    assert started(asked).environment()["OMP_NUM_THREADS"] == "6"


def test_steps_that_hugging_faces_trainer_has_finished(tmp_path: Path) -> None:
    for name in ("checkpoint-20", "checkpoint-100", "checkpoint-best"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").touch()
    (tmp_path / "checkpoint-200").mkdir()
    assert saved_steps(tmp_path) == [100, 20]
    assert saved_steps(tmp_path / "nothing") == []


class Operator(ThreadingHTTPServer):
    """Answers as it is told to, and keeps what it got."""

    def __init__(self) -> None:
        self.status, self.got = 200, list[tuple[str, str, bytes]]()
        operator = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                operator.got.append((self.path, self.headers["Authorization"], body))
                self.send_response(operator.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def operator() -> Iterator[Operator]:
    server = Operator()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def target(operator: Operator) -> ReportTarget:
    return ReportTarget(url=f"http://127.0.0.1:{operator.server_address[1]}")


def test_a_report_is_passed_on_as_it_is_with_the_pods_own_token(operator: Operator) -> None:
    relay = Relay(target(operator))
    body = json.dumps(UP).encode()
    request = urllib.request.Request(relay.url, body, {"Authorization": "Bearer t"}, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    relay.close()
    assert operator.got == [(kubeflow.STATUS_PATH, "Bearer t", body)]
    assert (relay.step, relay.total_steps) == (2, 20)


def test_what_the_operator_refuses_is_refused_and_what_is_no_report_never_leaves(operator: Operator) -> None:
    relay = Relay(target(operator))
    operator.status = 403
    assert relay.take(json.dumps(UP).encode(), "Bearer t") == 403
    operator.got.clear()
    assert relay.take(b"[]", "Bearer t") == 400
    relay.close()
    assert relay.take(json.dumps(UP).encode(), "Bearer t") == 403, "it says what it is told"
    assert len(operator.got) == 1


def test_silence_counts_from_the_first_step_to_the_last_word(operator: Operator) -> None:
    now = 0.0
    relay = Relay(target(operator), lambda: now)

    def told(percent: int, step: int | None = None) -> None:
        metrics = [] if step is None else [{"name": "current_step", "value": str(step)}]
        relay.take(
            json.dumps({"trainerStatus": {"progressPercentage": percent, "metrics": metrics}}).encode(), ""
        )

    assert relay.silence() is None
    told(0, 0)
    assert relay.silence() is None, "the first step compiles and loads"
    told(5, 1)
    now = 100.0
    assert relay.silence() == 100.0
    told(10, 2)
    assert relay.silence() == 0.0
    told(100)
    now = 10_000.0
    assert relay.silence() is None, "a last save takes as long as it takes"
    relay.close()


HANGS = """
import json, os, sys, time, urllib.request
step = {"name": "current_step", "value": "3"}
body = json.dumps({"trainerStatus": {"progressPercentage": 1, "metrics": [step]}})
request = urllib.request.Request(os.environ["KUBEFLOW_TRAINER_SERVER_URL"], body.encode(), method="POST")
urllib.request.urlopen(request, timeout=10)
def stuck():
    time.sleep(600)
stuck()
"""


def test_a_program_that_tells_of_no_more_steps_hangs_and_tells_where(
    tmp_path: Path, operator: Operator
) -> None:
    asked = own(tmp_path / "output", "python3", "-c", HANGS, report=target(operator))
    recovery = asked.spec.recovery.model_copy(update={"step_timeout_seconds": 0.2})
    asked = asked.model_copy(update={"spec": asked.spec.model_copy(update={"recovery": recovery})})
    message = Launcher(asked, "job.json", 0).run()
    assert message.failure_class is FailureClass.HANG, message
    assert "no step for" in message.message
    assert "after step 3" in message.message
    assert "in stuck" in log_of(tmp_path / "output"), "the stack of each thread"


def test_a_program_that_tells_of_no_step_is_not_judged(tmp_path: Path, operator: Operator) -> None:
    asked = shell(tmp_path / "output", "sleep 0.5", report=target(operator))
    recovery = asked.spec.recovery.model_copy(update={"step_timeout_seconds": 0.1})
    asked = asked.model_copy(update={"spec": asked.spec.model_copy(update={"recovery": recovery})})
    assert Launcher(asked, "job.json", 0).run().outcome is Outcome.COMPLETE


def test_a_program_that_tells_of_steps_has_the_time_of_an_evaluation(
    tmp_path: Path, operator: Operator
) -> None:
    quick = HANGS.replace("600", "0.5")
    asked = own(tmp_path / "output", "python3", "-c", quick, report=target(operator))
    assert Launcher(asked, "job.json", 0).run().outcome is Outcome.COMPLETE


def test_nothing_that_the_program_started_is_left_behind(tmp_path: Path) -> None:
    """As PID 1 of a pod, which adopts what loses its parent."""
    output, end = tmp_path / "output", tmp_path / "end"
    asked = shell(output, 'sleep 600 & echo $! > "$LLMTRAIN_OUTPUT/pid"; exit 3')
    (tmp_path / "job.json").write_text(json.dumps(asked.to_json()))
    command = [sys.executable, "-m", "llmtrain_trainer", "launch", str(tmp_path / "job.json")]
    env = environment(**{ENV_TERMINATION_LOG: str(end)})
    assert subprocess.run(command, env=env, capture_output=True, timeout=60, check=False).returncode == 1
    assert json.loads(end.read_text())["exitCode"] == 3
    with pytest.raises(ProcessLookupError):
        os.kill(int((output / "program/pid").read_text()), 0)


def test_what_ran_before_the_program_runs_on(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        assert Launcher(shell(tmp_path / "output", "true"), "job.json", 0).run().outcome is Outcome.COMPLETE
        assert other.poll() is None
        other.kill()
