"""What the verbs that use a model have in common: which folder, on which device."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..imports import quick_imports
from ..process import has_gpu


def add_model(sub: argparse.ArgumentParser) -> None:
    """Add the folder of a model, and the device."""
    sub.add_argument(
        "folder", type=Path, help="an export, the output folder of a job, or another Hugging Face folder"
    )
    sub.add_argument("--device", metavar="NAME", help="cpu, cuda or cuda:K (default: a GPU if there is one)")


def add_adapter(sub: argparse.ArgumentParser) -> None:
    """Add the choice of one adapter of many."""
    sub.add_argument(
        "--adapter",
        metavar="NAME",
        help="of a sweep of adapters, whose output folder FOLDER is: the one that is used",
    )
    sub.add_argument(
        "--base",
        type=Path,
        metavar="FOLDER",
        help="with --adapter: where the base model is, if it is not where router.json says",
    )


def at_least(least: float, kind: type) -> Any:
    """The type of an option that is a number.

    Args:
        least: that it may be.
        kind: whole or not.
    """

    def number(text: str) -> Any:
        value = kind(text)
        if not value >= least or value == float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not a number of at least {least:g}")
        return value

    number.__name__ = kind.__name__
    return number


def open_model(arguments: argparse.Namespace, *, writes: bool = True, sees: bool = False) -> Any:
    """Open the model that `add_model` asked for.

    Args:
        arguments: of the verb.
        writes: whether only a model will do that writes text.
        sees: whether a model will do that answers about images.

    Raises:
        ConfigError: there is no such model, or no such device.
    """
    if not has_gpu():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # transformers asks DeepSpeed, which warns otherwise
    with quick_imports():
        import transformers

        from .folder import device_of, opened, opened_adapter
        from .routed import routed
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    try:
        device = device_of(arguments.device)
    except RuntimeError as error:
        raise ConfigError(f"--device {arguments.device}: {str(error).splitlines()[0]}") from error
    named, base = getattr(arguments, "adapter", None), getattr(arguments, "base", None)
    if base is not None and named is None:
        raise ConfigError("--base is for --adapter", "leave it out, or name an adapter")
    if named is not None:
        return opened_adapter(routed(arguments.folder, named, base), device)
    found = opened(arguments.folder, device, writes=writes)
    if found.processor is not None and not sees:
        raise ConfigError(
            f"{arguments.folder} holds a model that answers about images",
            "use llmtrain generate FOLDER PROMPT --image FILE",
        )
    return found
