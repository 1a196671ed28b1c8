"""One pipeline for the tokenizer and the rows: cleaning before the split, and text that is only text."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job_file, least_spec
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api import JobFile
from llmtrain_trainer.data import cleaning, tokenizer
from llmtrain_trainer.data.cleaning.step import Cleaner, CleaningStep, Dropped, Settings
from llmtrain_trainer.data.documents import Document, documents_of
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.sources import is_held_out, texts_of
from llmtrain_trainer.data.steps.disk import full_disk_named
from llmtrain_trainer.data.steps.sources import require_apart
from llmtrain_trainer.data.store import Marker, key_of, reusable
from llmtrain_trainer.data.tokenizer import EOS, encoded, pieces, train_bpe
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.files import write_json


def job(name: str = "pvc://texts/data", uri: str = "pvc://out/run", **told: Any) -> JobFile:
    asked = least_spec(dataset={"name": name}, output={"uri": uri})
    return job_file(asked, **{"output": "/mnt/output/run", **told})


def _small(settings: Settings) -> Cleaner:
    """A step of the tests: lower case, and none of texts that end in 7."""

    def clean(text: str, found: Counter[str]) -> str | Dropped:
        found["capitals"] += sum(map(str.isupper, text))
        return Dropped("seven") if text.endswith("7") else text.lower()[: settings["most"]]

    return clean


def small(most: int = 100, version: int = 1) -> CleaningStep:
    return CleaningStep("small", version, lambda _: {"most": most}, _small)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(200):
        (tmp_path / f"{number:03}.txt").write_text(
            f"Text {number % 50}" if number % 2 else f"TEXT {number % 50}"
        )
    return tmp_path


def test_a_cleaning_step_stands_before_the_split_and_is_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = job(dataset=str(folder))
    [source] = texts_of(asked)
    assert len(list(documents_of(asked, source))) == 200
    monkeypatch.setattr(cleaning, "STEPS", (small(),))
    counts = ReadCounts()
    found = list(documents_of(asked, source, counts))
    assert {document.text for document in found} == {
        f"text {number}" for number in range(50) if number % 10 != 7
    }
    assert all(document.held_out == is_held_out(document.text, 0.05) for document in found)
    report = counts.report()
    assert report["droppedByCleaning"] == {"small.seven": 20}
    assert report["changedByCleaning"] == {"small": 180}
    assert report["changedDocuments"] == 180
    assert report["masked"] == {"capitals": 100 + 4 * 100}
    monkeypatch.setattr(cleaning, "STEPS", (CleaningStep("off", 1, lambda _: None, _small),))
    assert len(list(documents_of(asked, source))) == 200


def test_a_cleaning_steps_settings_and_version_belong_to_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = key_of(job())
    write_json(tmp_path / "data.json", Marker(plain, "uint16", 9, 2, 1.0, 0, {}, {}).__dict__)
    assert "cleaning" not in plain
    seen = [plain]
    for step in (small(), small(most=5), small(version=2)):
        monkeypatch.setattr(cleaning, "STEPS", (step,))
        seen.append(key_of(job()))
        assert reusable(tmp_path, job(), has_checkpoints=False)[1].startswith("cleaning was None and is [{")
        with pytest.raises(ConfigError, match="cleaning was None"):
            reusable(tmp_path, job(), has_checkpoints=True)
    assert all(one != other for at, one in enumerate(seen) for other in seen[:at])


def test_swapped_copies_follow_documents_for_training_alone(folder: Path) -> None:
    pairs = [{"term": "text", "other": "page"}]
    dataset = {"name": "pvc://texts/data", "heldOutFraction": 0.4, "cleaning": {"swapTerms": pairs}}
    asked = job_file(least_spec(dataset=dataset), dataset=str(folder))
    [source] = texts_of(asked)
    counts = ReadCounts()
    found = list(documents_of(asked, source, counts))
    plain = [document for document in found if document.text.lower().startswith("text")]
    assert [one.held_out for one in plain] == [is_held_out(one.text, 0.4) for one in plain]
    for number, document in enumerate(found):
        if document in plain and not document.held_out:
            copy = found[number + 1]
            assert copy == Document(document.text.replace("Text", "Page").replace("TEXT", "PAGE"), False)
    assert len(plain) == 200
    assert len(found) == 200 + counts.added
    assert counts.added == sum(not one.held_out for one in plain) > 50


def test_data_of_older_rules_are_made_again_unless_checkpoints_depend_on_them(tmp_path: Path) -> None:
    key = key_of(job())
    del key["rules"]
    marker = Marker(key, "uint16", 9, 2, 1.0, 0, {}, {})
    assert marker.summary is None
    write_json(tmp_path / "data.json", marker.__dict__)
    assert reusable(tmp_path, job(), has_checkpoints=False) == (None, "rules was None and is 3")
    assert reusable(tmp_path, job(), has_checkpoints=True) == (marker, "")


@pytest.fixture(scope="module")
def trained() -> Any:
    texts = [
        f"the river counts {number} lamps, they're über <b>it</b>\n\n\tagain " * 5 for number in range(50)
    ]
    return train_bpe(texts, 600, ["<|mask|>"])


def test_a_special_token_that_a_document_spells_is_text(trained: Any) -> None:
    text = f"GPT-2 ends a text with {EOS}, {EOS}<|mask|> and goes on."
    [(_, ids)] = encoded([(None, text)], trained)
    assert not {trained.token_to_id(EOS), trained.token_to_id("<|mask|>")}.intersection(ids.tolist())
    assert trained.decode(ids.tolist(), skip_special_tokens=False) == text


@given(
    st.lists(
        st.sampled_from(
            ["river", " lamp", " ", "  ", "\n", "\t", "they're", "!", "\x1c", "\u0085", "\u00a0", "12", "é"]
        ),
        max_size=60,
    ),
    st.integers(4, 30),
)
def test_pieces_are_encoded_to_the_tokens_of_the_whole(trained: Any, parts: list[str], length: int) -> None:
    text = "".join(parts)
    found = list(pieces(text, length))
    assert "".join(found) == text
    assert all(0 < len(piece) <= length for piece in found)
    if not any(piece[-1].isspace() for piece in found[:-1]) and all(
        piece[0] in " \n\t" for piece in found[1:]
    ):  # no word or space was longer than a piece
        apart = [token for piece in found for token in trained.encode(piece).ids]
        assert apart == trained.encode(text).ids


def test_documents_keep_their_order_and_tags_through_batches(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [("river " * number).strip() for number in range(60)]
    alone = [trained.encode(text).ids for text in texts]
    monkeypatch.setattr(tokenizer, "BATCH", 500)
    found = list(encoded(enumerate(texts), trained))
    assert [tag for tag, _ in found] == list(range(60))
    assert [ids.tolist() for _, ids in found] == alone


def test_training_on_a_word_without_an_end_takes_no_more_than_one_on_text() -> None:
    sizes = [len(piece) for piece in pieces("x" * 1_000_000)]
    assert max(sizes) == tokenizer.PIECE
    assert sum(sizes) == 1_000_000


OVERLAPS: dict[str, tuple[str, str, bool]] = {
    "text in the output": ("pvc://texts/run/texts", "pvc://texts/run", True),
    "the claim as output": ("pvc://texts/data", "pvc://texts", True),
    "output in the text": ("pvc://texts", "pvc://texts/runs/a", False),
    "a name that begins alike": ("pvc://texts/runs-old", "pvc://texts/runs", False),
    "another claim": ("pvc://texts/data", "pvc://out/data", False),
}


@pytest.mark.parametrize("kind", OVERLAPS)
def test_a_job_never_reads_what_it_writes(kind: str) -> None:
    name, output, overlaps = OVERLAPS[kind]
    asked = job(name, output, dataset="/mnt/dataset/x", output="/mnt/output/run")
    [source] = texts_of(asked)
    if not overlaps:
        return require_apart(asked, source)
    with pytest.raises(ConfigError) as caught:
        require_apart(asked, source)
    assert str(caught.value).startswith(f"dataset.name {name} lies in output.uri {output}")
    return None


def test_overlapping_folders_are_seen_through_links_too(tmp_path: Path) -> None:
    (tmp_path / "run" / "texts").mkdir(parents=True)
    (tmp_path / "texts").symlink_to("run/texts")
    asked = job(f"file://{tmp_path}/texts", output=str(tmp_path / "run"))
    with pytest.raises(ConfigError, match="the job would read what it writes"):
        require_apart(asked, texts_of(asked)[0])


class SafetensorError(Exception):
    """As the library has it: no OSError."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_named_with_what_is_there_and_ends_the_job(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "train.bin").write_bytes(bytes(3 << 20))
    with pytest.raises(ConfigError) as caught, full_disk_named(tmp_path):
        raise error
    assert str(caught.value).startswith(f"{tmp_path} is full: ")
    assert "after 3 MiB of prepared data" in str(caught.value)
    with pytest.raises(ValueError, match="other"), full_disk_named(tmp_path):
        raise ValueError("other")
