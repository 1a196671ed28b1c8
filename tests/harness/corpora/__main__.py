"""``python -m harness.corpora [EXAMPLE ...]``: run the entries of the table and write what they came to.

An entry that does not learn its 64 rows by heart, or does not beat its baseline on held-out rows, or whose
text this machine does not have, is told and ends the program with 1. ``--keep FOLDER`` keeps what the runs
wrote.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.corpora import kinds
from harness.corpora.entry import Entry
from harness.corpora.run import measured, verdicts
from harness.corpora.table import ENTRIES
from harness.corpora.texts import NoCorpus

from docsite.learnt import FIGURES


def main() -> int:
    """Run the entries that are named, or all."""
    names = [*(entry.example for entry in ENTRIES), kinds.NAME]
    grammar = argparse.ArgumentParser("python -m harness.corpora", description=__doc__)
    grammar.add_argument(
        "examples", nargs="*", choices=[*names, []], metavar="EXAMPLE", help=", ".join(names)
    )
    grammar.add_argument("--keep", type=Path, help="a new folder for data, logs and exports")
    options = grammar.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        for entry in ENTRIES:
            if options.examples and entry.example not in options.examples:
                continue
            work = (options.keep or Path(scratch)) / entry.example
            try:
                found = measured(entry, work)
            except NoCorpus as missing:
                print(f"{entry.example}: {missing}", flush=True)
                bad += 1
                continue
            wrong = verdicts(found)
            print(json.dumps({entry.example: found}, indent=1), *wrong, sep="\n", flush=True)
            bad += bool(wrong)
            if not wrong:
                write(entry, found)
        if not options.examples or kinds.NAME in options.examples:
            kinds.run_kinds((options.keep or Path(scratch)) / kinds.NAME)
    return 1 if bad else 0


def write(entry: Entry, found: dict[str, Any]) -> None:
    """Put an entry's figures in the place of older ones."""
    kept: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    kept[entry.example] = found | {"date": today, "cores": os.cpu_count()}
    there = [one for one in ENTRIES if one.example in kept]
    told = {one.example: kept[one.example] | {"about": one.about} for one in there}
    FIGURES.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
