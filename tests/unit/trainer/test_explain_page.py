"""The page of an explanation: no text does anything in it, and everybody reads it."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest
from harness.trainer.explained import TEXT, explained, made, words

from llmtrain_trainer.explain.explanation import Compared, explain
from llmtrain_trainer.explain.kinds import kind_of
from llmtrain_trainer.explain.nearest import Document, draw
from llmtrain_trainer.explain.page import page
from llmtrain_trainer.explain.sample import of_text

HOSTILE = "<script>alert(1)</script> \" onload='x' &amp; \u202eevil\x1b[2J Hello"


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.names: set[str] = set()
        self.strips: list[dict[str, str | None]] = []
        self.head: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.names |= {name for name, _ in attrs}
        if dict(attrs).get("class") == "text":
            self.strips.append(dict(attrs))
        if tag == "th":
            self.head.append(dict(attrs))


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "BertForTokenClassification"])
def test_no_text_does_anything_in_the_page(name: str, words: Any) -> None:
    model = made(name, words)
    if name == "BertForTokenClassification":
        model.config.id2label = dict.fromkeys(range(3), HOSTILE)
    kind = kind_of(model)
    documents = Compared(draw([Document(HOSTILE, HOSTILE)], 5), 1)
    samples = [of_text(kind, words, HOSTILE, HOSTILE, 256)]
    text = page(explain(model, words, samples, documents))
    seen = _Seen()
    seen.feed(text)
    assert not {"script", "img", "link", "a", "iframe", "object", "form"} & set(seen.tags)
    allowed = {"lang", "charset", "http-equiv", "content", "name", "class", "title", "role", "scope", "id"}
    assert seen.names <= allowed | {"aria-label", "aria-labelledby"}
    assert "://" not in text
    assert "url(" not in text
    assert not any(one in text for one in "\u202e\x1b")
    assert "default-src 'none'" in text


def test_the_page_is_for_dark_and_light_and_for_who_hears_it(words: Any) -> None:
    text = page(explained("LlamaForCausalLM", words, compared=Compared(draw([Document("a", TEXT)], 1), 1)))
    seen = _Seen()
    seen.feed(text)
    assert "color-scheme:light dark" in text
    assert len(seen.strips) == 3
    assert all(one["role"] == "img" and one["aria-label"] for one in seen.strips)
    assert seen.head
    assert all(one["scope"] == "col" for one in seen.head)
    assert seen.tags["section"] == seen.tags["details"] == 1
    assert "of 1 that were looked at, drawn from the first 1 of 1" in text


__all__ = ["words"]
