"""The gallery tells what was measured of the jobs that its table has now, and only what is good enough."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from harness.corpora.entry import Entry
from harness.corpora.kinds import asked_digest
from harness.corpora.run import EXAMPLES, digest, manifest, task_of_entry, verdicts
from harness.corpora.split import split_rows
from harness.corpora.table import ENTRIES
from harness.corpora.texts import spread

from docsite import learnt
from llmtrain_api import Task, TokenizerKind, parse_manifest

BY_NAME = {entry.example: entry for entry in ENTRIES}
GOOD: dict[str, Any] = {
    "heart": {"measure": "BLEU", "value": 96.5, "least": 90, "rows": 64},
    "heldOut": {"measure": "BLEU", "value": 9.0, "baseline": 6.5, "by": "copies", "lowerIsBetter": False},
}


def test_each_entry_was_measured_as_the_table_has_it_now() -> None:
    found = learnt.figures()
    assert list(found) == list(BY_NAME), "make corpora"
    stale = [name for name, figure in found.items() if figure["asked"] != digest(BY_NAME[name])]
    assert not stale, f"make corpora CORPORA='{' '.join(stale)}'"
    assert not [wrong for figure in found.values() for wrong in verdicts(figure)]


@pytest.mark.parametrize("name", list(learnt.figures()))
def test_the_page_tells_what_was_measured(name: str) -> None:
    figure, page = learnt.figures()[name], learnt.page()
    [row] = re.findall(rf"^\| \[{name}\]\(#{name}\) .*$", page, re.MULTILINE)
    heart, apart = figure["heart"], figure["heldOut"]
    assert f"{heart['measure']} {heart['value']:g} of 100 | {apart['measure']} {apart['value']:.4g} |" in row
    assert f"../examples/{name}.yaml" in page


def test_kinds_of_tokenizers_were_measured_as_the_table_has_them_now() -> None:
    told, page = json.loads(learnt.KINDS.read_text()), learnt.page()
    assert list(told["kinds"]) == list(TokenizerKind), "make corpora CORPORA=tokenizers"
    for kind, one in told["kinds"].items():
        assert one["asked"] == asked_digest(TokenizerKind(kind)), "make corpora CORPORA=tokenizers"
        assert one["lossPerByte"] == pytest.approx(one["lossPerToken"] / one["bytesPerToken"], rel=1e-3)
        figures = f"{one['bytesPerToken']:.3f} | {one['lossPerToken']:.3f} | {one['lossPerByte']:.4f}"
        assert f"| `{kind}` | {figures} |" in page


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [("heart", "value", 89.9), ("heldOut", "value", 6.5), ("heldOut", "lowerIsBetter", True)],
)
def test_what_is_not_good_enough_is_told(part: str, field: str, value: object) -> None:
    assert not verdicts(GOOD)
    bad = copy.deepcopy(GOOD)
    bad[part][field] = value
    assert len(verdicts(bad)) == 1


@pytest.mark.parametrize("entry", ENTRIES, ids=list(BY_NAME))
@pytest.mark.parametrize("kind", ["heart", "trained"])
def test_both_runs_of_an_entry_are_jobs(entry: Entry, kind: str) -> None:
    asked = manifest(entry, kind)
    assert asked["spec"]["model"] == entry.model, "its sizes, and nothing of the example's model"
    _, spec = parse_manifest(asked)
    own = {"heart": entry.heart, "trained": entry.trained}[kind]
    assert spec.training.sequence_length == own.get("sequenceLength", entry.length)
    assert (EXAMPLES / f"{entry.example}.yaml").is_file()
    assert (spec.task or Task.CAUSAL) is task_of_entry(entry)


def test_rows_that_are_read_alike_are_on_one_side() -> None:
    rows = [{"text": f"text {at // 2}", "label": at % 2} for at in range(400)]
    train, apart = split_rows(Task.CLASSIFICATION, {}, rows, 0.2)
    assert len(train) + len(apart) == 400
    assert 40 < len(apart) < 120
    assert not {row["text"] for row in train} & {row["text"] for row in apart}


@pytest.mark.parametrize(("there", "asked", "found"), [(10, 4, [0, 2, 5, 7]), (3, 5, [0, 1, 2])])
def test_rows_are_spread_over_all(there: int, asked: int, found: list[int]) -> None:
    assert [row["at"] for row in spread([{"at": at} for at in range(there)], asked)] == found
