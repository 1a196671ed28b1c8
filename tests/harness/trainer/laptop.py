"""`llmtrain run` as a process of its own, as often as a test wants it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.children import environment, processes
from harness.trainer.launches import DEADLINE

from llmtrain_api.names import API_VERSION, KIND
from llmtrain_trainer.output import Output


@dataclass
class LaptopRun:
    """One manifest, and each run of the same command.

    Attributes:
        folder: where the manifest and all claims lie.
        name: of the job, and of its folder in the claim ``checkpoints``.
        seconds: that anything may take.
        runs: each process that was started.
        codes: how each ended.
        left: processes that each left behind.
        committed: the newest checkpoint when each ended.
    """

    folder: Path
    name: str = "tiny"
    seconds: float = DEADLINE
    runs: list[subprocess.Popen[bytes]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    left: list[list[int]] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)

    @property
    def output(self) -> Output:
        return Output(self.folder / "checkpoints" / self.name)

    def write(self, manifest: dict[str, Any]) -> None:
        """The manifest that is run; JSON is YAML."""
        (self.folder / "job.yaml").write_text(json.dumps(manifest))

    def ask(self, spec: dict[str, Any]) -> None:
        """The same of a job with this spec."""
        head = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": self.name}}
        self.write(head | {"spec": spec})

    def command(self) -> list[str]:
        module = [sys.executable, "-m", "llmtrain"]
        return [*module, "run", str(self.folder / "job.yaml"), "--runs", str(self.folder)]

    def start(self, **variables: str) -> None:
        env = environment(**variables)
        with self.log(len(self.runs)).open("wb") as log:
            process = subprocess.Popen(
                self.command(), env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.runs.append(process)

    def log(self, number: int) -> Path:
        return self.folder / f"run-{number}.log"

    def text(self, number: int = -1) -> str:
        return self.log(number if number >= 0 else len(self.runs) - 1).read_text()

    def opened(self) -> Any:
        """The export, by the call that the last run told; it is what the folder says it is."""
        import transformers

        [name] = re.findall(r"Hugging Face folder: (\w+)\.from_pretrained\(", self.text())
        model = getattr(transformers, name).from_pretrained(self.output.export, local_files_only=True)
        assert [type(model).__name__] == model.config.architectures, self.text()
        return model

    def until(self, holds: Callable[[], object], what: str) -> None:
        limit = time.monotonic() + self.seconds
        while not holds():
            assert self.runs[-1].poll() is None, f"ended before {what}:\n{self.text()}"
            assert time.monotonic() < limit, f"no {what} in time:\n{self.text()}"
            time.sleep(0.005)

    def kill_rank(self, pod: str) -> None:
        """SIGKILL for the rank in a pod with one."""
        pods = str(self.folder / ".llmtrain" / self.name / "pods")
        [rank] = processes(pods, "-u -m llmtrain_trainer.training.rank", f"/{pod}")
        os.kill(rank, signal.SIGKILL)

    def end(self, number: int = 0) -> None:
        """Send a signal, if any, and note how it ends and what it leaves."""
        if number:
            self.runs[-1].send_signal(number)
        self.codes.append(self.runs[-1].wait(self.seconds))
        limit = time.monotonic() + 10
        # the kernel tells the pods when the runner was killed: that takes a moment, and nobody waits for it
        while processes(str(self.folder)) and number == signal.SIGKILL and time.monotonic() < limit:
            time.sleep(0.01)
        self.left.append(processes(str(self.folder)))
        self.committed.append(max(self.output.committed(), default=0))

    def to_the_end(self) -> None:
        """Run once more, as long as it takes."""
        try:
            self.start()
            self.end()
        finally:
            self.close()

    def close(self) -> None:
        """Kill what still runs."""
        for run in self.runs:
            run.kill()
            run.wait()

    def object(self) -> dict[str, Any]:
        kept = json.loads((self.folder / ".llmtrain" / f"{self.name}.json").read_text())
        found: dict[str, Any] = kept["object"]
        return found


def resumed(text: str, attempt: int) -> int:
    """The step from which an attempt went on, as a run has told it."""
    found = re.search(rf"Resumed: attempt {attempt} goes on from step (\d+)", text)
    assert found, text
    return int(found[1])
