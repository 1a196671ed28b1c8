"""``llmtrain debug``."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrain.errors import Mistake

from . import kubectl as by_kubectl
from . import output
from .options import Context, Name, Namespace, client

if TYPE_CHECKING:
    from llmtrain.client import Client
    from llmtrain_api import Job

SHELL = ("sh", "-c", "if command -v bash >/dev/null; then exec bash; else exec sh; fi")
STACKS = ("python3", "-m", "llmtrain_trainer", "stacks")
AT_ONCE = 8
"""Pods that are reached at the same time."""
NO_KUBECTL = ", and it is what reaches into a pod; install it"


Command = Annotated[
    list[str] | None, typer.Argument(metavar="-- COMMAND", help="Run this (default: a shell).")
]
Rank = Annotated[int, typer.Option("--rank", metavar="N", min=0, help="Node rank: whose pod (default: 0).")]
Stacks = Annotated[
    bool,
    typer.Option("--stacks", help="Print where each thread of the pod's ranks is; training goes on."),
]
Hold = Annotated[
    int | None,
    typer.Option(
        "--hold",
        metavar="SECONDS",
        min=0,
        help="Of attempts that begin from now on and fail, keep the pods for so long "
        "(recovery.holdSeconds); 0 = no longer.",
    ),
]
Release = Annotated[
    bool, typer.Option("--release", help="End the hold of an attempt that has failed, on all its nodes.")
]


def debug(
    name: Name,
    command: Command = None,
    rank: Rank = 0,
    stacks: Stacks = False,
    hold: Hold = None,
    release: Release = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Open a shell in a pod of a running job, or see where its ranks are; the job is not disturbed.

    It needs kubectl, and the right to create pods/exec. A pod that has ended cannot be entered: `llmtrain
    logs` has what it said. To enter one whose ranks have failed, let it be held: --hold, and --release.
    """
    asked = {"--stacks": stacks, "--hold": hold is not None, "--release": release}
    options = [option for option, is_there in asked.items() if is_there]
    if len(options) + bool(command) > 1:
        raise Mistake(f"{options[0]} is a command of its own: remove it, or all others")
    here = client(namespace, context)
    if hold is not None:
        _hold(here, name, hold)
        return
    job = here.get_job(name)
    kubectl = [*by_kubectl.of_context(context), "-n", job.metadata.namespace]
    if release:
        _release(kubectl, job)
        return
    code = _enter(kubectl, _pod(kubectl, job, rank), list(STACKS if stacks else command or SHELL), not stacks)
    if code:
        raise typer.Exit(code)


def _enter(kubectl: list[str], pod: Any, inside: list[str], for_people: bool) -> int:
    terminal = ["-t"] if for_people and sys.stdin.isatty() and sys.stdout.isatty() else []
    command = [*kubectl, "exec", "-i", *terminal, *_trainer(pod), "--", *inside]
    return subprocess.run(command, check=False).returncode


def _trainer(pod: Any) -> list[str]:
    """How kubectl names the container of its ranks."""
    return [pod["metadata"]["name"], "-c", pod["spec"]["containers"][0]["name"]]


def _hold(here: Client, name: str, seconds: int) -> None:
    here.hold_failures(name, seconds or None)
    if not seconds:
        output.lines([f"pods of {name} that fail are no longer held"])
        return
    which = f"pods of attempts of {name} that begin from now on and fail"
    output.lines([f"{which} are held for {seconds} s; llmtrain debug {name} --release ends that"])


def _release(kubectl: list[str], job: Job) -> None:
    """End the hold on every node: the rank that failed by itself tells why only when its pod ends.

    Raises:
        Mistake: the job is not held.
        Failed: a pod could not be reached, in kubectl's words.
    """
    from llmtrain_api.names import HELD, RELEASE_FILE, SCRATCH_MOUNT

    name, waiting = job.metadata.name, job.status.waiting
    if waiting is None or waiting.reason != HELD:
        phase = job.status.phase.value if job.status.phase else "new"
        raise Mistake(f"{name} is not held for debugging (it is {phase}); `llmtrain why {name}` says more")
    held = [pod for pod in _pods(kubectl, job) if _runs(pod)]
    touch = ["--", "touch", f"{SCRATCH_MOUNT}/{RELEASE_FILE}"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = [
            pool.submit(by_kubectl.said, [*kubectl, "exec", *_trainer(pod), *touch], NO_KUBECTL)
            for pod in held
        ]
    for one in said:
        one.result()
    output.lines(
        [f"{name} is no longer held: {len(held)} pods end, and what follows is as after any failure"]
    )


def _pods(kubectl: list[str], job: Job, rank: int | None = None) -> list[Any]:
    """Pods of the current attempt; of one rank, where that is given."""
    from llmtrain_api.names import LABEL_ATTEMPT, LABEL_JOB_UID, LABEL_RANK

    labels = {LABEL_JOB_UID: job.metadata.uid, LABEL_ATTEMPT: str(job.status.attempt)}
    if rank is not None:
        labels[LABEL_RANK] = str(rank)
    selector = ",".join(f"{label}={value}" for label, value in labels.items())
    command = [*kubectl, "get", "pods", "-l", selector, "-o", "json"]
    found: list[Any] = json.loads(by_kubectl.said(command, NO_KUBECTL))["items"]
    return found


def _runs(pod: Any) -> bool:
    return bool(pod.get("status", {}).get("phase") == "Running")


def _pod(kubectl: list[str], job: Job, rank: int) -> Any:
    """The pod of a rank of the current attempt, which runs.

    Raises:
        Mistake: there is none, with what there is instead.
    """
    phase = job.status.phase.value if job.status.phase else "new"
    pods = _pods(kubectl, job, rank)
    running = [pod for pod in pods if _runs(pod)]
    if running:
        return running[0]
    nodes = int(job.spec.get("nodes", 1))
    if rank >= nodes:
        raise Mistake(f"--rank: got {rank}, and {job.metadata.name} has node ranks 0 to {nodes - 1}")
    what = f"its pod is {pods[0]['status'].get('phase', 'new')}" if pods else "it has no pod"
    raise Mistake(
        f"rank {rank} of {job.metadata.name} cannot be entered: {what} (the job is {phase}); `llmtrain why "
        f"{job.metadata.name}` says more, `llmtrain logs {job.metadata.name} --rank {rank}` has its log"
    )
