"""To the terminal: lines, tables, JSON and YAML. Colours where somebody can see them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from .options import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmtrain.render.rows import Table

TITLE = "bold"


def data(value: Any, form: Format) -> bool:
    """Print a value for programs, if that is asked for; whether it was."""
    if form is Format.JSON:
        print(json.dumps(value, indent=2, ensure_ascii=False))
    elif form is Format.YAML:
        from llmtrain_operator.local import manifest_yaml

        print(manifest_yaml.dump_all([value]), end="")
    return form.for_programs


def manifests(items: Sequence[Any], form: Format) -> None:
    """Print manifests as kubectl apply reads them: YAML, or a List as JSON."""
    if form is Format.JSON:
        data(items[0] if len(items) == 1 else {"apiVersion": "v1", "kind": "List", "items": items}, form)
        return
    from llmtrain_operator.local import manifest_yaml

    print(manifest_yaml.dump_all(items), end="")


def lines(told: Sequence[str], style: str = "") -> None:
    """Lines as they are, however long."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    for line in told:
        # a Text: no word of a message is taken for markup
        console.print(Text(line, style=style))


def titled(told: Sequence[str], titles: Sequence[str]) -> None:
    """Lines of which some are titles."""
    for line in told:
        lines([line], TITLE if line in titles else "")


def aligned(found: Table) -> list[tuple[str, str]]:
    """The lines of a table with their styles: columns as wide as what is in them."""
    from llmtrain.render.rows import GAP, column_widths

    everything = [found.header, *found.rows]
    widths = column_widths(found)
    styles = [TITLE, *(found.styles or [""] * len(found.rows))]
    told = [GAP.join(map(str.ljust, row, widths)).rstrip() for row in everything]
    return list(zip(told, styles, strict=True))


def table(found: Table) -> None:
    """A table; a row is a line, however long."""
    for line, style in aligned(found):
        lines([line], style)


def pairs(rows: Sequence[tuple[str, str]], indent: str = "") -> None:
    """Names and texts in two columns; further lines of a text stand under its first."""
    wide = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        first, *more = text.splitlines() or [""]
        lines([f"{indent}{name.ljust(wide)}  {first}", *(f"{indent}{' ' * wide}  {line}" for line in more)])
