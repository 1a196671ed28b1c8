"""The verb ``attribute``: what a model makes of single texts, as JSON and as a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..imports import quick_imports
from .options import add_model, at_least, open_model

if TYPE_CHECKING:
    from ..explain.explanation import Compared

TOKENS, DOCUMENTS = 256, 256


def add(verbs: Any) -> None:
    """Add it to a parser's verbs."""
    text = (
        "Explain a model by single texts: the loss and the attribution of each token, attention rollout, the "
        "nearest training documents; written as explanation.json and explanation.html."
    )
    attribute = verbs.add_parser("attribute", help=text, description=text)
    attribute.set_defaults(run=run_attribute)
    add_model(attribute)
    attribute.add_argument(
        "--text", action="append", default=[], metavar="TEXT", help="that is explained; may be given again"
    )
    attribute.add_argument("--texts", type=Path, metavar="FILE", help="with a text a line")
    attribute.add_argument(
        "--documents", type=Path, metavar="PATH", help="file or folder of training data, for the nearest ones"
    )
    attribute.add_argument(
        "--sample",
        type=at_least(1, int),
        default=DOCUMENTS,
        metavar="N",
        help=f"documents that are compared at most (default: {DOCUMENTS})",
    )
    attribute.add_argument(
        "--tokens",
        type=at_least(2, int),
        default=TOKENS,
        metavar="N",
        help=f"of a text that are looked at, at most (default: {TOKENS})",
    )
    attribute.add_argument(
        "--into", type=Path, metavar="DIR", help="where both files go (default: the model's folder)"
    )


def run_attribute(arguments: argparse.Namespace) -> int:
    """Explain texts, and say where the page is."""
    texts = texts_of(arguments)
    opened = open_model(arguments, writes=False)
    with quick_imports():
        from ..explain.explanation import JSON, PAGE, explain, write
        from ..explain.kinds import kind_of
        from ..explain.sample import of_text, room_of
    from .folder import located

    kind, room = kind_of(opened.model), room_of(opened.model, opened.tokenizer, arguments.tokens)
    samples = [of_text(kind, opened.tokenizer, text, source, room) for source, text in texts]
    folder = arguments.into or located(arguments.folder)
    found = explain(opened.model, opened.tokenizer, samples, _compared(arguments))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(found, folder)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}", "name another folder by --into") from None
    for note in found["notes"]:
        print(f"note: {note}")
    cut = sum(1 for sample in samples if sample.left_out)
    if cut:
        print(f"note: {cut} of {len(samples)} texts are longer than {room} tokens; what follows was left out")
    count = len(found["texts"])
    print(f"{folder / PAGE} and {JSON} explain {count} text{'' if count == 1 else 's'}")
    return 0


def texts_of(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Each text that is asked for, with where it comes from.

    Raises:
        ConfigError: there is none, or their file cannot be read.
    """
    found = [(f"--text {number}", text) for number, text in enumerate(arguments.text, 1)]
    if arguments.texts is not None:
        try:
            lines = arguments.texts.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"--texts {arguments.texts}: {why}", "name a file with a text a line") from None
        name = arguments.texts.name
        found += [(f"{name} line {number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ConfigError("there is no text to explain", "give one by --text, or a file by --texts")
    return found


def _compared(arguments: argparse.Namespace) -> Compared:
    from ..data.sources import Text
    from ..explain.documents import documents_in
    from ..explain.explanation import Compared
    from ..explain.nearest import draw

    if arguments.documents is None:
        return Compared(without="--documents names none")
    path = arguments.documents.absolute()
    source = Text("--documents", f"file://{path}", path, None)
    return Compared(draw(documents_in(source), arguments.sample))
