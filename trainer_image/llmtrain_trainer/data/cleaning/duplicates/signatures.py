"""The signature of a document: two hashes of its words for exact copies, and a MinHash for near ones.

MinHash by rensa over word 5-grams (Broder 1997), `PERMUTATIONS` values of which the low 16 bits are kept: the
share of equal values estimates the Jaccard similarity with a standard deviation of at most 0.045.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..words import words

PERMUTATIONS, SEED = 128, 1
PHRASE = 5
BATCH = 256
"""Documents whose phrases are held at once, and `BATCH_WORDS` in all."""
BATCH_WORDS = 1 << 17

EXACT = np.dtype([("exact", "<u8", (2,))])
NEAR = np.dtype([("exact", "<u8", (2,)), ("near", "<u2", (PERMUTATIONS,)), ("long", "u1")])
"""``long`` is 0 of documents that are shorter than one phrase: these have exact copies alone."""


def write_signatures(texts: Iterable[str], path: Path, *, near: bool) -> int:
    """Write the signatures of documents, one after another, the whole file or none of it.

    Args:
        texts: documents.
        path: of the file.
        near: whether near copies are looked for.

    Returns:
        How many documents there were.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    count = 0
    with partial.open("wb") as file:
        for batch in _batches(texts):
            file.write(signatures(batch, near=near).tobytes())
            count += len(batch)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return count


def signatures(texts: list[list[str]], *, near: bool) -> Any:
    """Signatures of documents, each as its words."""
    made = np.zeros(len(texts), NEAR if near else EXACT)
    for number, found in enumerate(texts):
        digest = hashlib.blake2b(" ".join(found).encode("utf-8", "surrogatepass"), digest_size=16)
        made["exact"][number] = np.frombuffer(digest.digest(), "<u8")
    if near:
        from rensa import RMinHash  # type: ignore[import-untyped]  # compiled, without stubs

        phrases = [_phrases(found) for found in texts]
        digests = RMinHash.digests_from_token_sets(phrases, PERMUTATIONS, SEED)
        made["near"] = np.asarray(digests, np.uint32).reshape(-1, PERMUTATIONS) & 0xFFFF
        made["long"] = [len(found) >= PHRASE for found in texts]
    return made


def _phrases(found: list[str]) -> list[str]:
    return [" ".join(found[at : at + PHRASE]) for at in range(len(found) - PHRASE + 1)]


def _batches(texts: Iterable[str]) -> Iterator[list[list[str]]]:
    batch: list[list[str]] = []
    size = 0
    for text in texts:
        found = words(text) or [text]
        batch.append(found)
        size += len(found)
        if len(batch) >= BATCH or size >= BATCH_WORDS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
