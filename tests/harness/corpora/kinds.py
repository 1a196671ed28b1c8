"""``make corpora CORPORA=tokenizers``: one task with a tokenizer of each kind, on the same rows.

A loss a token says nothing here, as tokens of another kind are shorter or longer: it is told for each byte.
"""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers
from harness.corpora.entry import Entry, Rows
from harness.corpora.run import at, digest, manifest, ran, split
from harness.corpora.table import ENTRIES
from harness.corpora.texts import spread

from docsite.learnt import KINDS
from llmtrain_api import TokenizerKind

EXAMPLE, NAME = "tiny-llama", "tokenizers"


def entry_of(kind: TokenizerKind) -> Entry:
    """The row of the table, with a tokenizer of a kind."""
    [entry] = (one for one in ENTRIES if one.example == EXAMPLE)
    return replace(entry, model=entry.model | {"tokenizerKind": str(kind)})


def asked_digest(kind: TokenizerKind) -> str:
    """What the runs of a kind are asked: figures of others are not those of this table."""
    return digest(entry_of(kind))


def compared(kind: TokenizerKind, rows: Rows, work: Path) -> dict[str, Any]:
    """What a kind comes to on rows of which a tenth is held out."""
    entry = entry_of(kind)
    asked = manifest(entry, "trained")
    _, apart = split(entry, asked, rows)
    done = ran(entry, asked, rows, work)
    tokenizer = transformers.AutoTokenizer.from_pretrained(done.output / "export")
    texts = [row["text"] for row in apart]
    tokens = sum(len(tokenizer(text)["input_ids"]) + 1 for text in texts)  # and the end of each
    size = sum(len(text.encode()) for text in texts)
    loss = at(done.results, "evalLoss")
    return {
        "asked": asked_digest(kind),
        "bytesPerToken": round(size / tokens, 3),
        "lossPerToken": round(loss, 4),
        "lossPerByte": round(loss * tokens / size, 4),
        "steps": done.results["steps"],
        "seconds": round(done.seconds),
    }


def run_kinds(work: Path) -> None:
    """Run each kind and write the figures.

    Args:
        work: a folder that is made for data, logs and exports.
    """
    entry = entry_of(TokenizerKind.BPE)
    rows = spread(entry.rows(), entry.count)
    found = {}
    for kind in TokenizerKind:
        found[str(kind)] = compared(kind, rows, work / kind)
        print(json.dumps({str(kind): found[str(kind)]}), flush=True)
    told = {
        "vocabulary": entry.model["vocabSize"],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "kinds": found,
    }
    KINDS.write_text(json.dumps(told, indent=1) + "\n")
