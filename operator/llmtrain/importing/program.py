"""A container's command as an entrypoint: torchrun is started here, so a torchrun of its own is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

SWITCHES = frozenset({"--standalone", "--no-python", "--run-path", "--no_python", "--run_path"})
"""Options of torchrun without a value."""
TORCH_MODULES = ("torch.distributed.run", "torch.distributed.launch")


@dataclass(frozen=True)
class Program:
    """What each process of a node runs.

    Attributes:
        words: the program and its arguments.
        torchrun: whether a process for each GPU was started by torchrun before.
        processes: of a node, where torchrun's options told them.
    """

    words: tuple[str, ...]
    torchrun: bool
    processes: int | None = None


def program_of(words: Sequence[str]) -> Program:
    """The program in a command.

    A shell's script stays as it is: it may start torchrun itself, by the variables that it finds.

    Args:
        words: command and arguments of a container.
    """
    rest = _after_torchrun(words)
    if rest is None:
        return Program(tuple(words), torchrun=False)
    module, bare, processes = False, False, None
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in ("-m", "--module"):
            module = True
        elif name in SWITCHES:
            bare = bare or "no" in name.replace("_", "-").split("-")
        else:
            value = value if equals else (rest.pop(0) if rest else "")
            if name.replace("_", "-") == "--nproc-per-node" and value.isdecimal():
                processes = int(value)
    starter = () if bare else ("python3", "-m") if module else ("python3", "-u")
    return Program((*starter, *rest), torchrun=True, processes=processes)


def _after_torchrun(words: Sequence[str]) -> list[str] | None:
    """The words after torchrun; None where the program is another."""
    if not words:
        return None
    first = PurePosixPath(words[0]).name
    if first == "torchrun":
        return list(words[1:])
    if first.startswith("python"):
        options = [word for word in words[1:] if word != "-u"]
        if len(options) > 1 and options[0] == "-m" and options[1] in TORCH_MODULES:
            return options[2:]
    return None
