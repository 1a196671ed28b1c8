"""``python -m llmtrain_trainer VERB``: every verb imports only what it needs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from llmtrain_api import Task
from llmtrain_api.names import ENV_JOB_FILE, ENV_PROGRAM, EXIT_CONFIG, JOB_FILE

from .errors import ConfigError
from .inference import verbs as inference

EXIT_MISTAKE = 2
"""Of what a person typed, as of every other verb of the command line; jobs have `EXIT_CONFIG`."""
Verb = Callable[[argparse.Namespace], int]


def _launch(arguments: argparse.Namespace) -> int:
    from .launch.launcher import launch

    return launch(arguments.job, only_prepare=arguments.only_prepare)


def _inspect(arguments: argparse.Namespace) -> int:
    from .launch.inspect import inspect

    return inspect(arguments.job)


def _stacks(arguments: argparse.Namespace) -> int:
    from .launch.stacks import stacks

    return stacks(arguments.job)


def _train(arguments: argparse.Namespace) -> int:
    from .training.rank import main as train

    return train([arguments.job])


def _stage(name: str) -> Verb:
    def run(arguments: argparse.Namespace) -> int:
        from . import commands

        verb: Verb = getattr(commands, name)
        return verb(arguments)

    return run


def parser() -> argparse.ArgumentParser:
    """The command line."""
    program = os.environ.get(ENV_PROGRAM, "llmtrain-trainer")
    top = argparse.ArgumentParser(prog=program, description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)

    def verb(name: str, run: Verb, text: str, *, job: bool = True) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if job:
            default = os.environ.get(ENV_JOB_FILE, JOB_FILE)
            sub.add_argument("job", nargs="?", default=default, help=f"job.json (default: {default})")
        return sub

    verb("launch", _launch, "Run one node of an attempt: PID 1 of a worker pod.").add_argument(
        "--only-prepare", action="store_true", help="end once the data are prepared, before any rank starts"
    )
    verb("inspect", _inspect, "Look at the model of a job: facts, or what is wrong with it.")
    fetch = verb("fetch", _stage("fetch"), "Copy the model of a job from a hub or a bucket into its scratch.")
    fetch.add_argument(
        "--without-weights", action="store_true", help="its tokenizer and configuration alone: kilobytes"
    )
    prepare = verb("prepare", _stage("prepare"), "Make the data folder of a job.")
    prepare.add_argument("--into", required=True, help="folder to make")
    prepare.add_argument("--tokens", help="folder of token sets (default: tokens/ beside the folder to make)")
    prepare.add_argument("--progress", help="file that says how far it is (default: none)")
    verb("preview", _stage("preview"), "Print what the first documents of a job's data come to.")
    verb("train", _train, "Run one rank; torchrun starts it.")
    verb("stacks", _stacks, "Print where the ranks of this node are; training goes on.")
    track = verb("track", _stage("track"), "Tell a tracker of experiments what a job writes.")
    track.add_argument("--number", type=int, required=True, help="which of telemetry.trackers")
    verb("export", _stage("export"), "Export a trained job as a Hugging Face folder, and compare it.")
    verb("publish", _stage("publish"), "Push the export of a job to the hub that it names.")
    verb("tasks", _stage("tasks"), "Measure an export on tasks of the lm-evaluation-harness.")
    verb("measure", _stage("measure"), "Measure the model of a job as it is, and train nothing.")
    evaluate = verb("evaluate", _stage("evaluate"), "Loss and perplexity of an exported folder.", job=False)
    evaluate.add_argument("folder", help="Hugging Face folder")
    evaluate.add_argument("heldout", help="data/heldout.npy: [sequences, length] token ids")
    evaluate.add_argument(
        "--task",
        choices=[
            task for task in Task if not task.on_pairs and task not in (Task.REINFORCEMENT, Task.IMAGE_CHAT)
        ],
        default=Task.CAUSAL,
        help="what the model learnt (default: causal)",
    )
    evaluate.add_argument(
        "--documents",
        action="store_true",
        help="for training.packing: documents",
    )
    evaluate.add_argument("--batch", type=int, default=8, help="sequences a forward pass (default: 8)")
    inference.add(verbs)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run a verb; the exit code."""
    arguments = parser().parse_args(argv)
    run: Verb = arguments.run
    try:
        return run(arguments)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        typed = arguments.verb in inference.VERBS
        return EXIT_MISTAKE if typed else EXIT_CONFIG


if __name__ == "__main__":
    sys.exit(main())
