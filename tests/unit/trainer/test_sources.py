"""Several sources in one data folder: turns, held-out shares, and what makes it another folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.builders import job_file, least_spec
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api import JobFile, Layout
from llmtrain_trainer.checkpoint.manifest import Manifest, require_same
from llmtrain_trainer.data.rows import SequenceWriter, held_out_counts, spread
from llmtrain_trainer.data.sources import in_turn, texts_of
from llmtrain_trainer.data.store import HELD_OUT, TRAIN, Marker, fingerprints, key_of, read_marker, reusable
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.files import read_json, write_json

BOOKS = {"name": "pvc://texts/books", "weight": 3}
CODE = {"name": "builtin://python-stdlib", "weight": 1, "maxBytes": 50_000}


def job(text: dict[str, Any], **told: Any) -> JobFile:
    return job_file(least_spec(dataset=text), layout=Layout(zero=0), **told)


def mixed(*sources: dict[str, Any], **told: Any) -> JobFile:
    return job({"mixture": list(sources)}, **told)


def marked(folder: Path, of: JobFile) -> Marker:
    """A data folder without files but its marker."""
    files = {TRAIN: {"size": 0}, HELD_OUT: {"size": 0}}
    marker = Marker(key_of(of), "uint16", 9, 2, 1.0, 0, files, {}, [6, 3])
    write_json(folder / "data.json", marker.__dict__)
    return marker


def test_sources_take_turns_until_all_have_ended() -> None:
    said = list(in_turn(iter(words) for words in (["a1", "a2", "a3"], [], ["c1"], ["d1", "d2"])))
    assert said == ["a1", "c1", "d1", "a2", "d2", "a3"]


def test_each_source_knows_its_folder_and_the_field_that_names_it() -> None:
    own = {"name": "file:///srv/own", "weight": 1}
    found = texts_of(mixed(BOOKS, CODE, own, sources={"pvc://texts/books": "/mnt/dataset/texts/books"}))
    assert [(text.field, str(text.folder), text.max_bytes) for text in found] == [
        ("dataset.mixture[0].name", "/mnt/dataset/texts/books", None),
        ("dataset.mixture[1].name", "builtin:/python-stdlib", 50_000),
        ("dataset.mixture[2].name", "/srv/own", None),
    ]
    [alone] = texts_of(job({"name": "pvc://texts/books", "maxBytes": 20_000}, dataset="/mnt/dataset/books"))
    assert (alone.field, str(alone.folder), alone.max_bytes) == (
        "dataset.name",
        "/mnt/dataset/books",
        20_000,
    )


def test_no_row_has_tokens_of_two_sources(tmp_path: Path) -> None:
    writer = SequenceWriter(tmp_path / "rows", 4, "uint16", 0)
    for source in ([[1] * 5, [1], [1]], [], [[3] * 4, [3] * 4]):
        for document in source:
            writer.add(document)
        writer.end_source()
    assert writer.close().tolist() == [[1, 1, 1, 1], [1, 0, 1, 0], [3, 3, 3, 3], [0, 3, 3, 3]]
    assert [(source.documents, source.rows) for source in writer.sources] == [(3, 2), (0, 0), (2, 2)]
    assert (writer.documents, writer.rows) == (5, 4)


@pytest.mark.parametrize(
    ("rows", "parts", "most", "expected"),
    [
        ([100], [1], 512, [100]),
        ([1000], [7], 512, [512]),
        ([1000, 1000], [3, 1], 512, [384, 128]),
        ([50, 50], [3, 1], 512, [50, 16]),
        ([5000, 0, 5000], [1, 5, 1], 64, [32, 0, 32]),
        ([5000, 2], [999, 1], 100, [99, 1]),
        ([1, 500], [9, 1], 512, [1, 1]),
        ([0, 0], [1, 1], 512, [0, 0]),
    ],
)
def test_held_out_rows_are_used_in_proportion(
    rows: list[int], parts: list[int], most: int, expected: list[int]
) -> None:
    assert held_out_counts(rows, parts, most) == expected


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 50)), min_size=1, max_size=20),
    st.integers(0, 600),
)
def test_held_out_rows_are_distinct_and_within_their_source(
    sources: list[tuple[int, int]], more: int
) -> None:
    rows, parts = [list(column) for column in zip(*sources, strict=True)]
    most = len(rows) + more
    counts = held_out_counts(rows, parts, most)
    assert sum(counts) <= most
    assert all((count > 0) == (there > 0) for count, there in zip(counts, rows, strict=True))
    chosen = spread(rows, counts)
    assert len(set(chosen.tolist())) == sum(counts)
    ends = np.cumsum(rows)
    owners = np.searchsorted(ends, chosen, side="right")
    assert [int((owners == number).sum()) for number in range(len(rows))] == counts


def test_a_folder_of_an_older_version_has_one_source(tmp_path: Path) -> None:
    of = job({"name": "builtin://python-stdlib"})
    marked(tmp_path, of)
    raw = read_json(tmp_path / "data.json") or {}
    del raw["sources"]
    write_json(tmp_path / "data.json", raw)
    marker = read_marker(tmp_path)
    assert marker is not None
    assert marker.rows == [9]


def test_the_key_of_one_source_is_as_it_was() -> None:
    key = key_of(job({"name": "builtin://python-stdlib"}))
    assert {name for name in key if name.startswith("dataset")} == {"dataset.name", "dataset.heldOutFraction"}


CHANGES = {
    "a weight": ([BOOKS | {"weight": 2}, CODE], "dataset.mixture[0].weight was 3.0 and is 2.0"),
    "a limit": (
        [BOOKS, CODE | {"maxBytes": 60_000}],
        "dataset.mixture[1].maxBytes was 50000 and is 60000",
    ),
    "the order of the list": ([CODE, BOOKS], "dataset.mixture[0].name was pvc://texts/books and is builtin"),
    "one source less": ([BOOKS], "dataset.mixture[1].name was builtin://python-stdlib and is None"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_mixture_is_refused_by_name_where_checkpoints_depend_on_it(tmp_path: Path, name: str) -> None:
    sources, said = CHANGES[name]
    marked(tmp_path, mixed(BOOKS, CODE))
    with pytest.raises(ConfigError) as caught:
        reusable(tmp_path, mixed(*sources), has_checkpoints=True)
    assert said in str(caught.value)
    marker, reason = reusable(tmp_path, mixed(*sources), has_checkpoints=False)
    assert marker is None
    assert said in reason


def test_a_checkpoint_of_other_weights_is_refused_by_name_though_the_files_are_the_same(
    tmp_path: Path,
) -> None:
    before, after = mixed(BOOKS, CODE), mixed(BOOKS, CODE | {"weight": 2})
    marker = marked(tmp_path, before)
    manifest = Manifest(step=5, fingerprints=fingerprints(before, marker))
    require_same(manifest, fingerprints(before, marker))
    with pytest.raises(ConfigError, match=r"dataset\.mixture \(names, weights, maxBytes\)"):
        require_same(manifest, fingerprints(after, marker))
    assert "mixture" not in fingerprints(job({"name": "builtin://python-stdlib"}), marker)
