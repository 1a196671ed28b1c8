"""Which pages there are, in which order, and what each is for: ``docs/navigation.yaml``.

``docs/index.md`` and ``llms.txt`` are written from it, and the site takes its menu from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from .markdown import read

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NAVIGATION = DOCS / "navigation.yaml"
INDEX = DOCS / "index.md"
LLMS = ROOT / "llms.txt"
TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "helm/llm-training-operator/README.md")
"""Pages beside `docs/`."""
_NAME = "LLM training operator"
_ABOUT = (
    "Fine-tune and train language models on Kubernetes, or on one machine, from a manifest of twelve lines."
)
_GENERATED = "generated from docs/navigation.yaml by `make generate`: change that, not this file"


@dataclass(frozen=True)
class Entry:
    """A page, by its path in the repository, and what it is for in a few words."""

    path: str
    about: str

    @property
    def file(self) -> Path:
        """Where it lies."""
        return ROOT / self.path

    @property
    def title(self) -> str:
        """Its own first heading."""
        return read(self.file).title


@dataclass(frozen=True)
class Section:
    """Pages that are read for the same reason."""

    title: str
    pages: tuple[Entry, ...]


def sections() -> tuple[Section, ...]:
    """The whole of the navigation, in order."""
    told = yaml.safe_load(NAVIGATION.read_text(encoding="utf-8"))
    return tuple(
        Section(title, tuple(Entry(path, about) for path, about in pages.items()))
        for title, pages in told.items()
    )


def pages() -> set[str]:
    """Every page that the repository has, whether the navigation names it or not."""
    found = {path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md") if path != INDEX}
    return found | set(TOP)


def index() -> str:
    """``docs/index.md``: the first page of the site."""
    parts = [f"# {_NAME}\n\n<!-- {_GENERATED} -->\n\n{_ABOUT}\n"]
    for section in sections():
        parts.append(f"## {section.title}\n\n| page | what for |\n|---|---|")
        parts += [f"| [{one.title}]({_from_docs(one.path)}) | {one.about} |" for one in section.pages]
        parts.append("")
    return "\n".join(parts)


def llms() -> str:
    """``llms.txt``: the same for programs that read Markdown (llmstxt.org)."""
    parts = [f"# {_NAME}\n\n> {_ABOUT}\n"]
    for section in sections():
        parts.append(f"## {section.title}\n")
        parts += [f"- [{one.title}]({one.path}): {one.about}" for one in section.pages]
        parts.append("")
    return "\n".join(parts)


def _from_docs(path: str) -> str:
    return path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"
