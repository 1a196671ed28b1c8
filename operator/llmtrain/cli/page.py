"""``docs/cli.md``: every verb with its options, from the program itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmtrain.errors import EXIT_CODES

from .app import PASSED_ON, VERBS, command, flowing

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cli.md"
_HEAD = """# The command line

Generated from `operator/llmtrain/cli` by `make generate`.

`llmtrain` is also `kubectl llmtrain`. It talks to the cluster of the kubeconfig (`KUBECONFIG`, `--context`);
`run`, `check`, `eval`, `explain`, `schema`, `generate`, `chat`, `attribute`, and `serve` of a folder or a
URI need none. `-o json` and `-o yaml` print what a program may rely on: objects as the API server has them.
Errors are one sentence on standard error. Colours are off where nobody sees them, with `--no-color` and
`NO_COLOR`.
`llmtrain --version` tells the version; `llmtrain --install-completion` lets the shell complete verbs,
options and the names of jobs.

## Exit codes

| code | |
|---|---|
"""


def page() -> str:
    """The whole page."""
    codes = "\n".join(f"| {code} | {text} |" for code, text in EXIT_CODES)
    parts = [_HEAD + codes + "\n"]
    group = command()
    panel = ""
    for title, name, _ in VERBS:
        if title != panel:
            panel = title
            parts.append(f"## {title}\n")
        parts.append("\n".join(_verb(name, group.commands[name])))
    parts += [f"### llmtrain {name}\n\n{flowing(group.commands[name].help)}\n" for name in PASSED_ON]
    return "\n".join(parts)


def _verb(name: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    words = [name, *map(_word, arguments)]
    yield f"### llmtrain {' '.join(words)}\n"
    yield flowing(command.help) + "\n"
    if not options:
        return
    yield "| option | |"
    yield "|---|---|"
    for option in options:
        spelled = ", ".join(f"`{word}`" for word in option.opts)
        value = f" {option.metavar}" if option.metavar else ""
        yield f"| {spelled}{value} | {option.help} |"
    yield ""


def _word(argument: Any) -> str:
    """An argument as it is written after a verb."""
    name = str(argument.metavar or argument.name)
    if not argument.required:
        return f"[{name}]"
    return f"{name}..." if argument.nargs == -1 else name


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"page: {PAGE.name}", file=sys.stderr)
