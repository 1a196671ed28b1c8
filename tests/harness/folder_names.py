"""Folders that people really have, and those that must not be."""

from __future__ import annotations

FOLDERS = (
    *("crawl/dt=2024-01-31", "my corpus", "c++", "bücher", "日本語/文書", "a,b", "a@b", "a#b", "~user"),
    *("(1)", "100%", "a&b;c", "..a", "...", "a..b", "$(HOME)", "'quoted'", '"', "a\\b", "*", "[x]", "{y}"),
    *("x:y", "?", "-x"),
)
"""Right for datasets and outputs, unless hidden."""
HIDDEN = (".cache/text", ".a", "a/.b", "..a", "...")
"""Right for datasets only."""
WRONG = {
    "..": "cannot be named '..'",
    "a/../b": "cannot be named '..'",
    ".": "cannot be named '.'",
    "a//b": "name is empty",
    "/a": "name is empty",
    "a//": "name is empty",
    "a\x00b": "U+0000",
    "a\nb": "U+000A",
    "a\x7f": "U+007F",
    "a\x85b": "U+0085",
    "a\u2028b": "U+2028",
    "a\u202eb": "U+202E (right-to-left override)",
}
"""Wrong everywhere, with a piece of the reason."""
