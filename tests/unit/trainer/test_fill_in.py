"""Documents whose middle is told last: where they are cut, in which order, and as which tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from harness.builders import job_file, least_spec
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, trainers

from llmtrain_api import JobFile, Task
from llmtrain_trainer.data.documents import Document, units_of_source
from llmtrain_trainer.data.fill_in import joined, told, within
from llmtrain_trainer.data.holes import PSM, SPM, Holes, Parts, key_of
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.sources import surveyed, texts_of
from llmtrain_trainer.data.store import key_of as data_key
from llmtrain_trainer.data.tokenizer import CUTS, encoded, train_bpe
from llmtrain_trainer.data.units import plan, pool
from llmtrain_trainer.data.units.pool import make_units
from llmtrain_trainer.data.units.work import SIDES, Work, done, tokens_file
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.special_tokens import HOLE, HOLES, OURS, Tokens, hole_tokens, special_names

ALL = Holes(rate=1, spm_share=0.5, seed=42)
TEXTS = [f"def add_{number}(a, b):\n    return a + b * {number}\n" for number in range(2000)]


def parts(holes: Holes, text: str) -> Parts:
    found = holes.parts(text)
    assert found is not None
    return found


def byte_level() -> Any:
    return train_bpe(TEXTS[:99], 400, [*HOLE])


def with_space() -> Any:
    """A tokenizer as Llama 2 and CodeLlama have it, which begins each text with a space of its own."""
    made = tokenizers.Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<|endoftext|>", *HOLES[3], *(f"<0x{code:02X}>" for code in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    made.train_from_iterator(TEXTS[:99], trainer)
    made.encode_special_tokens = True
    return made


TOKENIZERS = {"byte level": byte_level(), "with a space": with_space()}


def ids_of(tokenizer: Any, texts: list[str], holes: Holes | None, cut: str = "whole") -> list[list[int]]:
    tokens = Tokens(eos=0, hole=hole_tokens(tokenizer, "it"), before=(7,), after=(8,))
    found = (Document(text, False) for text in texts)
    told_parts = told(found, holes, tokens, within(tokenizer), ReadCounts())
    of_parts = encoded(told_parts, tokenizer, CUTS[cut])  # type: ignore[index]
    return [ids.tolist() for _, ids in joined(of_parts, tokens)]


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(0, 2**63 - 1))
def test_the_parts_are_the_document_and_follow_from_it_and_the_seed(text: str, seed: int) -> None:
    holes = Holes(1, 0.5, seed)
    found = parts(holes, text)
    assert found.prefix + found.middle + found.suffix == text
    assert holes.parts(text) == found == Holes(1, 0.5, seed).parts(text)


def test_another_seed_or_text_is_cut_elsewhere() -> None:
    starts = {len(parts(Holes(1, 0.5, seed), TEXTS[0]).prefix) for seed in range(50)}
    assert len(starts) > 10
    assert len({len(parts(ALL, text).prefix) for text in TEXTS[:50]}) > 10


def test_any_two_places_are_as_likely() -> None:
    text_length = [len(text) for text in TEXTS]
    cuts = [parts(ALL, text) for text in TEXTS]
    starts = [len(cut.prefix) / size for cut, size in zip(cuts, text_length, strict=True)]
    middles = [len(cut.middle) / size for cut, size in zip(cuts, text_length, strict=True)]
    assert np.mean(starts) == pytest.approx(1 / 3, abs=0.02)
    assert np.mean(middles) == pytest.approx(1 / 3, abs=0.02)
    assert any(not cut.prefix for cut in cuts)
    assert any(not cut.suffix for cut in cuts)
    short = {parts(Holes(1, 0.5, seed), "ab") for seed in range(200)}
    assert {(cut.prefix, cut.middle, cut.suffix) for cut in short} == {
        ("", "", "ab"), ("", "a", "b"), ("", "ab", ""), ("a", "", "b"), ("a", "b", ""), ("ab", "", ""),
    }  # fmt: skip


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9, 1])
@pytest.mark.parametrize("share", [0, 0.25, 0.5, 1])
def test_as_many_are_cut_and_begin_with_the_suffix_as_asked(rate: float, share: float) -> None:
    found = [cut for text in TEXTS if (cut := Holes(rate, share, 1).parts(text))]
    assert len(found) / len(TEXTS) == pytest.approx(rate, abs=0.04)
    assert np.mean([cut.suffix_first for cut in found]) == pytest.approx(
        share, abs=0.1 if rate < 0.5 else 0.05
    )


def test_more_documents_with_a_hole_are_the_same_and_others() -> None:
    few, many = Holes(0.3, 0.5, 1), Holes(0.6, 0.5, 1)
    assert all(many.parts(text) == cut for text in TEXTS if (cut := few.parts(text)))


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("share", [0, 1], ids=["PSM", "SPM"])
def test_each_part_stands_after_its_token_and_is_the_text(tokenizer: Any, share: int) -> None:
    prefix, middle, suffix = hole_tokens(tokenizer, "it")
    for text in TEXTS[:200]:
        cut = parts(Holes(1, share, 42), text)
        [ids] = ids_of(tokenizer, [text], Holes(1, share, 42))
        assert (ids[0], ids[-1]) == (7, 8)
        ids = ids[1:-1]
        at = [ids.index(one) for one in (prefix, suffix, middle)]
        assert at == sorted(at)
        assert sum(one in (prefix, middle, suffix) for one in ids) == 3
        own = tokenizer.encode(cut.prefix, add_special_tokens=False).ids
        assert at[0] == 0
        between, last = ids[at[1] + 1 : at[2]], ids[at[2] + 1 :]
        assert _inside(tokenizer, between) == cut.suffix
        if share:
            assert at[1] == 1
            assert last[: len(own)] == own
            assert _inside(tokenizer, last[len(own) :]) == cut.middle
        else:
            assert ids[1 : at[1]] == own
            assert _inside(tokenizer, last) == cut.middle


def _inside(tokenizer: Any, ids: list[int]) -> str:
    """The text of tokens that do not begin one: a decoder takes the space of a begin away."""
    begin = tokenizer.encode("x", add_special_tokens=False).ids
    return str(tokenizer.decode(begin + ids, skip_special_tokens=False)).removeprefix("x")


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
def test_a_token_of_a_hole_that_a_document_spells_is_text(tokenizer: Any) -> None:
    special = set(hole_tokens(tokenizer, "it"))
    names = [tokenizer.id_to_token(one) for one in special]
    text = "a" + "".join(names) * 20 + "b"
    [ids] = ids_of(tokenizer, [text], ALL)
    assert sum(one in special for one in ids) == 3
    [ids] = ids_of(tokenizer, [text], None)
    assert not special & set(ids)


def test_a_tokenizer_that_joins_a_part_with_what_is_before_it_is_told() -> None:
    tokens = Tokens(eos=0, hole=(1, 2, 3))
    found = told([Document("some text", False)], ALL, tokens, ("☺", (70, 71)), ReadCounts())
    broken = ((part, np.array([70, 5], np.uint32)) for part, _ in found)
    with pytest.raises(RuntimeError, match="does not part a text"):
        list(joined(broken, tokens))


@pytest.mark.parametrize("names", HOLES, ids=lambda names: str(names[0]))
def test_tokens_are_found_by_the_names_of_code_models(names: tuple[str, ...]) -> None:
    made = train_bpe(TEXTS[:9], 300, [names[2], "<other>", names[0], names[1]])
    assert [made.id_to_token(one) for one in hole_tokens(made, "it")] == list(names)


def test_a_tokenizer_without_them_is_refused() -> None:
    made = train_bpe(TEXTS[:9], 300, [HOLE[0], HOLE[1]])
    with pytest.raises(
        ConfigError, match=r"the model: its tokenizer has no tokens such as <\|fim_prefix\|>"
    ) as refused:
        hole_tokens(made, "the model")
    assert "dataset.fillInTheMiddle" in refused.value.message
    assert "remove dataset.fillInTheMiddle" in refused.value.hint


def asked(dataset: dict[str, Any], seed: int = 42) -> JobFile:
    return job_file(least_spec(dataset=dataset, training={"seed": seed}))


def test_settings_seed_and_version_belong_to_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {"name": "pvc://texts/data"}
    none = data_key(asked(plain))
    assert key_of(asked(plain).spec) is None
    assert not [name for name in none if "iddle" in name]
    seen = [none["training.seed"]]
    for job in (
        asked(plain | {"fillInTheMiddle": {}}),
        asked(plain | {"fillInTheMiddle": {"rate": 0.9}}),
        asked(plain | {"fillInTheMiddle": {"spmShare": 0}}),
        asked(plain | {"fillInTheMiddle": {}}, seed=7),
    ):
        found = data_key(job)["fillInTheMiddle"]
        assert found == key_of(job.spec) not in seen
        seen.append(found)
    monkeypatch.setattr("llmtrain_trainer.data.holes.VERSION", 2)
    assert key_of(asked(plain | {"fillInTheMiddle": {}}).spec) not in seen


def test_what_older_versions_made_without_holes_stays_what_it_is() -> None:
    assert "hole" not in OURS.to_json()
    with_hole = replace(OURS, hole=(4, 5, 6))
    assert Tokens.from_json(json.loads(json.dumps(with_hole.to_json()))) == with_hole
    assert special_names(Task.CAUSAL) == []
    assert special_names(Task.CAUSAL, holes=True) == [*HOLE]


def work(folder: Path, name: str, **dataset: Any) -> tuple[Work, list[Any]]:
    job = asked({"name": f"file://{folder}/texts", "heldOutFraction": 0.3} | dataset)
    sources = tuple(texts_of(job))
    tokenizer = byte_level()
    (folder / name).mkdir()
    tokenizer.save(str(folder / name / "encoder.json"))
    tokens = replace(OURS, eos=0, hole=hole_tokens(tokenizer, "it"))
    units = units_of_source(sources[0], surveyed(sources[0]).files, 0)
    return Work(job, sources, folder / name, "key", "uint16", tokens, "pieces"), units


def test_held_out_documents_stay_whole_and_processes_make_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "UNIT", 20_000)
    monkeypatch.setattr(pool, "WORTH", 0)
    (tmp_path / "texts").mkdir()
    texts = [*TEXTS, *(f"{number} {' '.join(HOLE)} are text" for number in range(20))]
    (tmp_path / "texts" / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    hole = {"fillInTheMiddle": {"rate": 0.5, "spmShare": 0.25}}
    made = {}
    for name, dataset, workers in (("plain", {}, 1), ("one", hole, 1), ("two", hole, 2)):
        job, units = work(tmp_path, name, **dataset)
        make_units(job, units, lambda _: None, workers=workers)
        made[name] = [
            [tokens_file(tmp_path / name, unit.name, side).read_bytes() for unit in units] for side in SIDES
        ]
        counts = ReadCounts()
        for unit in units:
            found = done(job, unit)
            assert found is not None
            counts.add(ReadCounts.from_json(found.counts))
        assert bool(counts.holes) == bool(dataset)
        assert len(units) > 3
    assert made["one"] == made["two"]
    assert made["one"][1] == made["plain"][1]
    assert made["one"][0] != made["plain"][0]
    ids = np.frombuffer(b"".join(made["one"][0]), np.uint16).tolist()
    prefix, middle, suffix = hole_tokens(byte_level(), "it")
    cut = counts.holes[PSM] + counts.holes[SPM]
    assert ids.count(prefix) == ids.count(middle) == ids.count(suffix) == cut
    assert cut == pytest.approx(0.5 * ids.count(0), rel=0.1)
    assert sum(pair == (prefix, suffix) for pair in pairwise(ids)) >= counts.holes[SPM] > 50
    assert counts.report()["fillInTheMiddle"] == {PSM: counts.holes[PSM], SPM: counts.holes[SPM]}
