"""Both runs of an entry by ``llmtrain run``, and what came of them."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from harness.corpora.entry import Entry, Rows
from harness.corpora.split import split_rows
from harness.corpora.texts import spread
from harness.trainer.laptop import LaptopRun

from llmtrain_api import Task

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
BY_HEART, APART = 64, 8
SHOWN = 3
"""Held-out rows that are shown with what the model says of them, good or bad. They are no text of ours, so
no page has them."""
PATIENCE = 3000.0
"""Seconds that a run may take on a busy machine."""
FRACTION = {"heart": 0.05, "trained": 0.1}


@dataclass(frozen=True)
class Ran:
    """A run that ended well.

    Attributes:
        output: the folder with its export.
        results: what it tells.
        seconds: it took.
    """

    output: Path
    results: dict[str, Any]
    seconds: float


def manifest(entry: Entry, kind: str) -> dict[str, Any]:
    """The example with the entry's sizes, as it is run here: in one process.

    Args:
        entry: of the table.
        kind: ``heart`` or ``trained``.
    """
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{entry.example}.yaml").read_text())
    asked: dict[str, Any] = entry.heart if kind == "heart" else entry.trained
    training = {"sequenceLength": entry.length} | asked | {"warmupSteps": 20, "epochs": None}
    own = {
        "nodes": 1,
        "dataset": {"heldOutFraction": FRACTION[kind]},
        "training": training,
        "evaluation": {"everySteps": 0},
        "checkpoint": {"everySteps": 10_000},
    }
    found["spec"] = merged(merged(found["spec"], own), entry.more) | {"model": entry.model}
    return found


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The one with the fields of the other, section by section; None takes a field away."""
    found = dict(old)
    for name, value in new.items():
        into = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = merged(found[name], value) if into else value
    return {name: value for name, value in found.items() if value is not None}


def digest(entry: Entry) -> str:
    """What both runs are asked: figures of other sizes or steps are not those of this table."""
    asked = json.dumps([manifest(entry, kind)["spec"] for kind in FRACTION], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def measured(entry: Entry, work: Path) -> dict[str, Any]:
    """What an entry comes to: 64 rows by heart, and many rows with others held out.

    Raises:
        AssertionError: a run failed.
        NoCorpus: the machine has no such text.
    """
    everything = entry.rows()
    many = entry.many() if entry.many else everything
    return {
        "task": str(task_of_entry(entry)),
        "asked": digest(entry),
        "heart": _heart(entry, everything, work / "heart"),
        "heldOut": _held_out(entry, spread(many, entry.count), work / "trained"),
    }


def task_of_entry(entry: Entry) -> Task:
    """The task of the example's manifest."""
    spec = yaml.safe_load((EXAMPLES / f"{entry.example}.yaml").read_text())["spec"]
    return Task(spec.get("task", Task.CAUSAL))


def _heart(entry: Entry, everything: Rows, work: Path) -> dict[str, Any]:
    asked = manifest(entry, "heart")
    train, apart = split(entry, asked, spread(everything, 4 * BY_HEART))
    known = spread(train, BY_HEART)
    done = ran(entry, asked, (known + spread(apart, APART)) * entry.copies, work)
    return {
        "measure": entry.measure,
        "value": round(entry.score(entry.says(done.output / "export", known)), 2),
        "least": entry.least,
        "rows": len(known),
        "steps": done.results["steps"],
        "seconds": round(done.seconds),
    }


def _held_out(entry: Entry, rows: Rows, work: Path) -> dict[str, Any]:
    asked = manifest(entry, "trained")
    train, apart = split(entry, asked, rows)
    done, by = ran(entry, asked, rows, work), entry.beaten.baseline
    for one in entry.says(done.output / "export", spread(apart, SHOWN)):
        print(f"{entry.example}: {one.asked!r}: {one.told}, right is {one.right}", flush=True)
    value = at(done.results, entry.beaten.figure)
    without = at(done.results, by) if isinstance(by, str) else by(train, apart)
    return {
        "measure": entry.beaten.words,
        "value": round(value, 4),
        "baseline": round(without, 4),
        "by": entry.beaten.by,
        "lowerIsBetter": entry.beaten.lower,
        "rows": len(train),
        "apart": len(apart),
        "steps": done.results["steps"],
        "seconds": round(done.seconds),
    }


def split(entry: Entry, asked: dict[str, Any], rows: Rows) -> tuple[Rows, Rows]:
    """The rows that are trained on, and those that the trainer will hold out."""
    data = asked["spec"]["dataset"]
    return split_rows(task_of_entry(entry), data.get("fields", {}), rows, data["heldOutFraction"])


def at(results: dict[str, Any], path: str) -> float:
    """A figure of ``results.json`` by its path."""
    found: Any = results
    for part in path.split("."):
        found = found[part]
    return float(found)


def ran(entry: Entry, asked: dict[str, Any], rows: Rows, work: Path) -> Ran:
    """Write the rows where the manifest wants them, and run it to its end."""
    data = work / asked["spec"]["dataset"]["name"].removeprefix("pvc://")
    data.mkdir(parents=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (data / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    if entry.files:
        entry.files(data)
    run = LaptopRun(work, asked["spec"]["output"]["uri"].rpartition("/")[2], seconds=PATIENCE)
    run.write(asked)
    began = time.monotonic()
    run.to_the_end()
    assert run.codes == [0], run.text()
    run.opened()
    results = json.loads(run.output.results.read_text())
    return Ran(run.output.root, results, time.monotonic() - began)


def verdicts(found: dict[str, Any]) -> list[str]:
    """What of an entry's figures is not good enough, in words; nothing where all is."""
    heart, apart = found["heart"], found["heldOut"]
    told = []
    if heart["value"] < heart["least"]:
        told.append(f"{heart['measure']} of {heart['rows']} rows is {heart['value']}, not {heart['least']}")
    better = (
        apart["value"] < apart["baseline"] if apart["lowerIsBetter"] else apart["value"] > apart["baseline"]
    )
    if not better:
        told.append(f"{apart['measure']} is {apart['value']}, and {apart['baseline']} by {apart['by']}")
    return told
