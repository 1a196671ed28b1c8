"""Copies of documents are found over all files, whichever way they are cut, and nothing else is."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.builders import job_file, least_spec

from llmtrain_api import JobFile
from llmtrain_trainer.data.chat.samples import dialogues_of
from llmtrain_trainer.data.cleaning.duplicates import decision
from llmtrain_trainer.data.cleaning.duplicates.files import (
    copies_file,
    decide,
    decided,
    read_copies,
    signatures_file,
)
from llmtrain_trainer.data.cleaning.duplicates.signatures import write_signatures
from llmtrain_trainer.data.documents import Document, documents_of_unit, units_of_source
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.sources import surveyed, texts_of
from llmtrain_trainer.data.steps import duplicates as step
from llmtrain_trainer.data.units import plan, pool

Words = list[str]
LONG = 200


def jaccard(one: Words, other: Words) -> float:
    first, second = ({tuple(words[at : at + 5]) for at in range(len(words) - 4)} for words in (one, other))
    return len(first & second) / len(first | second)


@pytest.fixture(scope="module")
def corpus() -> tuple[list[Words], dict[int, float]]:
    """1,800 documents; some are followed by another, and how similar it is."""
    generator = random.Random(1)
    known = [f"word{number}" for number in range(3000)]

    def fresh(count: int) -> Words:
        return [generator.choice(known) for _ in range(count)]

    documents, planted = [], {}
    for number in range(1200):
        document = fresh(LONG)
        documents.append(document)
        if number % 4 == 0:
            copy = [*document]
            copy[generator.randrange(LONG)] = "changed"
        elif number % 4 == 1:
            copy = document[: LONG - 66] + fresh(66)
        else:
            continue
        planted[len(documents)] = jaccard(document, copy)
        documents.append(copy)
    return documents, planted


def signed(folder: Path, documents: list[Words], parts: int, *, near: bool = True) -> list[str]:
    names = [str(number) for number in range(parts)]
    size = -(-len(documents) // parts)
    for number, name in enumerate(names):
        some = documents[number * size : (number + 1) * size]
        write_signatures(map(" ".join, some), signatures_file(folder, name), near=near)
    return names


def dropped(folder: Path, names: list[str], similarity: float | None) -> Any:
    count = decide(folder, names, similarity)
    found = np.concatenate([read_copies(folder, name) for name in names])
    assert found.sum() == count
    assert decided(folder, names)
    return found


def test_near_copies_are_found_and_half_copies_are_kept(
    tmp_path: Path, corpus: tuple[list[Words], dict[int, float]]
) -> None:
    documents, planted = corpus
    found = dropped(tmp_path, signed(tmp_path, documents, 3), 0.8)
    close = [number for number, similarity in planted.items() if similarity >= 0.9]
    far = [number for number, similarity in planted.items() if similarity <= 0.52]
    assert (len(close), len(far)) == (300, 300)
    assert found[close].mean() >= 0.98
    assert found[far].mean() <= 0.001
    others = [number for number in range(len(documents)) if number not in planted]
    assert not found[others].any()


def test_the_decision_is_the_same_however_documents_lie_in_files_and_memory(
    tmp_path: Path, corpus: tuple[list[Words], dict[int, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = corpus[0][:600]
    first = dropped(tmp_path, signed(tmp_path, documents, 1), 0.8)
    monkeypatch.setattr(decision, "PART", 50)
    monkeypatch.setattr(decision, "PAIRS", 7)
    assert (dropped(tmp_path, signed(tmp_path, documents, 7), 0.8) == first).all()
    assert first.sum() > 50


def test_no_chain_leads_from_one_text_to_another(tmp_path: Path) -> None:
    """Each is like the one before; the last shares nothing with the first."""
    words = [f"w{number}" for number in range(1000)]
    chain = [words[start : start + 300] for start in range(0, 600, 15)]
    found = dropped(tmp_path, signed(tmp_path, chain, 2), 0.8)
    kept = [number for number in range(len(chain)) if not found[number]]
    assert kept[0] == 0
    assert len(kept) >= 8
    for number in np.flatnonzero(found):
        assert max(jaccard(chain[number], chain[other]) for other in kept if other < number) >= 0.7


def test_a_bucket_of_many_different_documents_still_finds_their_copies(tmp_path: Path) -> None:
    """Long common text brings them together; ends tell them apart."""
    generator = random.Random(3)
    common = [f"c{number}" for number in range(150)]
    ends = [[f"e{generator.random()}" for _ in range(150)] for _ in range(12)]
    documents = [common + end for end in ends]
    found = dropped(tmp_path, signed(tmp_path, [*documents, *documents], 1), 0.9)
    assert found.tolist() == [False] * 12 + [True] * 12
    changed = [[*document[:-1], "x"] for document in documents]
    found = dropped(tmp_path, signed(tmp_path, [*documents, *changed], 1), 0.9)
    assert found.tolist() == [False] * 12 + [True] * 12


def test_exact_copies_differ_in_case_spaces_and_signs_alone(tmp_path: Path) -> None:
    texts = ["The river, at night", "the  RIVER at\nnight!", "the river at night", "a river at night"]
    for near in (False, True):
        names = signed(tmp_path, [[text] for text in [*texts, "!!!", "???", "!!!"]], 2, near=near)
        found = dropped(tmp_path, names, 0.8 if near else None)
        assert found.tolist() == [False, True, True, False, False, False, True]


def test_nothing_is_no_copy_of_nothing(tmp_path: Path) -> None:
    assert dropped(tmp_path, signed(tmp_path, [], 2), 0.8).tolist() == []


def test_a_decision_of_other_units_or_torn_files_is_made_again(tmp_path: Path) -> None:
    names = signed(tmp_path, [["a"], ["a"], ["b"]], 2)
    assert not decided(tmp_path, names)
    decide(tmp_path, names, 0.8)
    assert decided(tmp_path, names)
    assert not decided(tmp_path, [*names, "more"])
    copies_file(tmp_path, names[0]).write_bytes(b"")
    assert not decided(tmp_path, names)


def two_sources(folder: Path, rows: list[dict[str, Any]], **more: Any) -> JobFile:
    """Half of the rows in each."""
    half = len(rows) // 2
    for name, some in (("one", rows[:half]), ("two", rows[half:])):
        (folder / name).mkdir()
        (folder / name / "rows.jsonl").write_text("\n".join(map(json.dumps, some)))
    mixture = [{"name": f"file://{folder / name}", "weight": 1} for name in ("one", "two")]
    cleaning = {"duplicates": "near", "whitespace": True} | more.pop("cleaning", {})
    dataset = {"mixture": mixture, "cleaning": cleaning, "heldOutFraction": 0.3}
    return job_file(least_spec(dataset=dataset, **more))


def test_any_number_of_processes_signs_the_same_and_only_what_is_missing(
    tmp_path: Path, corpus: tuple[list[Words], dict[int, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = two_sources(tmp_path, [{"text": " ".join(words)} for words in corpus[0][:400]])
    monkeypatch.setattr(plan, "UNIT", 60_000)
    monkeypatch.setattr(pool, "WORTH", 0)
    sources = tuple(texts_of(asked))
    units = [
        unit
        for number, source in enumerate(sources)
        for unit in units_of_source(source, surveyed(source).files, number)
    ]
    assert len(units) > 6
    made: dict[int, dict[str, bytes]] = {}
    for workers in (1, 2):
        folder = tmp_path / f"signed-{workers}"
        folder.mkdir()
        work = step.Signing(asked, sources, folder, near=True)
        passed: list[int] = []
        pool.make_units(work, units, passed.append, workers, (step.is_signed, step.sign))
        made[workers] = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert sum(passed) == sum(unit.size for unit in units)
    assert made[1] == made[2]
    assert all(step.is_signed(work, unit) for unit in units)
    signatures_file(work.folder, units[0].name).write_bytes(b"torn")
    assert [step.is_signed(work, unit) for unit in units[:2]] == [False, True]
    names = [unit.name for unit in units]
    step.sign(work, units[0], lambda _: None)
    assert decide(work.folder, names, 0.8) > 30
    counts = ReadCounts()
    documents: list[Document] = []
    for unit in units:
        copies = read_copies(work.folder, unit.name)
        documents += documents_of_unit(asked, sources[unit.source], unit, counts, copies=copies)
    assert len(documents) + counts.cleaned["duplicates"] == 400
    with pytest.raises(RuntimeError, match="changed while it was prepared"):
        list(documents_of_unit(asked, sources[0], units[0], ReadCounts(), copies=[False]))
    with pytest.raises(RuntimeError, match="changed while it was prepared"):
        list(documents_of_unit(asked, sources[0], units[0], ReadCounts(), copies=[False] * 9999))


def test_dialogues_are_cleaned_by_message_judged_as_one_and_keep_their_turns(tmp_path: Path) -> None:
    def talk(question: str, answer: str) -> dict[str, Any]:
        called = [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]
        return {
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": None, "tool_calls": called},
                {"role": "tool", "content": "8.8.8.8 ", "tool_call_id": "1"},
                {"role": "assistant", "content": answer},
            ]
        }

    rows = [talk(f"Where is she, {number}?", f"With he@x.org {number}  ") for number in range(60)]
    rows += [talk("Hi", "Ho"), talk(" where is she 3", "With she@y.org 3")]
    asked = two_sources(
        tmp_path,
        rows,
        task="chat",
        cleaning={
            "mask": ["emails", "ips"],
            "minCharacters": 20,
            "duplicates": "exact",
            "swapTerms": [{"term": "she", "other": "he"}],
        },
    )
    sources, counts = texts_of(asked), [ReadCounts(), ReadCounts()]
    made: dict[bool, list[Any]] = {True: [], False: []}
    copies = [[False] * 31, [False] * 29 + [True]]
    for source, counted, drop in zip(sources, counts, copies, strict=True):
        for held_out, dialogue in dialogues_of(asked, source, counted, copies=drop):
            made[held_out].append(dialogue.messages)
    total = ReadCounts()
    for counted in counts:
        total.add(counted)
    assert total.cleaned == {"length.short": 1, "duplicates": 1}
    assert total.found == {"emails": 61, "ips": 62}
    assert total.added == len(made[False]) / 2
    assert len(made[True]) + total.added == 60
    for messages in (*made[True], *made[False]):
        assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
        assert messages[1]["tool_calls"][0]["function"]["name"] == "f"
        assert messages[2] == {"role": "tool", "content": "[IP]", "tool_call_id": "1"}
        assert messages[3]["content"].startswith("With [EMAIL] ")
    texts = [messages[0]["content"] for messages in made[False]]
    assert sum("she" in text for text in texts) == sum("she" not in text for text in texts)
    assert all("she" in messages[0]["content"] for messages in made[True])
