"""The verbs ``generate`` and ``chat`` of the command line."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..imports import quick_imports
from ..process import has_gpu


def add(verbs: Any) -> None:
    """Add both to a parser's verbs."""
    text = "Print text that a model writes after a prompt, as it is drawn."
    generate = verbs.add_parser("generate", help=text, description=text)
    generate.set_defaults(run=run_generate)
    _common(generate, tokens=128)
    generate.add_argument(
        "prompt", nargs="?", default="", help="how the text begins ('-': read it from stdin)"
    )
    text = "Talk with a model that has a chat template."
    chat = verbs.add_parser("chat", help=text, description=text)
    chat.set_defaults(run=run_chat)
    _common(chat, tokens=512)
    chat.add_argument("--system", metavar="TEXT", help="what the model is told before all")


def _common(sub: argparse.ArgumentParser, tokens: int) -> None:
    sub.add_argument(
        "folder", type=Path, help="an export, the output folder of a job, or another Hugging Face folder"
    )
    sub.add_argument(
        "--tokens", type=_at_least(1, int), default=tokens, metavar="N", help=f"to add at most ({tokens})"
    )
    sub.add_argument(
        "--temperature",
        type=_at_least(0, float),
        default=0.8,
        metavar="T",
        help="of the draw; 0 takes the likeliest token each time (default: 0.8)",
    )
    sub.add_argument(
        "--top-p",
        type=_at_least(1e-6, float),
        default=0.95,
        metavar="P",
        help="draw from the likeliest tokens that have this share of the probability (default: 0.95)",
    )
    sub.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw (default: 0)")
    sub.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:K (default: a GPU if there is one)")


def _at_least(least: float, kind: type) -> Any:
    def number(text: str) -> Any:
        value = kind(text)
        if not value >= least or value == float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not a number of at least {least:g}")
        return value

    number.__name__ = kind.__name__
    return number


def run_generate(arguments: argparse.Namespace) -> int:
    """Write after a prompt."""
    with quick_imports():
        from .writing import prompt_ids, write
    opened = _opened(arguments)
    prompt = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    try:
        write(opened, prompt_ids(opened, prompt), _sampling(arguments), _show, skip_prompt=False)
    except KeyboardInterrupt:
        _show("\n")
    return 0


def run_chat(arguments: argparse.Namespace) -> int:
    """Talk until the user ends it."""
    with quick_imports():
        from .chat import HELP, Dialogue, talk, typed
    dialogue = Dialogue(_opened(arguments), _sampling(arguments), arguments.system)
    person = sys.stdin.isatty()
    if person:
        print(f"{arguments.folder}: {HELP}")
    talk(dialogue, typed("> ") if person else iter(sys.stdin), sys.stdout)
    return 0


def _sampling(arguments: argparse.Namespace) -> Any:
    from .writing import Sampling

    return Sampling(arguments.tokens, arguments.temperature, arguments.top_p, arguments.seed)


def _opened(arguments: argparse.Namespace) -> Any:
    if not has_gpu():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # transformers asks DeepSpeed, which warns otherwise
    with quick_imports():
        import transformers

        from .folder import device_of, opened
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    try:
        device = device_of(arguments.device)
    except RuntimeError as error:
        raise ConfigError(f"--device {arguments.device}: {str(error).splitlines()[0]}") from error
    return opened(arguments.folder, device)


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
