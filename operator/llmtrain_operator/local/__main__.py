"""``llmtrain``: jobs on this machine without Kubernetes, what they will be, and what was trained."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from llmtrain_api.names import ENV_PROGRAM

from .check import CheckRequest, check
from .command import Request, run
from .scale_down import GangOverrides

ENV_COMMAND = "LLMTRAIN_COMMAND"
"""What a person types to get here, where a script stands between."""
TRAINERS_VERBS = {
    "generate": "print text that a trained model writes after a prompt",
    "chat": "talk with a trained model that has a chat template",
}
EPILOG = """\
The job lives as in a cluster: the same decisions, a gang of pods, attempts, restarts from the newest
checkpoint. Pods are local processes; claims are folders, pvc://CLAIM/FOLDER is ./runs/CLAIM/FOLDER.

Ctrl-C saves a checkpoint and stops; the same command goes on from there, also after kill -9. A second Ctrl-C
does not wait for the checkpoint.

exit codes: 0 succeeded, 1 failed, 2 a mistake in the manifest, 75 stopped
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="llmtrain", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    sub = verbs.add_parser(
        "run",
        help="run an LLMTrainingJob on this machine",
        description="Run an LLMTrainingJob on this machine, without Kubernetes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub.add_argument("manifest", type=Path, help="YAML of an LLMTrainingJob")
    sub.add_argument(
        "--output", type=Path, metavar="DIR", help="output folder (default: as the manifest says)"
    )
    sub.add_argument(
        "--runs", type=Path, metavar="DIR", default=Path("runs"), help="folder of claims (default: ./runs)"
    )
    sub.add_argument("--nodes", type=_count, metavar="N", help="pods (default: the manifest's, 2 at most)")
    sub.add_argument(
        "--processes-per-node", type=_count, metavar="N", help="training processes a pod (default: what fits)"
    )
    sub.add_argument("--new", action="store_true", help="a new job, whatever an earlier run of it has left")
    _add_check(verbs)
    for name, text in TRAINERS_VERBS.items():
        verbs.add_parser(name, help=text, add_help=False)
    return top


def _add_check(verbs: Any) -> None:
    sub = verbs.add_parser(
        "check",
        help="say what an LLMTrainingJob will be, and whether anything is wrong with it",
        description="Say what an LLMTrainingJob will be on its cluster, and whether anything is wrong with "
        "it: the rules and the words of when it is applied. Nothing is started and nothing is written.",
        epilog="exit codes: 0 it may run, 1 something could not be looked at, 2 a mistake in the manifest",
    )
    sub.add_argument("manifest", type=Path, help="YAML of an LLMTrainingJob")
    sub.add_argument(
        "--data",
        action="store_true",
        help="also read the first documents of each source: counts by reason, and samples with their mask",
    )
    sub.add_argument(
        "--runs", type=Path, metavar="DIR", default=Path("runs"), help="folder of claims (default: ./runs)"
    )


def trainers_verb(arguments: list[str]) -> int:
    """Become the trainer's program: it has the terminal, the signals and the exit code for itself."""
    if importlib.util.find_spec("llmtrain_trainer") is None:
        fix = "pip install 'llm-training-operator[trainer]'"
        print(f"error: `llmtrain {arguments[0]}` needs the trainer: {fix}", file=sys.stderr)
        return 2
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", ENV_PROGRAM: "llmtrain"}
    command = [sys.executable, "-W", "ignore", "-m", "llmtrain_trainer", *arguments]
    os.execve(sys.executable, command, {**os.environ, **quiet})


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def main(argv: list[str] | None = None) -> int:
    """Run a verb; the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments and arguments[0] in TRAINERS_VERBS:
        return trainers_verb(arguments)
    asked = parser().parse_args(arguments)
    if asked.verb == "check":
        return check(CheckRequest(asked.manifest, asked.runs.absolute(), asked.data), sys.stdout)
    request = Request(
        manifest=asked.manifest,
        runs=asked.runs.absolute(),
        output=asked.output.absolute() if asked.output else None,
        overrides=GangOverrides(asked.nodes, asked.processes_per_node),
        new=asked.new,
        command=os.environ.get(ENV_COMMAND) or _typed(arguments),
    )
    return run(request, sys.stdout)


def _typed(arguments: list[str]) -> str:
    """The command as a person can type it again, less ``--new``, which would not go on."""
    program = Path(os.environ.get(ENV_PROGRAM) or sys.argv[0])
    name = [sys.executable, "-m", "llmtrain_operator.local"] if program.suffix == ".py" else [program.name]
    return shlex.join([*name, *(word for word in arguments if word != "--new")])


if __name__ == "__main__":
    sys.exit(main())
