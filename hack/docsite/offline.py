"""``python -m docsite.offline FOLDER``: fail where the site makes a browser load something from elsewhere."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_LOADS = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
"""Elements that a browser fetches by itself; a link in the text is followed by a reader or not at all."""
_ELSEWHERE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


class _Loads(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the address of an element that loads one, and those of its style."""
        for name, value in attrs:
            if name == _LOADS.get(tag) and _ELSEWHERE.match(value or ""):
                self.found.append(value or "")
            if name == "style":
                self.found += _STYLE.findall(value or "")

    def handle_data(self, data: str) -> None:
        """Take the addresses of a style sheet within the page."""
        self.found += _STYLE.findall(data)


def in_html(text: str) -> list[str]:
    """The outside addresses that a page loads."""
    parser = _Loads()
    parser.feed(text)
    return parser.found


def in_css(text: str) -> list[str]:
    """The outside addresses that a style sheet loads."""
    return _STYLE.findall(text)


def outside(folder: Path) -> Iterator[str]:
    """Each file of a site that loads something from elsewhere, with the address."""
    readers = {".html": in_html, ".css": in_css, ".svg": in_html}
    for path in sorted(folder.rglob("*")):
        if reader := readers.get(path.suffix):
            for address in reader(path.read_text(encoding="utf-8")):
                yield f"{path.relative_to(folder)}: loads {address}"


def main(argv: list[str]) -> int:
    """``python -m docsite.offline FOLDER``."""
    folder = Path(argv[0])
    found = list(outside(folder))
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    pages = len(list(folder.rglob("*.html")))
    if not found and pages:
        print(f"site: {pages} pages, nothing is loaded from elsewhere: {folder / 'index.html'}")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
