"""``make layouts``: prove every row, print the table, write ``proven.json``."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.layouts.proof import Bench, Proof
from harness.layouts.rows import REFUSED, Row, quick, required

from llmtrain_api.layouts.proven import CHUNKED, SELECTIVE, TABLE

REQUIRED = required()


def identity(row: Row) -> dict[str, Any]:
    """What `proven.json` knows a row by. Whether it is compiled, has adapters, or computes less than all
    activations again, is told only where it is so."""
    told = {
        "family": row.family,
        "layout": row.layout.kind,
        "zero": row.layout.zero,
        "ranks": row.layout.world,
        "accumulation": row.accumulation,
        "packing": row.packing,
        "checkpointing": row.checkpointing or row.selective,
        "precision": row.precision,
    }
    told |= {"compiled": True} if row.compiled else {}
    told |= {"adapter": True} if row.adapter else {}
    told |= {SELECTIVE: True} if row.selective else {}
    return told | ({CHUNKED: True} if row.chunked else {})


def key(found: dict[str, Any]) -> tuple[Any, ...]:
    """An entry's identity, whatever its verdict."""
    names = (*identity(REQUIRED[0]), "compiled", "adapter", SELECTIVE, CHUNKED)
    return tuple(found.get(name) for name in names)


def entry(proof: Proof, reason: str | None) -> dict[str, Any]:
    """A row as `proven.json` has it."""
    found = identity(proof.row) | {"verdict": "refused" if reason else "equal"}
    if reason:
        return found | {"reason": reason, "seen": last_words(proof.error or "")}
    assert proof.found is not None
    assert proof.alone is not None
    return found | {
        "worstError": float(f"{proof.found.gradient:.1e}"),
        "oneProcess": float(f"{proof.alone.gradient:.1e}"),
    }


def last_words(error: str) -> str:
    """The line of a traceback that says what happened."""
    lines = [line.strip() for line in error.splitlines() if re.match(r"[A-Za-z.]*Error\b", line.strip())]
    own = [line for line in lines if "Connection" not in line]  # another rank's end, felt
    return (own or lines or [error])[-1][:200]


def line(proof: Proof, reason: str | None) -> str:
    """A row for people."""
    said = "equal" if proof.error is None else last_words(proof.error)
    if proof.found and proof.alone:
        said = f"gradient {proof.found.gradient:.1e} (one process {proof.alone.gradient:.1e}), {said}"
    verdict = f"refused: {reason}; seen: " if reason else ""
    return f"{proof.row!s:58} {proof.seconds:5.1f} s  {verdict}{said}"


def run(
    rows: list[Row], bench: Bench, say: Callable[[str], None], take: Callable[[dict[str, Any]], None]
) -> list[str]:
    """Prove rows, one after another; what is not as it must be.

    Args:
        rows: to prove.
        bench: proves one.
        say: told of each, for people.
        take: given the entry of each that is as it must be.
    """
    bad = []
    for row in rows:
        proof, reason = bench.prove(row), REFUSED.get(row)
        say(line(proof, reason))
        if reason and proof.error is None:
            bad.append(f"{row} is refused, but is equal")
        elif not reason and proof.error is not None:
            bad.append(f"{row}: {proof.error}")
        else:
            take(entry(proof, reason))
    return bad


def write(known: dict[Any, dict[str, Any]], everything: list[Row]) -> None:
    """Write the table, in the order of its rows."""
    kept = [known[key(identity(row))] for row in everything if key(identity(row)) in known]
    TABLE.write_text("[\n" + ",\n".join(json.dumps(one) for one in kept) + "\n]\n")


def main() -> int:
    """All rows, or the quick ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="each family, kind, stage and option once; write nothing"
    )
    parser.add_argument(
        "--new", action="store_true", help="only rows that the table lacks; add each when it is proven"
    )
    parser.add_argument("-k", metavar="WORDS", default="", help="only rows with these words")
    options = parser.parse_args()
    everything = [*REQUIRED, *REFUSED]
    had = {key(one): one for one in json.loads(TABLE.read_text())} if options.new and TABLE.exists() else {}
    rows = [
        row
        for row in (quick() if options.quick else everything)
        if all(word in str(row) for word in options.k.split())
    ]
    rows = [row for row in rows if key(identity(row)) not in had]
    known = dict(had)

    def take(one: dict[str, Any]) -> None:
        known[key(one)] = one
        if options.new:
            write(known, everything)

    with tempfile.TemporaryDirectory() as folder:
        bad = run(rows, Bench(Path(folder)), lambda text: print(text, flush=True), take)
    print(f"\n{len(known) - len(had)} of {len(rows)} rows are as they must be")
    for text in bad:
        print(f"\nWRONG: {text}")
    if not bad and all(key(identity(row)) in known for row in everything) and not options.quick:
        write(known, everything)
        print(f"written: {TABLE.name}, {len(known)} rows")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
