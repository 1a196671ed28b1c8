"""How long a gang stands still when one of its pods dies: from the death to the next optimizer step.

``python -m bench.recovery [--kills 30]`` on the cluster of ``make demo`` (`hack/cluster up`, images, chart):
one tiny job on both nodes, whose pods are deleted by force and whose ranks are killed in turns. Every time is
this machine's clock, read where the event was seen; the parts of one recovery add up to its whole.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.clusters import enter

NAME, NODES = "recovery", 2
OUTPUT = f"{NAME}-{int(time.time())}"
"""A folder that no earlier run has written to: its logs tell how far the job is."""
PATIENCE_SECONDS = 180.0
KILL = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    environment = open(f"/proc/{pid}/environ").read().split(chr(0))
    if pid != "1" and any(word.startswith("LOCAL_RANK=") for word in environment):
        os.kill(int(pid), signal.SIGKILL)
        break
"""


@dataclass(frozen=True)
class Recovery:
    """Seconds of one recovery, part by part.

    Attributes:
        how: what was done.
        notice: until the API server showed that a pod was gone or had failed: kubelet and container runtime.
        decide: until the operator had put the next attempt on record.
        leave: until the last pod of the old attempt was gone, which frees its name and its port.
        create: until all pods of the next attempt existed.
        start: until all of them ran: scheduler, kubelet, container runtime.
        begin: until the launcher and its ranks had begun: Python, imports, rendezvous.
        resume: until the first optimizer step was done: checkpoint, model, first batch.
    """

    how: str
    notice: float
    decide: float
    leave: float
    create: float
    start: float
    begin: float
    resume: float

    @property
    def operator(self) -> float:
        """The operator's own."""
        return self.decide + self.create

    @property
    def whole(self) -> float:
        """From the death to the next step."""
        return float(sum(getattr(self, part) for part in PARTS))


PARTS = tuple(one.name for one in fields(Recovery) if one.name != "how")


def kubectl(*words: str, body: Any = None) -> str:
    """Run kubectl; what it printed."""
    given = None if body is None else json.dumps(body)
    done = subprocess.run(["kubectl", *words], input=given, text=True, capture_output=True, check=True)
    return done.stdout


@dataclass
class Watch:
    """The objects of one kind, and the moments at which each change was seen.

    Attributes:
        seen: moment, kind of the event, and the object.
    """

    kind: str
    seen: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin to watch."""
        self._process = subprocess.Popen(
            ["kubectl", "get", self.kind, "--watch", "--output-watch-events", "-o", "json"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            self.seen.append((time.monotonic(), event["type"], event["object"]))

    def first(self, wanted: Callable[[str, dict[str, Any]], bool], since: float) -> float:
        """The first moment at which something was seen; waits for it.

        Raises:
            TimeoutError: it did not come.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            for moment, kind, one in list(self.seen):
                if moment >= since and wanted(kind, one):
                    return moment
            time.sleep(0.005)
        raise TimeoutError(f"{self.kind}: not within {PATIENCE_SECONDS:.0f} s")

    def end(self) -> None:
        """Watch no longer."""
        self._process.terminate()
        self._process.wait()


class Bench:
    """One job that is struck again and again.

    Args:
        volume: the host's folder behind the claim ``checkpoints``.
    """

    def __init__(self, volume: Path) -> None:
        self.output = volume / OUTPUT
        self.pods, self.jobs = Watch("pods"), Watch("llmtrainingjobs")

    def recover(self, attempt: int, how: str) -> Recovery:
        """Strike the attempt, and follow the next one until its first step."""
        self._wait_for_checkpoint(attempt)
        victim = f"{NAME}-{attempt}-{attempt % NODES}"
        if how == "pod deleted":
            words: tuple[str, ...] = ("delete", "pod", victim, "--force", "--grace-period=0", "--wait=false")
        else:
            words = ("exec", victim, "-c", "trainer", "--", "python3", "-c", KILL)
        began = time.monotonic()
        kubectl(*words)
        old = f"{NAME}-{attempt}-"

        def hurt(kind: str, pod: dict[str, Any]) -> bool:
            return pod["metadata"]["name"] == victim and (
                kind == "DELETED" or pod["status"]["phase"] == "Failed"
            )

        def decided(_: str, job: dict[str, Any]) -> bool:
            return bool((job.get("status") or {}).get("attempt") == attempt + 1)

        noticed = self.pods.first(hurt, began)
        moments = [began, noticed, max(noticed, self.jobs.first(decided, began))]
        moments.append(max(moments[-1], self._gone(old, began)))
        new = [f"{NAME}-{attempt + 1}-{rank}" for rank in range(NODES)]
        for what in ("ADDED", "Running"):
            found = [self.pods.first(_is(name, what), began) for name in new]
            moments.append(max(moments[-1], *found))
        moments.append(max(moments[-1], self._begun(attempt + 1)))
        moments.append(max(moments[-1], self._wait_for_step(attempt + 1)))
        return Recovery(how, *(b - a for a, b in pairwise(moments)))

    def _gone(self, prefix: str, since: float) -> float:
        """When the last pod of an attempt was gone."""
        names = [f"{prefix}{rank}" for rank in range(NODES)]
        return max(self.pods.first(_is(name, "DELETED"), since) for name in names)

    def _begun(self, attempt: int) -> float:
        """When the last rank had begun: its log has the line that says so."""
        logs = [self.output / "logs" / f"attempt-{attempt}" / f"rank-{rank}.log" for rank in range(NODES)]
        return max(_written(log) for log in logs)

    def _wait_for_checkpoint(self, attempt: int) -> None:
        """Restarts without a newer checkpoint wait longer and longer, which is not what is measured."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            for manifest in self.output.glob("checkpoints/step-*/manifest.json"):
                with contextlib.suppress(OSError, ValueError):
                    if json.loads(manifest.read_text())["attempt"] == attempt:
                        return
            if time.monotonic() > until:
                raise TimeoutError(f"attempt {attempt} saved nothing within {PATIENCE_SECONDS:.0f} s")
            time.sleep(0.05)

    def _wait_for_step(self, attempt: int) -> float:
        rows = self.output / "logs" / f"attempt-{attempt}" / "metrics.jsonl"
        return _written(rows)

    def end(self) -> None:
        """Watch no longer, and delete the job."""
        self.pods.end()
        self.jobs.end()
        kubectl("delete", "llmtrainingjob", NAME, "--wait=false")


def _is(name: str, what: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda kind, pod: pod["metadata"]["name"] == name and what in (kind, pod["status"].get("phase"))


def _written(path: Path) -> float:
    """When a file had something in it."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not (path.is_file() and path.stat().st_size > 0):
        if time.monotonic() > until:
            raise TimeoutError(f"{path}: not within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.01)
    return time.monotonic()


def manifest(kills: int) -> dict[str, Any]:
    """A job that goes on for as long as it is struck."""
    return {
        "apiVersion": "llmtrain.dev/v1alpha1",
        "kind": "LLMTrainingJob",
        "metadata": {"name": NAME},
        "spec": {
            "model": {"name": "builtin://tiny-llama", "hiddenSize": 32, "numLayers": 2, "vocabSize": 512},
            "dataset": {"name": "builtin://python-stdlib", "maxBytes": 500_000},
            "nodes": NODES,
            "resources": {"cpu": "100m", "memory": "2Gi"},
            "training": {
                "maxSteps": 1_000_000, "globalBatchSize": 4, "microBatchSize": 2, "sequenceLength": 32,
            },
            "checkpoint": {"everySteps": 25},
            "evaluation": {"everySteps": 0},
            "recovery": {"maxRestarts": kills + 1, "maxInfrastructureRestarts": kills + 1},
            "output": {"uri": f"pvc://checkpoints/{OUTPUT}"},
        },
    }  # fmt: skip


def table(found: list[Recovery]) -> str:
    """Median and 95th percentile of each part, and its share of the whole."""
    whole = sum(one.whole for one in found)
    rows: list[tuple[str, list[float]]] = [(part, [getattr(one, part) for one in found]) for part in PARTS]
    rows += [
        ("operator (decide, create)", [one.operator for one in found]),
        ("whole", [one.whole for one in found]),
    ]
    lines = ["| part | median s | p95 s | share |", "|---|---|---|---|"]
    for name, values in rows:
        lines.append(
            f"| {name} | {statistics.median(values):.2f} | {p95(values):.2f} | {sum(values) / whole:.0%} |"
        )
    return "\n".join(lines)


def p95(values: list[float]) -> float:
    """The least value that 95 % of them do not pass (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]


def environment() -> Path:
    """Enter the demo cluster; the host's folder of its shared claim."""
    enter()
    volumes = json.loads(kubectl("get", "pv", "-o", "json"))["items"]
    for volume in volumes:
        if volume["spec"].get("claimRef", {}).get("namespace") == "default":
            return Path(volume["spec"]["hostPath"]["path"])
    raise SystemExit("the cluster has no shared claim in namespace default; bring it up by `make demo`")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=30, help="how many deaths (default: 30)")
    kills = parser.parse_args().kills
    bench = Bench(environment())
    kubectl("apply", "-f", "-", body=manifest(kills))
    found = []
    try:
        for attempt in range(kills):
            one = bench.recover(attempt, ("pod deleted", "rank killed")[attempt % 2])
            found.append(one)
            parts = ", ".join(f"{part} {getattr(one, part):.2f}" for part in PARTS)
            print(f"{attempt:3} {one.how}: {one.whole:.2f} s ({parts})", flush=True)
    finally:
        bench.end()
    for how in ("pod deleted", "rank killed"):
        print(f"\n{how}\n\n{table([one for one in found if one.how == how])}")
    print(f"\nboth, {len(found)} deaths\n\n{table(found)}")


if __name__ == "__main__":
    main()
