"""``docs/examples.md``: the manifests in `examples/`, each with what it shows, from the files themselves.

An example's first lines are a comment, which is the text of its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from .navigation import DOCS, ROOT

PAGE = DOCS / "examples.md"
FOLDER = ROOT / "examples"
_KINDS = {
    "LLMTrainingJob": "Jobs",
    "LLMTrainingSweep": "Sweeps",
    "LLMTrainingRuntime": "Runtimes of a platform team",
    "ClusterLLMTrainingRuntime": "Runtimes of a platform team",
}
MODELINE = "# yaml-language-server: "
"""What an editor reads: which schema is the file's."""
_HEAD = """# Examples

Generated from `examples/*.yaml` by `make generate`: what a manifest shows is the comment at its top.

`llmtrain check FILE` says what it will be before anything is started, `llmtrain run FILE` runs it on this
machine, `kubectl apply -f FILE` on a cluster. From Python: [the notebook](../examples/sdk.ipynb).
What some of them learn of real text, and in how many minutes: [the gallery](gallery.md).
"""


@dataclass(frozen=True)
class Example:
    """A manifest and what it says of itself."""

    path: Path
    about: str
    objects: tuple[dict[str, Any], ...]

    @property
    def chapter(self) -> str:
        """The chapter of its first object's kind."""
        return _KINDS[self.objects[0]["kind"]]

    @property
    def task(self) -> str:
        """What a job learns, where it says so."""
        spec = self.objects[-1]["spec"]
        return str(spec.get("job", spec).get("task", ""))


def examples() -> list[Example]:
    """Every example, by name.

    Raises:
        ValueError: one does not say what it shows.
    """
    return [read_example(path) for path in sorted(FOLDER.glob("*.yaml"))]


def read_example(path: Path) -> Example:
    """One example.

    Raises:
        ValueError: it does not say what it shows.
    """
    text = path.read_text(encoding="utf-8")
    comments = takewhile(lambda line: line.startswith("#"), text.splitlines())
    lines = [line.removeprefix("#") for line in comments if not line.startswith(MODELINE)]
    about = " ".join(" ".join(lines).split())
    if not about:
        raise ValueError(f"{path.name}: say in a comment on the first line what the example shows")
    return Example(path, about, tuple(yaml.safe_load_all(text)))


def page() -> str:
    """The whole page."""
    found = examples()
    parts = [_HEAD]
    for chapter in dict.fromkeys(_KINDS.values()):
        parts.append(f"## {chapter}\n\n| manifest | task | shows |\n|---|---|---|")
        parts += [_row(example) for example in found if example.chapter == chapter]
        parts.append("")
    return "\n".join(parts)


def _row(example: Example) -> str:
    link = f"[{example.path.name}](../examples/{example.path.name})"
    return f"| {link} | {example.task} | {escaped(example.about)} |"


def escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    return "".join(f"\\{character}" if character in "|<[*_" else character for character in text)
