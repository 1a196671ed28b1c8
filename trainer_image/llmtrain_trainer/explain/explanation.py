"""The explanation of a model by some texts, as one value for JSON and for the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..data.reading.decoding import escaped
from ..files import write_json
from ..floats import finite_only
from .kinds import EXPLAINED, explainable, kind_of
from .nearest import Document, Drawn, embedded, embedding, nearest
from .page import page
from .sample import Sample
from .told import Told, tell

JSON, PAGE = "explanation.json", "explanation.html"
EXCERPT = 160
"""Characters of a document that are shown."""


@dataclass(frozen=True)
class Compared:
    """Documents to compare texts to.

    Attributes:
        drawn: which; None where there are none.
        total: how many there are in all, where that is known.
        without: why there are none.
    """

    drawn: Drawn | None = None
    total: int | None = None
    without: str | None = None


def always() -> bool:
    """There is time: somebody waits who can stop it."""
    return True


def explain(
    model: Any,
    tokenizer: Any,
    samples: Sequence[Sample],
    compared: Compared,
    go_on: Callable[[], bool] = always,
) -> dict[str, Any]:
    """Explain a model by some texts.

    Args:
        model: of an export.
        tokenizer: its.
        samples: the texts, one looked at after the other.
        compared: documents to compare them to.
        go_on: whether there is time for one more text or document.

    Returns:
        Ready for JSON; the same bytes for the same model and texts, as long as there is time for all.
    """
    kind, notes = kind_of(model), []
    with explainable(model) as itself:
        told: list[tuple[Sample, Told]] = []
        for sample in samples:
            if not go_on():
                notes.append(
                    f"{len(samples) - len(told)} of {len(samples)} texts were left out for want of time"
                )
                break
            told.append((sample, tell(itself, kind, tokenizer, sample)))
        drawn = compared.drawn.documents if compared.drawn else []
        pairs = embedded(itself, tokenizer, drawn, go_on)
        texts = [
            _text(tokenizer, sample, one)
            | {
                "nearest": [_near(*found) for found in nearest(embedding(itself, sample.ids), pairs)]
                if pairs
                else []
            }
            for sample, one in told
        ]
    if told and all(one.rolled is None for _, one in told):
        notes.append("attention rollout was left out: the model gives no attentions, or they have no room")
    if len(pairs) < len(drawn):
        notes.append(
            f"{len(drawn) - len(pairs)} of {len(drawn)} documents were left out: no time, or no token"
        )
    return finite_only(  # type: ignore[no-any-return]
        {
            "version": 1,
            "trainer": __version__,
            "model": type(itself).__name__,
            "kind": str(kind),
            "explains": EXPLAINED[kind],
            "documents": _documents(compared, len(pairs)),
            "notes": notes,
            "texts": texts,
        }
    )


def write(explanation: dict[str, Any], folder: Path) -> None:
    """Write an explanation and its page.

    Args:
        explanation: as `explain` gives it.
        folder: that is there.
    """
    write_json(folder / JSON, explanation)
    (folder / PAGE).write_text(page(explanation), encoding="utf-8")


def _documents(compared: Compared, looked: int) -> dict[str, Any]:
    if compared.drawn is None:
        return {"compared": 0, "without": compared.without or "nobody named any"}
    drawn = compared.drawn
    return {
        "compared": looked,
        "passed": drawn.passed,
        "of": drawn.passed if drawn.whole else compared.total,
    }


def _text(tokenizer: Any, sample: Sample, told: Told) -> dict[str, Any]:
    rolled: Iterable[float | None] = told.rolled or [None] * len(sample.ids)
    tags: Iterable[str | None] = told.tags or [None] * len(sample.ids)
    known = [one for one in told.losses if one is not None] or [loss for _, loss in told.written]
    return {
        "source": sample.source,
        "leftOut": sample.left_out,
        "loss": _round(sum(known) / len(known)) if known else None,
        "said": {name: _round(value) for name, value in told.said.items()},
        "rolloutTo": told.rolled_to,
        "tokens": [
            {
                "id": one,
                "text": piece(tokenizer, one),
                "loss": _round(loss),
                "attribution": _round(part),
                "rollout": _round(reached),
            }
            | ({"tag": tag} if tag is not None else {})
            for one, loss, part, reached, tag in zip(
                sample.ids, told.losses, told.attributions, rolled, tags, strict=True
            )
        ],
        "written": [
            {"id": one, "text": piece(tokenizer, one), "loss": _round(loss)} for one, loss in told.written
        ],
    }


def piece(tokenizer: Any, one: int) -> str:
    """A token as people read it; where it is a part of a character, as the tokenizer names it."""
    text = str(tokenizer.decode([one], clean_up_tokenization_spaces=False))
    return str(tokenizer.convert_ids_to_tokens(one)) if "\ufffd" in text or not text else text


def _near(document: Document, cosine: float) -> dict[str, Any]:
    shown = escaped(" ".join(document.text[: 4 * EXCERPT].split()))
    excerpt = shown if len(shown) <= EXCERPT else f"{shown[: EXCERPT - 1]}…"
    return {"document": document.where, "cosine": _round(cosine), "excerpt": excerpt}


def _round(value: Any) -> Any:
    """Six digits: what two machines agree on, and what a person may read."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
