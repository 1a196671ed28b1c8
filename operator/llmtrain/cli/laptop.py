"""Verbs without a cluster: ``run`` and ``check``, and the trainer's own."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmtrain.errors import Mistake

from . import lr_range as lr
from . import output as printed
from .options import Format, JobOrSweep, Output

if TYPE_CHECKING:
    from llmtrain_operator.local.check import CheckRequest
    from llmtrain_operator.local.command import Request

ENV_COMMAND = "LLMTRAIN_COMMAND"
"""What a person types to get here, where a script stands between."""
MODULE = "llmtrain"

Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder of claims.")]


Folder = Annotated[
    Path | None,
    typer.Option("--output", metavar="DIR", help="Output folder (default: as the manifest says)."),
]
Nodes = Annotated[
    int | None,
    typer.Option("--nodes", metavar="N", min=1, help="Pods (default: the manifest's, 2 at most)."),
]
ProcessesPerNode = Annotated[
    int | None,
    typer.Option(
        "--processes-per-node", metavar="N", min=1, help="Training processes a pod (default: what fits)."
    ),
]
New = Annotated[
    bool, typer.Option("--new", help="Begin a new job, even where an earlier run of it could go on.")
]
Web = Annotated[
    bool, typer.Option("--web", help="Also serve the page of this folder's jobs, until the job is over.")
]
Data = Annotated[
    bool,
    typer.Option(
        "--data",
        help="Also read the first documents of each source: counts by reason, samples with their mask.",
    ),
]


def run(
    manifest: JobOrSweep,
    output: Folder = None,
    runs: Runs = Path("runs"),
    nodes: Nodes = None,
    processes_per_node: ProcessesPerNode = None,
    new: New = False,
    web: Web = False,
) -> None:
    """Run an LLMTrainingJob on this machine, without Kubernetes.

    The job lives as in a cluster: the same decisions, a gang of pods, attempts, restarts from the newest
    checkpoint. Pods are local processes; claims are folders, pvc://CLAIM/FOLDER is ./runs/CLAIM/FOLDER.

    The trials of an LLMTrainingSweep run one after the other; the table at the end names the best.

    Ctrl-C saves a checkpoint and stops; the same command goes on from there, also after kill -9. A second
    Ctrl-C does not wait for the checkpoint.

    Exit codes: 0 succeeded, 1 failed, 2 a mistake in the manifest, 75 stopped.
    """
    from llmtrain_operator.local.command import Request
    from llmtrain_operator.local.scale_down import GangOverrides

    request = Request(
        manifest=manifest,
        runs=runs.absolute(),
        output=output.absolute() if output else None,
        overrides=GangOverrides(nodes, processes_per_node),
        new=new,
        command=os.environ.get(ENV_COMMAND) or typed(sys.argv),
    )
    raise typer.Exit(_run_beside_page(request) if web else _run(request))


def _run(request: Request) -> int:
    from llmtrain_operator.local.command import run as run_one
    from llmtrain_operator.local.sweep import run_sweep
    from llmtrain_operator.local.sweep_file import is_sweep

    run_it = run_sweep if is_sweep(request.manifest) else run_one
    return run_it(request, sys.stdout)


def _run_beside_page(request: Request) -> int:
    from .web import beside

    with beside(request.runs) as address:
        print(f"page: {address}", flush=True)
        return _run(request)


def check(
    manifest: JobOrSweep,
    data: Data = False,
    lr_range: lr.Wanted = False,
    steps: lr.Steps = None,
    lowest: lr.Lowest = None,
    highest: lr.Highest = None,
    form: Output = Format.TABLE,
    runs: Runs = Path("runs"),
) -> None:
    """Say what an LLMTrainingJob will be, and whether anything is wrong with it.

    Of an LLMTrainingSweep: what it tries, and the same of the first of its jobs.

    The rules and the words are those of when it is applied. Nothing is started and nothing is written.

    With --lr-range a short job of its own runs here, never in a cluster: the learning rate rises from step to
    step until the loss leaps, and the curve is printed with the rate that it suggests. Its folder is deleted.

    Exit codes: 0 it may run, or a rate is suggested, 1 something could not be looked at, or none is, 2 a
    mistake in the manifest, 75 the test was stopped.
    """
    from llmtrain_operator.local.check import CheckRequest

    if lr_range:
        if data:
            raise Mistake("--data and --lr-range: one at a time")
        raise typer.Exit(lr.range_of(manifest, runs.absolute(), steps, (lowest, highest), form))
    lr.raise_unless_tested({"--steps": steps, "--lowest": lowest, "--highest": highest})
    raise typer.Exit(_check(CheckRequest(manifest, runs.absolute(), data), form))


def _check(request: CheckRequest, form: Format) -> int:
    from llmtrain_operator.local.check import check as check_one
    from llmtrain_operator.local.check import check_data
    from llmtrain_operator.local.check_sweep import check_sweep, check_sweep_data
    from llmtrain_operator.local.sweep_file import is_sweep

    sweep = is_sweep(request.manifest)
    if not form.for_programs:
        return (check_sweep if sweep else check_one)(request, sys.stdout)
    if request.data:
        raise Mistake("--data prints samples for people; leave out -o json and -o yaml")
    code, found = (check_sweep_data if sweep else check_data)(request)
    printed.data(found, form)
    return code


def generate(context: typer.Context) -> None:
    """Print text that a trained model writes after a prompt; `llmtrain generate --help` has its options."""
    raise typer.Exit(trainers_verb(["generate", *context.args]))


def chat(context: typer.Context) -> None:
    """Talk with a trained model that has a chat template; `llmtrain chat --help` has its options."""
    raise typer.Exit(trainers_verb(["chat", *context.args]))


def attribute(context: typer.Context) -> None:
    """Explain a trained model by single texts: what each token adds, and the nearest training documents.

    `llmtrain attribute --help` has its options.
    """
    raise typer.Exit(trainers_verb(["attribute", *context.args]))


def trainers_verb(arguments: list[str]) -> int:
    """Become the trainer's program: it has the terminal, the signals and the exit code for itself."""
    if importlib.util.find_spec("llmtrain_trainer") is None:
        fix = "pip install 'llm-training-operator[trainer]'"
        print(f"error: `llmtrain {arguments[0]}` needs the trainer: {fix}", file=sys.stderr)
        return 2
    from llmtrain_api.names import ENV_PROGRAM

    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", ENV_PROGRAM: "llmtrain"}
    command = [sys.executable, "-W", "ignore", "-m", "llmtrain_trainer", *arguments]
    os.execve(sys.executable, command, {**os.environ, **quiet})


def typed(words: list[str]) -> str:
    """The command as a person can type it again, less ``--new``, which would not go on.

    Args:
        words: of the program, as ``sys.argv`` has them.
    """
    from llmtrain_api.names import ENV_PROGRAM

    program = Path(os.environ.get(ENV_PROGRAM) or words[0])
    name = [sys.executable, "-m", MODULE] if program.suffix == ".py" else [program.name]
    return shlex.join([*name, *(word for word in words[1:] if word != "--new")])
