"""``docs/gallery.md``: what each task learns of real text, as ``make corpora`` measured it.

The figures are in ``docs/gallery.json``, which that command writes and nobody else.
"""

from __future__ import annotations

import json
from typing import Any

from .gallery import FOLDER, escaped, read_example
from .navigation import DOCS

PAGE = DOCS / "gallery.md"
FIGURES = DOCS / "gallery.json"
KINDS = DOCS / "gallery-tokenizers.json"
_HEAD = """# Gallery: what each task learns

Generated from `gallery.json`, which `make corpora` writes, by `make generate`: no figure here is typed.

Each manifest of `examples/` below was run twice by `llmtrain run` in one process, on real text that lies
on a Debian machine (`tests/harness/corpora/texts.py` makes rows of it; pictures are drawn), with a built-in
model of two layers from scratch, and the sizes and steps of `table.py` beside it:

- **By heart**: 64 rows, of pictures as many as there are, until the exported folder, opened in plain
  transformers, knows them.
- **Held out**: many rows, and a tenth that it never sees, where it is compared with what needs no model.
  Written answers are compared for 200 of them at most.

`make corpora` does all of it again (`make corpora CORPORA=translation`: one of them), and fails where a
model does not know its rows or does not beat what needs no model. Minutes are those of the whole run, from
the command to the export, each run on one core beside other work.
"""


def figures() -> dict[str, dict[str, Any]]:
    """What was measured, by the name of the example."""
    found: dict[str, dict[str, Any]] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def page() -> str:
    """The whole page."""
    found = figures()
    columns = ("example", "task", "64 rows by heart", "held out", "without a model", "minutes")
    parts = [_HEAD, f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"]
    parts += [_row(name, figure) for name, figure in found.items()]
    parts.append("")
    for name, figure in found.items():
        parts += _chapter(name, figure)
    parts += kinds_chapter(json.loads(KINDS.read_text(encoding="utf-8")))
    return "\n".join(parts)


def _row(name: str, figure: dict[str, Any]) -> str:
    heart, apart = figure["heart"], figure["heldOut"]
    minutes = " + ".join(f"{run['seconds'] / 60:.1f}" for run in (heart, apart))
    cells = (
        f"[{name}](#{name})",
        figure["task"],
        f"{heart['measure']} {heart['value']:g} of 100",
        f"{apart['measure']} {apart['value']:.4g}",
        f"{apart['baseline']:.4g}",
        minutes,
    )
    return f"| {' | '.join(cells)} |"


def _chapter(name: str, figure: dict[str, Any]) -> list[str]:
    heart, apart = figure["heart"], figure["heldOut"]
    better = "less" if apart["lowerIsBetter"] else "more"
    return [
        f"## {name}\n",
        f"[{name}.yaml](../examples/{name}.yaml): {escaped(read_example(FOLDER / f'{name}.yaml').about)}\n",
        f"- Text: {escaped(figure['about'])}.",
        f"- By heart: {heart['rows']} rows, {heart['steps']} steps, {heart['seconds']} s: {heart['measure']} "
        f"{heart['value']:g} (at least {heart['least']:g} is asked).",
        f"- Held out: {apart['apart']} of {apart['rows'] + apart['apart']} rows, {apart['steps']} steps, "
        f"{apart['seconds']} s: {apart['measure']} {apart['value']:.4g}; by {apart['by']} "
        f"{apart['baseline']:.4g} ({better} is better).",
        f"- Measured {figure['date']} on a machine with {figure['cores']} cores.\n",
    ]


def kinds_chapter(told: dict[str, Any]) -> list[str]:
    """The kinds of tokenizers beside each other, as `KINDS` has them."""
    columns = ("tokenizerKind", "bytes a token", "nat a token", "nat a byte", "minutes")
    rows = [
        f"| `{kind}` | {one['bytesPerToken']:.3f} | {one['lossPerToken']:.3f} | {one['lossPerByte']:.4f} | "
        f"{one['seconds'] / 60:.1f} |"
        for kind, one in told["kinds"].items()
    ]
    steps = next(iter(told["kinds"].values()))["steps"]
    return [
        "## Kinds of tokenizers\n",
        f"The held-out run of [tiny-llama](#tiny-llama), {steps} steps, with a tokenizer of each kind and "
        f"{told['vocabulary']} entries, on the same rows (`make corpora CORPORA=tokenizers`). Tokens of "
        "another kind are shorter or longer, so only the loss a byte of the text is comparable (less is "
        "better); a step reads more text where tokens are longer.\n",
        f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}",
        *rows,
        f"\nMeasured {told['date']} on a machine with {told['cores']} cores.\n",
    ]
