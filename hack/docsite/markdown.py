"""A page as its readers meet it: title, anchors, links and fenced blocks, by a real Markdown parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

_HTML_LINK = re.compile(r"""\b(?:src|href)=["']([^"']+)["']""")
_NO_PART_OF_AN_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Link:
    """Where a page leads to, and the line (from 1) of the paragraph that says so."""

    line: int
    target: str


@dataclass(frozen=True)
class Fence:
    """A fenced block; its line is that of its first fence."""

    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading with the anchor that GitHub and MyST give to it."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True)
class Page:
    """All that is asked of a page."""

    headings: tuple[Heading, ...]
    links: tuple[Link, ...]
    fences: tuple[Fence, ...]
    codes: tuple[Link, ...]
    """What stands between backticks in the text."""

    @property
    def title(self) -> str:
        """The first heading; empty where a page has none."""
        return self.headings[0].text if self.headings else ""

    @property
    def anchors(self) -> frozenset[str]:
        """Every fragment that a link to this page may have."""
        return frozenset(heading.anchor for heading in self.headings)


@cache
def read(path: Path) -> Page:
    """The page in a file."""
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> Page:
    """The page that is this text."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    fences = [Fence(_line(t), t.info.strip(), t.content) for t in tokens if t.type == "fence"]
    return Page(
        headings=tuple(_headings(tokens)),
        links=tuple(_links(tokens)),
        fences=tuple(fences),
        codes=tuple(_codes(tokens)),
    )


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _headings(tokens: list[Token]) -> Iterator[Heading]:
    seen: dict[str, int] = {}
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        text = "".join(part.content for part in inline.children or ())
        anchor = _NO_PART_OF_AN_ANCHOR.sub("", text.lower()).replace(" ", "-")
        number = seen.get(anchor, 0)
        seen[anchor] = number + 1
        yield Heading(int(opening.tag[1:]), text, f"{anchor}-{number}" if number else anchor)


def _links(tokens: list[Token]) -> Iterator[Link]:
    for token in tokens:
        if token.type == "html_block":
            yield from (Link(_line(token), target) for target in _HTML_LINK.findall(token.content))
        for part in token.children or ():
            target = part.attrGet("href") or part.attrGet("src")
            if part.type in ("link_open", "image") and target:
                yield Link(_line(token), str(target))
            elif part.type == "html_inline":
                yield from (Link(_line(token), found) for found in _HTML_LINK.findall(part.content))


def _codes(tokens: list[Token]) -> Iterator[Link]:
    for token in tokens:
        yield from (Link(_line(token), p.content) for p in token.children or () if p.type == "code_inline")
