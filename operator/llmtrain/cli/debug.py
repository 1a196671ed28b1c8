"""``llmtrain debug``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrain.errors import Mistake

from . import kubectl as by_kubectl
from .options import Context, Name, Namespace, client

if TYPE_CHECKING:
    from llmtrain_api import Job

SHELL = ("sh", "-c", "if command -v bash >/dev/null; then exec bash; else exec sh; fi")
STACKS = ("python3", "-m", "llmtrain_trainer", "stacks")
NO_KUBECTL = ", and it is what reaches into a pod; install it"


def debug(
    name: Name,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="Run this (default: a shell).")
    ] = None,
    rank: Annotated[
        int, typer.Option("--rank", metavar="N", min=0, help="Node rank: whose pod (default: 0).")
    ] = 0,
    stacks: Annotated[
        bool,
        typer.Option("--stacks", help="Print where each thread of the pod's ranks is; training goes on."),
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Open a shell in a pod of a running job, or see where its ranks are; the job is not disturbed.

    It needs kubectl, and the right to create pods/exec. A pod that has ended cannot be entered: `llmtrain
    logs` has what it said.
    """
    if stacks and command:
        raise Mistake("--stacks is a command of its own: remove it, or the command behind --")
    job = client(namespace, context).get_job(name)
    kubectl = [*by_kubectl.of_context(context), "-n", job.metadata.namespace]
    pod = _pod(kubectl, job, rank)
    inside = list(STACKS if stacks else command or SHELL)
    terminal = ["-t"] if not stacks and sys.stdin.isatty() and sys.stdout.isatty() else []
    run = [*kubectl, "exec", "-i", *terminal, pod["metadata"]["name"]]
    container = pod["spec"]["containers"][0]["name"]
    code = subprocess.run([*run, "-c", container, "--", *inside], check=False).returncode
    if code:
        raise typer.Exit(code)


def _pod(kubectl: list[str], job: Job, rank: int) -> Any:
    """The pod of a rank of the current attempt, which runs.

    Raises:
        Mistake: there is none, with what there is instead.
    """
    from llmtrain_api.names import LABEL_ATTEMPT, LABEL_JOB_UID, LABEL_RANK

    phase = job.status.phase.value if job.status.phase else "new"
    labels = {
        LABEL_JOB_UID: job.metadata.uid,
        LABEL_ATTEMPT: str(job.status.attempt),
        LABEL_RANK: str(rank),
    }
    selector = ",".join(f"{label}={value}" for label, value in labels.items())
    command = [*kubectl, "get", "pods", "-l", selector, "-o", "json"]
    pods = json.loads(by_kubectl.said(command, NO_KUBECTL))["items"]
    running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
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
