"""The explanation as one page of HTML that needs nothing else, and in which no text can do anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ..data.reading.decoding import escaped

STEPS = 8
"""Shades of a colour."""
MEASURES = (
    ("loss", "Loss", "nat; darker: less expected"),
    (
        "attribution",
        "Attribution",
        "gradient × input; blue: adds to what is explained, orange: takes from it",
    ),
    ("rollout", "Attention rollout", "darker: more of it reaches"),
)
"""Field of a token, its name, and how its colours read."""
_SHADES = "\n".join(
    f".p{n}{{background:rgb(40 110 220/{n * 8}%)}} .n{n}{{background:rgb(225 120 20/{n * 8}%)}}"
    for n in range(1, STEPS + 1)
)
STYLE = f""":root{{color-scheme:light dark}}
body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:CanvasText;background:Canvas}}
.text{{font-family:ui-monospace,monospace;line-height:1.9;overflow-wrap:anywhere;margin:.2rem 0 1rem}}
.text span{{border-radius:2px;white-space:pre-wrap}}
table{{border-collapse:collapse}}
td,th{{padding:.1rem .6rem;text-align:left;border-bottom:1px solid GrayText}}
td.number{{text-align:right;font-variant-numeric:tabular-nums}} code{{white-space:pre-wrap}}
section{{border-top:2px solid GrayText;margin-top:2rem}}
{_SHADES}"""


def page(explanation: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        explanation: as ``explanation.json`` has it. Its texts are anybody's.
    """
    texts = "\n".join(_text(number, one) for number, one in enumerate(explanation["texts"], 1))
    notes = "".join(f"<p>{_shown(note)}</p>" for note in explanation["notes"])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Explanation of {_shown(explanation["model"])}</title>
<style>
{STYLE}
</style>
</head>
<body>
<main>
<h1>Explanation of {_shown(explanation["model"])}</h1>
<p>What is explained is {_shown(explanation["explains"])}. An attribution is the part of a token in it, to
first order; it tells what this model reacts to, and not what is true.</p>
<p>{_looked(explanation["documents"])}</p>
{notes}
{texts}
</main>
</body>
</html>
"""


def _text(number: int, one: Mapping[str, Any]) -> str:
    told = [f"<p>{_about(one)}</p>"]
    for field, name, reading in MEASURES:
        values = [token[field] for token in one["tokens"]]
        if any(value is not None for value in values):
            to = f" to {one['rolloutTo']}" if field == "rollout" else ""
            told += [
                f"<h3>{_shown(name + to)}</h3>",
                f"<p>{_shown(reading)}</p>",
                _strip(one["tokens"], values, name),
            ]
    if one["written"]:
        losses = [token["loss"] for token in one["written"]]
        told += ["<h3>What is written of it</h3>", _strip(one["written"], losses, "Loss")]
    told += [_near(one["nearest"]), _numbers(one["tokens"])]
    body = "\n".join(part for part in told if part)
    head = f'<h2 id="text-{number}">Text {number}</h2>'
    return f'<section aria-labelledby="text-{number}">\n{head}\n{body}\n</section>'


def _about(one: Mapping[str, Any]) -> str:
    said = [f"From {one['source']}: {len(one['tokens'])} tokens"]
    if one["leftOut"]:
        said.append(f"{one['leftOut']} more were cut off and not looked at")
    if one["loss"] is not None:
        said.append(f"mean loss {one['loss']:.4g} nat a token")
    said += [f"{name}: {value}" for name, value in one["said"].items()]
    return _shown("; ".join(said) + ".")


def _looked(documents: Mapping[str, Any]) -> str:
    if "without" in documents:
        return _shown(f"No training documents were looked at: {documents['without']}.")
    of = f" of {documents['of']:,}" if documents["of"] is not None else ""
    return _shown(
        f"Nearest training documents are those of {documents['compared']:,} that were looked at, drawn from "
        f"the first {documents['passed']:,}{of}; nearness is the cosine of the model's own mean-pooled "
        "embeddings, and no proof that a text was learnt from there."
    )


def _strip(tokens: Sequence[Mapping[str, Any]], values: Sequence[float | None], name: str) -> str:
    """The text in shades of a number a token. Who hears it has the table of numbers."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    spans = "".join(_span(token["text"], value, largest) for token, value in zip(tokens, values, strict=True))
    label = _shown(f"{name} of each token as colours; the table of numbers says the same")
    return f'<p class="text" role="img" aria-label="{label}">{spans}</p>'


def _span(text: str, value: float | None, largest: float) -> str:
    shade = round(STEPS * abs(value) / largest) if value is not None and largest > 0 else 0
    kind = f' class="{"p" if value is not None and value > 0 else "n"}{shade}"' if shade else ""
    title = f' title="{value:.4g}"' if value is not None else ""
    return f"<span{kind}{title}>{_shown(text)}</span>"


def _near(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return ""
    rows = ((one["document"], one["cosine"], one["excerpt"]) for one in found)
    return "<h3>Nearest training documents</h3>\n" + _table(("document", "cosine", "begins"), rows)


def _numbers(tokens: Sequence[Mapping[str, Any]]) -> str:
    fields = ["text", *(field for field, _, _ in MEASURES), "tag"]
    there = [field for field in fields if any(token.get(field) is not None for token in tokens)]
    table = _table(["token", *there[1:]], ([token.get(field) for field in there] for token in tokens))
    return f"<details><summary>Numbers of each token</summary>\n{table}\n</details>"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    top = "".join(f'<th scope="col">{_shown(name)}</th>' for name in head)
    return f"<table><tr>{top}</tr>{''.join(f'<tr>{_cells(row)}</tr>' for row in rows)}</table>"


def _cells(row: Sequence[Any]) -> str:
    return "".join(
        f'<td class="number">{value:.4g}</td>'
        if isinstance(value, float)
        else f"<td><code>{_shown('' if value is None else value)}</code></td>"
        for value in row
    )


def _shown(text: object) -> str:
    """A text that is shown and nothing else: no mark of HTML, no character that cannot be seen."""
    return escape(escaped(str(text)), quote=True)
