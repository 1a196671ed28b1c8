"""The verbs of the command line that use a model: ``generate`` and ``chat``; ``attribute`` is next door."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..imports import quick_imports
from . import attribute
from .options import add_adapter, add_model, at_least, open_model

VERBS = ("generate", "chat", "attribute")


def add(verbs: Any) -> None:
    """Add them to a parser's verbs."""
    text = "Print text that a model writes after a prompt, as it is drawn."
    generate = verbs.add_parser("generate", help=text, description=text)
    generate.set_defaults(run=run_generate)
    _common(generate, tokens=128)
    generate.add_argument(
        "prompt", nargs="?", default="", help="how the text begins ('-': read it from stdin)"
    )
    generate.add_argument(
        "--image",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="PNG or JPEG that the prompt asks about; may be given again (for models that see images)",
    )
    text = "Talk with a model that has a chat template."
    chat = verbs.add_parser("chat", help=text, description=text)
    chat.set_defaults(run=run_chat)
    _common(chat, tokens=512)
    chat.add_argument("--system", metavar="TEXT", help="what the model is told before all")
    attribute.add(verbs)


def _common(sub: argparse.ArgumentParser, tokens: int) -> None:
    add_model(sub)
    add_adapter(sub)
    sub.add_argument(
        "--tokens", type=at_least(1, int), default=tokens, metavar="N", help=f"to add at most ({tokens})"
    )
    sub.add_argument(
        "--temperature",
        type=at_least(0, float),
        default=0.8,
        metavar="T",
        help="of the draw; 0 takes the likeliest token each time (default: 0.8)",
    )
    sub.add_argument(
        "--top-p",
        type=at_least(1e-6, float),
        default=0.95,
        metavar="P",
        help="draw from the likeliest tokens that have this share of the probability (default: 0.95)",
    )
    sub.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw (default: 0)")


def run_generate(arguments: argparse.Namespace) -> int:
    """Write after a prompt."""
    with quick_imports():
        from .seeing import asked_about, require_images
        from .writing import prompt_ids, write
    opened = open_model(arguments, sees=True)
    require_images(opened, arguments.image)
    prompt = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    try:
        if arguments.image:
            given = asked_about(opened, prompt, arguments.image)
            write(
                opened,
                given["input_ids"][0].tolist(),
                _sampling(arguments),
                _show,
                pixels=given["pixel_values"],
            )
        else:
            write(opened, prompt_ids(opened, prompt), _sampling(arguments), _show, skip_prompt=False)
    except KeyboardInterrupt:
        _show("\n")
    return 0


def run_chat(arguments: argparse.Namespace) -> int:
    """Talk until the user ends it."""
    with quick_imports():
        from .chat import HELP, Dialogue, talk, typed
    dialogue = Dialogue(open_model(arguments), _sampling(arguments), arguments.system)
    person = sys.stdin.isatty()
    if person:
        print(f"{arguments.folder}: {HELP}")
    talk(dialogue, typed("> ") if person else iter(sys.stdin), sys.stdout)
    return 0


def _sampling(arguments: argparse.Namespace) -> Any:
    from .writing import Sampling

    return Sampling(arguments.tokens, arguments.temperature, arguments.top_p, arguments.seed)


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
