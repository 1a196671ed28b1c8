"""Preparing data as a whole: the same bytes each time, in bounded memory, and all of it in the report."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.builders import job
from harness.children import environment
from tokenizers import Tokenizer

from llmtrain_trainer.data import cleaning, progress
from llmtrain_trainer.data.cleaning.step import Cleaner, CleaningStep, Dropped, Settings
from llmtrain_trainer.data.loader import open_held_out, open_train
from llmtrain_trainer.data.preparation import Preparation
from llmtrain_trainer.data.store import TOKENIZER, Marker
from llmtrain_trainer.data.tokenizer import EOS
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.files import write_json
from llmtrain_trainer.launch.before_training import preparation

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    from llmtrain_trainer.data.prepare import STEPS, prepare

SENTENCES = [
    f"the {a} {b} the {c}. "
    for a in ("clerk", "lamp")
    for b in ("paints", "weighs")
    for c in ("bridge", "song")
]


def page(number: int, sentences: int = 40) -> str:
    return f"Page {number}. " + "".join(SENTENCES[(number * 7 + at * at) % 8] for at in range(sentences))


def made(work: Path, folder: Path, name: str = "data", **changes: Any) -> tuple[Path, Marker]:
    dataset = {"name": f"file://{folder}", "maxBytes": None, **changes.pop("dataset", {})}
    into = work / name
    return into, prepare(job(work / "output", dataset=dataset, **changes), into)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    return folder


def test_each_step_needs_only_what_steps_before_it_leave() -> None:
    there: set[str] = set()
    for step in STEPS:
        assert there.issuperset(step.needs), step.name
        there.update(step.leaves)
    assert there == {name for name, field in Preparation.__dataclass_fields__.items() if not field.init}, (
        "each field has a step that leaves it"
    )


def test_a_single_text_file_trains(tmp_path: Path, texts: Path) -> None:
    (texts / "input.txt").write_text("\n\n".join(page(number) for number in range(600)))
    _, marker = made(tmp_path, texts)
    assert marker.report["documents"]["train"] > 100
    assert marker.sequences > 100
    assert marker.held_out > 5


def test_the_same_text_is_the_same_bytes(tmp_path: Path, texts: Path) -> None:
    (texts / "input.txt").write_text("\n\n".join(page(number) for number in range(200)))
    (texts / "rows.jsonl").write_text("\n".join(json.dumps({"text": page(n)}) for n in range(200)))
    first, second = (made(tmp_path, texts, name)[1] for name in "ab")
    assert first == second


@pytest.mark.parametrize("packing", ["concat", "documents"])
def test_only_the_joins_of_documents_are_end_tokens(tmp_path: Path, texts: Path, packing: str) -> None:
    rows = [page(number) for number in range(60)]
    rows[7] = f"GPT-2 ends a text with {EOS} and goes on. " * 40
    rows[8] = rows[7] + "again"
    (texts / "rows.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in rows))
    folder, marker = made(tmp_path, texts, dataset={"heldOutFraction": 0.5}, training={"packing": packing})
    documents = marker.report["documents"]
    ends = int((np.asarray(open_train(folder, marker)) == marker.eos).sum())
    assert documents["train"] - 1 <= ends <= documents["train"]
    ends = int((open_held_out(folder) == marker.eos).sum())
    assert ends <= documents["heldOut"]


def test_a_launcher_sees_both_passes_rise_to_the_end(
    tmp_path: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library that trains the tokenizer pulls the text itself, and one file is not read to its end."""
    for name in "abc":
        (texts / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": page(n)}) for n in range(600)))
    size = sum(file.stat().st_size for file in texts.iterdir())
    seen: list[int] = []

    def write(path: Path, value: Any) -> None:
        write_json(path, value)
        told = preparation(path)
        assert told is not None
        assert told.prepared_bytes is not None
        assert told.bytes_to_prepare == 2 * size
        seen.append(told.prepared_bytes)

    monkeypatch.setattr(progress, "WRITE_EVERY", 0.0)
    monkeypatch.setattr(progress, "write_json", write)
    dataset = {"name": f"file://{texts}", "maxBytes": size - 1000}
    file = tmp_path / "prepare.json"
    prepare(job(tmp_path / "output", dataset=dataset), tmp_path / "data", file)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 2 * size)
    assert len([done for done in set(seen) if done < size]) >= 3, "while the tokenizer is trained"
    assert len([done for done in set(seen) if done > size]) >= 3, "while the rows are written"
    assert file.exists()


def test_the_report_tells_what_was_not_read(
    tmp_path: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.dumps({"text": page(number)}).encode() for number in range(400)]
    rows[41] = '{"text": "Café an der Straße"}'.encode("latin-1")
    (texts / "a.jsonl").write_bytes(b"\n".join(rows))
    (texts / "README.md").write_text("A card.")
    (texts / "environ.txt").symlink_to("/proc/self/environ")
    _, marker = made(tmp_path, texts, dataset={"maxBytes": 200_000, "heldOutFraction": 0.2})
    read = marker.report["read"]
    size = (texts / "a.jsonl").stat().st_size
    assert read["bytesRead"] + read["bytesNotRead"] == size
    assert 190_000 < read["bytesRead"] < 220_000
    assert read["skipped"] == {"link that leads outside of the folder": 1, "markdown beside data files": 1}
    assert (read["files"], read["filesCut"], read["replacedCharacters"]) == (1, 1, 2)
    summary = marker.summary
    assert summary is not None
    summarised = summary.to_json()
    assert len(summarised.pop("samples")) == 5
    assert summarised == {
        "documents": sum(marker.report["documents"].values()),
        "tokens": marker.sequences * 32,
        "bytesRead": read["bytesRead"],
        "bytesNotRead": read["bytesNotRead"],
        "replacedCharacters": 2,
        "skippedFiles": 2,
        "files": 1,
        "skippedDocuments": 0,
        "changedDocuments": 0,
        "duplicateDocuments": 0,
        "maskedValues": 0,
        "addedDocuments": 0,
    }
    told = capsys.readouterr().out
    cut, replaced, skipped = marker.report["warnings"]
    assert all(sentence in told for sentence in marker.report["warnings"])
    assert f": {100 * read['bytesNotRead'] / size:.0f} % of the text is not read" in cut
    assert cut.endswith("raise dataset.maxBytes")
    assert "2 characters are no text and were replaced, the first in a.jsonl line 42, byte" in replaced
    assert "(such as environ.txt)" in skipped


def _upper(_: Settings) -> Cleaner:
    return lambda text, _: Dropped() if "song" in text else text.upper()


def test_a_cleaning_step_is_applied_for_the_tokenizer_and_for_the_rows(
    tmp_path: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        (texts / f"{number}.txt").write_text(
            "a song" if number % 10 == 0 else page(number).replace("song", "tune")
        )
    step = CleaningStep("upper", 1, lambda _: {}, _upper)
    monkeypatch.setattr(cleaning, "STEPS", (step,))
    folder, marker = made(tmp_path, texts, model={"vocabSize": 400}, dataset={"heldOutFraction": 0.5})
    vocabulary = json.loads((folder / TOKENIZER / "tokenizer.json").read_text())["model"]["vocab"]
    longer = [name for name in vocabulary if len(name) > 1 and name != EOS]
    assert longer
    assert not [name for name in longer if any(letter.islower() for letter in name)]
    lower = {vocabulary[chr(code)] for code in range(ord("a"), ord("z") + 1)}
    assert not lower.intersection(np.asarray(open_train(folder, marker)).ravel().tolist())
    assert marker.report["read"]["droppedByCleaning"] == {"upper": 10}
    assert marker.key["cleaning"] == [{"name": "upper", "version": 1, "settings": {}}]


MAIL = "write to ann.lee@example.org or call +49 30 901820 about page"
CLEANING = {
    "repairUnicode": True,
    "whitespace": True,
    "mask": ["emails", "phones"],
    "minCharacters": 20,
    "duplicates": "near",
    "swapTerms": [{"term": "clerk", "other": "lamp"}],
}


@pytest.mark.parametrize("task", ["causal", "chat"])
def test_all_that_cleaning_did_is_counted_once_and_is_in_the_tokens(
    tmp_path: Path, texts: Path, task: str
) -> None:
    """200 documents, 40 copies of them in the second source, 10 short ones."""
    generator = random.Random(5)
    pages = [
        f"{MAIL} {number}:  \r\n"
        + " ".join(
            generator.choice(["clerk", "paints", "Ã¼ber", "song"]) + f" {at % 7}"
            for at in generator.sample(range(900), 60)
        )
        for number in range(200)
    ]
    more = [*(f"{page} again" for page in pages[:40]), *("tiny" for _ in range(10))]
    for name, some in (("one", pages), ("two", [*more, *(f"other {page(n)}" for n in range(60))])):
        (texts / name).mkdir()
        rows = [
            {"text": text}
            if task == "causal"
            else {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": text}]}
            for text in some
        ]
        (texts / name / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    mixture = [{"name": f"file://{texts / name}", "weight": 1} for name in ("one", "two")]
    dataset = {"mixture": mixture, "name": None, "maxBytes": None, "cleaning": CLEANING}
    asked = job(
        tmp_path / "output",
        task=task,
        dataset=dataset | {"heldOutFraction": 0.3},
        training={"sequenceLength": 512 if task == "chat" else 32},
    )
    marker = prepare(asked, tmp_path / "data")
    read = marker.report["read"]
    assert read["masked"] == {"emails": 240 * (1 + (task == "chat")), "phones": 240 * (1 + (task == "chat"))}
    dropped = read["droppedByCleaning"]
    assert dropped["duplicates"] >= 40
    documents = sum(marker.report["documents"].values())
    assert read["changedByCleaning"]["mask"] == 240
    lost = sum(dropped.values())
    assert documents + lost == 200 + 110 + read["addedDocuments"]
    assert read["addedDocuments"] > 50
    assert marker.summary is not None
    assert marker.summary.duplicate_documents == dropped["duplicates"]
    assert marker.summary.masked_values == sum(read["masked"].values())
    tokenizer = Tokenizer.from_file(str(tmp_path / "data" / TOKENIZER / "tokenizer.json"))
    text = tokenizer.decode(np.asarray(open_train(tmp_path / "data", marker)).ravel().tolist())
    assert "[EMAIL]" in text
    assert "über" in text
    assert not {"Ã", "ann.lee", "+49"}.intersection(word for word in ("Ã", "ann.lee", "+49") if word in text)
    assert prepare(asked, tmp_path / "again").digest == marker.digest


PEAK = """
import json, resource, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from llmtrain_api import JobFile
from llmtrain_trainer.data import tokenizer
from llmtrain_trainer.data.prepare import prepare
tokenizer.TRAINING_BYTES = 1 << 20
small, large = (JobFile.model_validate_json(Path(name).read_text()) for name in sys.argv[1:3])
peaks = []
for number, job in enumerate((small, large)):
    marker = prepare(job, Path(sys.argv[3]) / str(number))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(json.dumps({"peaks": peaks, "read": marker.report["read"]["bytesRead"]}))
"""


@pytest.mark.parametrize(
    "kind", ["rows", *(pytest.param(kind, marks=pytest.mark.proof) for kind in ("one text", "one word"))]
)
def test_memory_does_not_grow_with_the_text(tmp_path: Path, kind: str) -> None:
    """The peak of a process that prepared a small corpus first, and then one of twenty times its size."""
    paths = []
    for size in (1, 20):
        folder = tmp_path / f"texts-{size}"
        folder.mkdir()
        with (folder / ("a.jsonl" if kind == "rows" else "a.txt")).open("w") as file:
            for number in range(size * 400):
                if kind == "rows":
                    file.write(json.dumps({"text": page(number)}) + "\n")
                else:
                    file.write(
                        page(number) + "\n\n"
                        if kind == "one text" or number % 50 == 0
                        else random.Random(number).randbytes(600).hex()
                    )
        dataset = {"name": f"file://{folder}", "maxBytes": None}
        path = tmp_path / f"{size}.json"
        path.write_text(job(tmp_path / "output", dataset=dataset).model_dump_json(by_alias=True))
        paths.append(str(path))
    ran = subprocess.run(
        [sys.executable, "-c", PEAK, *paths, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["read"] > 8_000_000
    small, large = told["peaks"]
    assert (large - small) >> 10 < 96, f"{small >> 10} -> {large >> 10} MiB"


def test_a_file_that_is_no_text_ends_preparation_by_name(tmp_path: Path, texts: Path) -> None:
    (texts / "a.txt").write_bytes(np.random.default_rng(1).bytes(50_000))
    with pytest.raises(ConfigError, match=rf"dataset\.name file://{texts}: a\.txt is not utf-8 text"):
        made(tmp_path, texts)
