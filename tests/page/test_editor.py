"""Examples in an editor: yaml-language-server finds the schema by the comment at their top."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.children import ROOT
from harness.editor import Editor

EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def editor() -> Iterator[Editor]:
    found = Editor(ROOT / "web" / "node_modules" / ".bin" / "yaml-language-server", ROOT)
    yield found
    found.close()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_no_mistake(editor: Editor, path: Path) -> None:
    assert editor.open(path, path.read_text()) == []


def test_mistakes_are_marked_and_fields_are_told(editor: Editor) -> None:
    text = (ROOT / "examples" / "tiny-llama.yaml").read_text()
    wrong = text.replace("nodes: 2", "nodez: 2").replace("maxSteps: 150", "maxSteps: many")
    # not there: an editor has it, and no disk
    path = ROOT / "examples" / "unsaved.yaml"
    lines = wrong.splitlines()
    marked = {(one["range"]["start"]["line"], one["message"]) for one in editor.open(path, wrong)}
    assert marked == {
        (line_of(lines, "nodez"), "Property nodez is not allowed."),
        (line_of(lines, "maxSteps"), 'Incorrect type. Expected "integer | null".'),
    }
    assert "GPUs per node" in editor.rests(path, line_of(lines, "gpusPerNode"), 4)


def test_fields_of_other_kinds_are_told(editor: Editor) -> None:
    path = ROOT / "examples" / "runtime-team.yaml"
    text = path.read_text()
    editor.open(path, text)
    lines = text.splitlines()
    assert "pods" in editor.rests(path, line_of(lines, "maxNodes"), 6)
    told = editor.rests(path, line_of(lines, "runtime: small"), 4)
    assert "Name of the LLMTrainingRuntime" in told, "the job in the same file"


def line_of(lines: list[str], word: str) -> int:
    """The line that has it."""
    return next(number for number, line in enumerate(lines) if word in line)
