"""What one write of each kind costs the API server: CPU of kube-apiserver, by a control plane without nodes.

``python -m bench.write_cost [--writes 200] [--rounds 3] [--crd FILE ...]``: with several definitions of
LLMTrainingJob (a file of an older commit beside today's) each round measures all of them, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from bench.clusters import ROOT, control_plane
from bench.operator import Server, children, cpu_seconds, job_body, post

from llmtrain_api.names import PLURAL
from llmtrain_operator.kube.address import find_cluster
from llmtrain_operator.kube.api import RESOURCES

CLUSTER = "write-cost"
CRD = ROOT / "crds" / "llmtrain.dev_llmtrainingjobs.yaml"
NAMESPACE = "default"
IN_FLIGHT = 4
QUIET_CORES = 0.1
"""An API server that does less than this has nothing left to do."""
QUIET_SECONDS = 3.0
MOMENT = "2026-01-02T03:04:05Z"
Writes = list[Callable[[], Awaitable[None]]]


def status_of(name: str, step: int) -> dict[str, Any]:
    """The status of a job that runs, as the operator writes it."""
    return {
        "phase": "Running",
        "observedGeneration": 1,
        "attempt": 0,
        "selector": f"llmtrain.dev/job={name}",
        "restarts": {"total": 0, "application": 0, "infrastructure": 0},
        "workers": {"desired": 4, "ready": 4, "summary": "4/4"},
        "progress": {
            "step": step,
            "totalSteps": 1000,
            "percent": step // 10,
            "summary": f"{step}/1000",
            "loss": 2.5,
            "tokensPerSecond": 41200.0,
            "updatedAt": MOMENT,
        },
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "reason": kind,
                "message": "as it should be",
                "lastTransitionTime": MOMENT,
                "observedGeneration": 1,
            }
            for kind in ("Accepted", "Running")
        ],
    }


async def patch_status(session: aiohttp.ClientSession, name: str, status: dict[str, Any]) -> None:
    """Write a part of a job's status.

    Raises:
        RuntimeError: it was refused.
    """
    path, headers = RESOURCES[PLURAL].path(NAMESPACE, name), {"Content-Type": "application/merge-patch+json"}
    async with session.patch(
        f"{path}/status", data=orjson.dumps({"status": status}), headers=headers
    ) as answer:
        if answer.status >= 300:
            raise RuntimeError(f"status of {name}: {answer.status} {await answer.text()}")


def others(session: aiohttp.ClientSession, first: int, count: int) -> dict[str, Writes]:
    """Writes of what is no job, by what they write; each has names of its own."""
    made: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for number in range(first, first + count):
        meta = {"name": f"w{number}", "namespace": NAMESPACE}
        made["a ConfigMap"].append(("configmaps", {"metadata": meta, "data": {"job.json": "{}" * 500}}))
        about = {"kind": "Pod", "name": "w", "namespace": NAMESPACE}
        event = {"metadata": meta, "involvedObject": about, "reason": "Started", "message": "it runs"}
        made["an Event"].append(("events", event | {"type": "Normal", "firstTimestamp": MOMENT}))
        service, worker = children(f"w{number}", NAMESPACE, 1)
        made["a Service"].append(service)
        made["a pod"].append(worker)
    return {
        kind: [partial(post, session, resource, NAMESPACE, body) for resource, body in bodies]
        for kind, bodies in made.items()
    }


def jobs(session: aiohttp.ClientSession, first: int, count: int) -> dict[str, Writes]:
    """Writes of jobs and of their status, by what they write."""
    names = [f"j{number}" for number in range(first, first + count)]
    bodies = [job_body(name, NAMESPACE, 4) for name in names]
    step = {"progress": status_of("", 7)["progress"]}
    return {
        "an LLMTrainingJob": [partial(post, session, PLURAL, NAMESPACE, body) for body in bodies],
        "the first status of one": [
            partial(patch_status, session, name, status_of(name, 0)) for name in names
        ],
        "a step in the status of one": [partial(patch_status, session, name, step) for name in names],
    }


async def quiet(pid: int) -> None:
    """Wait until a process has nothing to do: a new definition keeps the API server busy for a while."""
    while True:
        before = cpu_seconds(pid)
        await asyncio.sleep(QUIET_SECONDS)
        if cpu_seconds(pid) - before < QUIET_CORES * QUIET_SECONDS:
            return


async def cost(pid: int, writes: Writes) -> float:
    """Milliseconds of CPU of a process for each of some writes."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(write: Callable[[], Awaitable[None]]) -> None:
        async with slots:
            await write()

    await quiet(pid)
    before = cpu_seconds(pid)
    await asyncio.gather(*map(one, writes))
    return (cpu_seconds(pid) - before) / len(writes) * 1e3


def define(server: Server, crd: Path) -> None:
    """Have the API server take a definition of LLMTrainingJob."""
    apply = ["kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(crd)]
    subprocess.run(apply, env=server.environment, check=True, stdout=subprocess.DEVNULL)


async def measured(server: Server, crds: list[Path], writes: int, rounds: int) -> dict[str, list[float]]:
    """Costs by what is written, a figure a round."""
    pid, found, first = server.processes()["kube-apiserver"], defaultdict(list), 0
    async with server.session() as session:
        for _ in range(rounds):
            for kind, some in others(session, first, writes).items():
                found[kind].append(await cost(pid, some))
            for crd in crds:
                define(server, crd)
                await quiet(pid)
                first += writes
                for kind, some in jobs(session, first, writes).items():
                    row = f"{kind} ({crd})" if len(crds) > 1 else kind
                    found[row].append(await cost(pid, some))
                    print(f"{row}: {found[row][-1]:.1f} ms", flush=True)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--writes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--crd", type=Path, nargs="+", default=[CRD])
    arguments = parser.parse_args()
    with control_plane(CLUSTER) as environment:
        server = Server(environment, asyncio.run(find_cluster()))
        define(server, arguments.crd[0])
        costs = asyncio.run(measured(server, arguments.crd, arguments.writes, arguments.rounds))
        print(
            f"\n{arguments.writes} of each, medians of {arguments.rounds} rounds\n\n| write | ms |\n|---|---|"
        )
        for kind, values in costs.items():
            print(f"| {kind} | {statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f}) |")


if __name__ == "__main__":
    main()
