"""Words of a text in any script, for what compares texts."""

from __future__ import annotations

import re

_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts that are written without spaces: Thai, Lao, Burmese, Khmer, kana, and the Chinese characters."""
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")


def words(text: str) -> list[str]:
    """Letters and digits between other characters, in lower case; where a script has no spaces, each
    character is a word."""
    found: list[str] = _WORD.findall(text.casefold())
    return found
