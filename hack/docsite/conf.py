"""Sphinx' settings for the site. Pages are read where they lie: the repository is the source folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from docsite.navigation import INDEX, LLMS, ROOT, pages, sections

project = html_title = "LLM training operator"
copyright = "the authors, Apache-2.0"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = INDEX.relative_to(ROOT).with_suffix("").as_posix()
include_patterns = [*pages(), INDEX.relative_to(ROOT).as_posix()]
myst_heading_anchors = 6
myst_enable_extensions = ["html_image"]
html_theme = "furo"
html_static_path: list[str] = []
html_copy_source = False
html_show_sphinx = False
templates_path = ["templates"]
html_additional_pages = {"index": "to-first-page.html"}


def setup(app: Any) -> dict[str, Any]:
    """Give the first page the menu, and the site its Markdown."""
    app.connect("source-read", _with_menu)
    app.connect("build-finished", _with_markdown)
    return {"parallel_read_safe": True}


def _with_menu(_app: Any, name: str, source: list[str]) -> None:
    """The menu is the navigation; in the first page's own text it would be a block that GitHub shows."""
    if name == root_doc:
        source[0] += "".join(
            _toctree(section.title, [page.path for page in section.pages]) for section in sections()
        )


def _toctree(title: str, paths: list[str]) -> str:
    entries = "\n".join(f"/{path.removesuffix('.md')}" for path in paths)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{entries}\n```\n"


def _with_markdown(app: Any, error: Exception | None) -> None:
    """Beside each page its source, which is what llms.txt points to."""
    if error is None:
        for path in [*include_patterns, LLMS.relative_to(ROOT).as_posix()]:
            (Path(app.outdir) / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, Path(app.outdir) / path)
