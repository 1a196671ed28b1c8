"""What every model card must be, and the program that it holds."""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

FILE = "README.md"
FENCED = re.compile(r"```python\n(.*?)```", re.DOTALL)


def read_card(export: Path) -> ModelCard:
    """The card of an export, as the hub's own reader reads it."""
    return ModelCard.load(export / FILE)


def data_of(card: ModelCard) -> Any:
    """Its metadata: their fields are set by name, and no type checker knows them."""
    return card.data


def require_card(export: Path) -> None:
    """The card of an export is one that the hub's reader takes, and tells no place of this machine."""
    card = read_card(export)
    data = data_of(card)
    assert data.library_name in ("transformers", "peft"), data
    assert "llmtrain" in data.tags
    assert data.metrics, "the model was measured"
    assert [one.metric_value for one in data.eval_results], "the model was measured"
    for head in ("How to use it", "Training data", "Results", "Training", "Where it comes from"):
        assert f"## {head}\n" in card.text
    text = card.content
    for part in export.resolve().parents:
        assert len(part.parts) < 2 or str(part) not in text, f"{part} is a path of this machine"


def run_snippet(export: Path, base: Path | None = None) -> str:
    """What the program of a card prints, with the export where it stands.

    Args:
        export: the folder.
        base: of an adapter, where the program has a place for it.
    """
    [program] = FENCED.findall(read_card(export).text)
    program = program.replace('place = "export"', f"place = {str(export)!r}")
    program = program.replace('from_pretrained("base")', f"from_pretrained({str(base)!r})")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, os.fspath(export / FILE), "exec"), {})
    return printed.getvalue()
