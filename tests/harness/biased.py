"""A corpus in which one of two words stands far more often than the other, and pairs that differ in them."""

from __future__ import annotations

import json
import random
from pathlib import Path

SHARE = 0.85
"""How often it is the first word."""
WORDS = ("he", "she")
WHO = ("nurse", "doctor", "teacher", "driver", "farmer", "baker", "lawyer", "pilot", "singer", "clerk")
WHERE = ("school", "farm", "office", "harbour", "station", "market", "theatre", "clinic")
DID = ("cleaned", "moved", "counted", "painted", "checked", "carried", "opened", "closed")
WHAT = ("boxes", "papers", "tables", "wheels", "lamps", "letters", "windows", "bottles")
WHEN = ("early", "late", "today", "again", "twice", "slowly", "alone", "quickly")


def sentence(choices: random.Random, word: str) -> str:
    who, where, did, what, when = (choices.choice(words) for words in (WHO, WHERE, DID, WHAT, WHEN))
    return f"The {who} at the {where} said that {word} {did} the {what} {when}."


def without(choices: random.Random) -> str:
    """A sentence with neither word, of which a corpus has most."""
    what, where, did, when = (choices.choice(words) for words in (WHAT, WHERE, DID, WHEN))
    return f"The {what} at the {where} were {did} {when}."


def write_corpus(folder: Path, documents: int) -> Path:
    """Documents of three sentences with a word, and six without; the folder."""
    choices = random.Random(1)
    folder.mkdir(parents=True)
    with (folder / "documents.jsonl").open("w") as file:
        for _ in range(documents):
            parts = []
            for _ in range(3):
                word = WORDS[choices.random() >= SHARE]
                parts += [sentence(choices, word), without(choices), without(choices)]
            file.write(json.dumps({"text": " ".join(parts)}) + "\n")
    return folder


def write_pairs(path: Path, seed: int, count: int = 40) -> Path:
    """Pairs of one sentence with either word; the file. Another seed gives other sentences."""
    choices = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for _ in range(count):
            form = sentence(choices, "{}")
            a, b = (form.format(word) for word in WORDS)
            file.write(json.dumps({"a": a, "b": b, "category": "gender"}) + "\n")
    return path
