"""What the operator costs beside bare pods: gangs on a real API server, made by it and by hand, in turns.

``python -m bench.operator [--jobs 100] [--nodes 4] [--rounds 2]``: a control plane of `hack/cluster` without
nodes, so nothing but writes and who makes them is measured. The floor is one Service and the very same pods,
POSTed by one client. Both are counted until the last pod exists; then all of it is deleted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from bench.clusters import ROOT, control_plane

from llmtrain_api import Job, parse_spec
from llmtrain_api.names import API_VERSION, KIND, LABEL_MANAGED_BY, MANAGER, PLURAL
from llmtrain_operator.kube.address import ClusterAddress, find_cluster
from llmtrain_operator.kube.api import RESOURCES
from llmtrain_operator.manifests.pod import pod
from llmtrain_operator.manifests.service import service
from llmtrain_operator.types import PlanSettings

CLUSTER = "bench"
TICKS = os.sysconf("SC_CLK_TCK")
SETTINGS = PlanSettings(trainer_image="trainer:bench", report_url=None, ca_certificate="")
IN_FLIGHT = 64
DEADLINE_SECONDS = 600.0
WATCH = aiohttp.ClientTimeout(total=DEADLINE_SECONDS)
SERVED = re.compile(
    r'^apiserver_request_total\{.*?resource="(\w+)".*?subresource="(\w*)".*?verb="(\w+)".*\} (\S+)$'
)
READS = ("GET", "LIST")
BY_OTHERS = ("pods/status", "events")
"""What the scheduler writes of pods that have no node; some of the events are the operator's."""
COUNTED = (PLURAL, "pods", "services", "configmaps", "events", "resourcequotas")


@dataclass(frozen=True)
class Turn:
    """One way of making all gangs, once.

    Attributes:
        seconds: from the first request until the last pod existed.
        cpu: seconds of CPU by program.
        served: requests that the API server answered, by verb and resource.
    """

    way: str
    seconds: float
    cpu: dict[str, float]
    served: Counter[tuple[str, str]]


class Server:
    """The API server as an administrator sees it, and the processes behind it."""

    def __init__(self, environment: dict[str, str], address: ClusterAddress) -> None:
        self.environment = os.environ | environment
        self.address = address

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """One client, with as many connections as the operator has."""
        connector = aiohttp.TCPConnector(ssl=self.address.tls or False, limit=IN_FLIGHT)
        async with aiohttp.ClientSession(self.address.server, connector=connector) as session:
            yield session

    def processes(self) -> dict[str, int]:
        """The control plane's programs that a write keeps busy, by name."""
        folder = str(Path(self.environment["KUBECONFIG"]).parents[1])
        found = {}
        for name in ("kube-apiserver", "etcd"):
            listed = subprocess.run(["pgrep", "-f", f"{folder}/bin/{name} "], text=True, capture_output=True)
            found[name] = int(listed.stdout.split()[0])
        return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def served(session: aiohttp.ClientSession) -> Counter[tuple[str, str]]:
    """All requests so far, of the resources that count."""
    async with session.get("/metrics") as answer:
        text = await answer.text()
    found: Counter[tuple[str, str]] = Counter()
    for line in text.splitlines():
        matched = SERVED.match(line)
        if matched and matched[1] in COUNTED and matched[3] != "WATCH":
            resource = matched[1] + (f"/{matched[2]}" if matched[2] else "")
            found[matched[3], resource] += int(float(matched[4]))
    return found


def job_body(name: str, namespace: str, nodes: int) -> dict[str, Any]:
    """A job that is as plain as can be."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodes": nodes,
            "model": {"name": "builtin://tiny-llama"},
            "dataset": {"name": "builtin://random-tokens"},
            "training": {"maxSteps": 20, "globalBatchSize": max(16, nodes)},
            "output": {"uri": f"pvc://checkpoints/{name}"},
        },
    }


def children(name: str, namespace: str, nodes: int) -> list[tuple[str, dict[str, Any]]]:
    """The Service and the pods that the operator makes of it, as (resource, manifest)."""
    body = job_body(name, namespace, nodes)
    body["metadata"] |= {"uid": f"00000000-0000-0000-0000-{int(name[1:]):012d}", "resourceVersion": "1"}
    job, spec = Job.model_validate(body), parse_spec(body["spec"], strict=True)
    pods = [pod(job, spec, 0, rank, SETTINGS.trainer_image, SETTINGS, []) for rank in range(nodes)]
    made = [("services", service(job)), *(("pods", one) for one in pods)]
    for _, manifest in made:
        # they belong to no object, or the garbage collector would take them
        manifest["metadata"].pop("ownerReferences", None)
    return made


async def post(session: aiohttp.ClientSession, resource: str, namespace: str, body: dict[str, Any]) -> None:
    """Create one object.

    Raises:
        RuntimeError: it was refused.
    """
    path, headers = RESOURCES[resource].path(namespace), {"Content-Type": "application/json"}
    async with session.post(path, data=orjson.dumps(body), headers=headers) as answer:
        if answer.status >= 300:
            raise RuntimeError(f"{resource}: {answer.status} {await answer.text()}")


async def until_all_exist(session: aiohttp.ClientSession, namespace: str, count: int) -> None:
    """Follow the pods of a namespace by watches, each from its beginning, until there were so many names."""
    query = {"watch": "1", "labelSelector": f"{LABEL_MANAGED_BY}={MANAGER}", "resourceVersion": "0"}
    names: set[str] = set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            left = b""
            async with session.get(RESOURCES["pods"].path(namespace), params=query, timeout=WATCH) as stream:
                async for chunk in stream.content.iter_any():
                    *lines, left = (left + chunk).split(b"\n")
                    names |= {orjson.loads(line)["object"]["metadata"]["name"] for line in lines}
                    if len(names) >= count:
                        return


async def measured(server: Server, way: str, namespace: str, arguments: argparse.Namespace) -> Turn:
    """One turn: everything made, in its own namespace, from nothing."""
    programs = server.processes()
    async with server.session() as session:
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        async with session.post("/api/v1/namespaces", json=space) as answer:
            answer.raise_for_status()
        with running_operator(server, namespace) if way == "operator" else contextlib.nullcontext() as pid:
            if pid is not None:
                programs["operator"] = pid
            await asyncio.sleep(10.0)  # who has just started is busy with that, in either way
            before, asked = {name: cpu_seconds(p) for name, p in programs.items()}, await served(session)
            began = time.monotonic()
            names = [f"b{n}" for n in range(arguments.jobs)]
            watch = asyncio.create_task(until_all_exist(session, namespace, arguments.jobs * arguments.nodes))
            await make(session, way, namespace, names, arguments.nodes)
            await watch
            seconds = time.monotonic() - began
            await asyncio.sleep(5.0)  # what follows the last pod belongs to it: its record in the status
            cpu = {name: cpu_seconds(p) - before[name] for name, p in programs.items()}
            turn = Turn(way, seconds, cpu, await served(session) - asked)
        async with session.delete(f"/api/v1/namespaces/{namespace}") as answer:
            answer.raise_for_status()
    return turn


async def make(
    session: aiohttp.ClientSession, way: str, namespace: str, names: list[str], nodes: int
) -> None:
    """All jobs, or all that a job is made of."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(name: str) -> None:
        if way == "operator":
            wanted = [(PLURAL, job_body(name, namespace, nodes))]
        else:
            wanted = children(name, namespace, nodes)
        await asyncio.gather(*(put(resource, body) for resource, body in wanted))

    async def put(resource: str, body: dict[str, Any]) -> None:
        async with slots:
            await post(session, resource, namespace, body)

    await asyncio.gather(*map(one, names))


@contextlib.contextmanager
def running_operator(server: Server, namespace: str) -> Iterator[int]:
    """The operator as a process, for one namespace. Yields its process id."""
    folders = (str(ROOT / part) for part in ("crds", "operator"))
    command = [sys.executable, "-m", "llmtrain_operator", "--trainer-image=trainer:bench", "--room=quota"]
    command += [f"--namespace={namespace}", f"--watch-namespace={namespace}", "--health-port=0"]
    process = subprocess.Popen(
        command,
        env=server.environment | {"PYTHONPATH": os.pathsep.join(folders)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process.pid
        if process.poll() is not None:
            raise RuntimeError(f"the operator ended with {process.returncode}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def table(turns: list[Turn], jobs: int) -> str:
    """Medians by way, and the operator's as a multiple of the floor's."""
    ways = {way: [t for t in turns if t.way == way] for way in ("floor", "operator")}

    def median(way: str, figure: str) -> float:
        values = {
            "seconds": [t.seconds for t in ways[way]],
            "apiserver": [(t.cpu["kube-apiserver"] + t.cpu["etcd"]) / jobs * 1e3 for t in ways[way]],
            "operator": [t.cpu.get("operator", 0.0) / jobs * 1e3 for t in ways[way]],
            "reads": [sum(n for (v, _), n in t.served.items() if v in READS) / jobs for t in ways[way]],
            "writes": [sum(n for (v, _), n in t.served.items() if v not in READS) / jobs for t in ways[way]],
            "own": [
                sum(n for (v, r), n in t.served.items() if v not in READS and r not in BY_OTHERS) / jobs
                for t in ways[way]
            ],
        }
        return statistics.median(values[figure])

    rows = {
        "seconds until all pods exist": "seconds",
        "CPU of API server and etcd, ms a job": "apiserver",
        "CPU of the operator, ms a job": "operator",
        "reads a job": "reads",
        "writes a job, the scheduler's and all Events among them": "writes",
        "writes a job without those": "own",
    }
    lines = ["| | bare pods + Service | operator | ratio |", "|---|---|---|---|"]
    for text, figure in rows.items():
        floor, ours = median("floor", figure), median("operator", figure)
        ratio = f"{ours / floor:.2f}" if floor else "–"
        lines.append(f"| {text} | {floor:.1f} | {ours:.1f} | {ratio} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with control_plane(CLUSTER) as environment:
        server = Server(environment, asyncio.run(find_cluster()))
        crd = ROOT / "crds" / "llmtrain.dev_llmtrainingjobs.yaml"
        apply = ["kubectl", "apply", "--server-side", "-f", str(crd)]
        subprocess.run(apply, env=server.environment, check=True, stdout=subprocess.DEVNULL)
        turns = []
        for number in range(arguments.rounds + 1):
            for way in ("floor", "operator"):
                turn = asyncio.run(measured(server, way, f"{way}-{number}", arguments))
                # in the first the garbage collector does not know the new kind yet, and reads each owner
                turns += [turn] if number else []
                print(f"{way} {number}: {turn.seconds:.1f} s, {turn.cpu}, {dict(turn.served)}", flush=True)
        of_each = f"medians of {arguments.rounds} turns each, after one more"
        print(f"\n{arguments.jobs} jobs of {arguments.nodes} pods, {of_each}\n")
        print(table(turns, arguments.jobs))


if __name__ == "__main__":
    main()
