"""A job on code with holes, from files to a folder that fills them in plain transformers."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from harness.builders import job_file, least_spec
from harness.models.tiny import facts_of, folder_of_llama
from harness.ports import free_port
from harness.trainer.launches import Launch

from llmtrain_api import JobFile
from llmtrain_trainer.data import preview
from llmtrain_trainer.data.holes import PSM, SPM, Holes, Parts
from llmtrain_trainer.data.loader import open_train
from llmtrain_trainer.data.prepare import prepare
from llmtrain_trainer.data.sources import is_held_out
from llmtrain_trainer.data.store import HELD_OUT, read_marker
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.special_tokens import EOS, HOLE, HOLES

PREFIX, MIDDLE, SUFFIX = HOLE
FRACTION = 0.2
NOUNS = ("lamp", "river", "clerk", "song", "table", "window", "garden", "letter", "bridge", "winter")
VERBS = ("paint", "count", "open", "weigh", "borrow")
PROGRAMS = [
    f"def {verb}_{noun}({noun}):\n    return {noun}.{verb}({(7 * a + 31 * b) % 97})\n"
    for a, noun in enumerate(NOUNS)
    for b, verb in enumerate(VERBS)
]
COPIES = 20


def shuffled(seed: int) -> list[str]:
    return random.Random(seed).sample(PROGRAMS, len(PROGRAMS))


@dataclass(frozen=True)
class Trained:
    """A job that has ended, and which of its programs it was trained on with a hole."""

    launch: Launch
    cut: list[Parts]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    work = tmp_path_factory.mktemp("holes")
    (work / "code").mkdir()
    # in many orders: what belongs into a hole must follow from its own program, not from the one before
    rows = [json.dumps({"text": program}) for at in range(COPIES) for program in shuffled(at)]
    (work / "code" / "all.jsonl").write_text("\n".join(rows))
    asked = least_spec(
        model={"name": "builtin://tiny-llama", "hiddenSize": 96, "numLayers": 2, "vocabSize": 400},
        dataset={
            "name": f"file://{work / 'code'}",
            "heldOutFraction": FRACTION,
            "fillInTheMiddle": {"rate": 1},
        },
        processesPerNode=1,
        evaluation={"everySteps": 0},
        training={
            "maxSteps": 300,
            "learningRate": 5e-3,
            "sequenceLength": 128,
            "globalBatchSize": 8,
            "microBatchSize": 8,
        },
    )
    launch = Launch(work, job_file(asked, work / "output", port=free_port()))
    assert launch.wait() == 0, launch.text()
    holes = Holes.of(asked)
    assert holes is not None
    cut = [holes.parts(program) for program in PROGRAMS if not is_held_out(program, FRACTION)]
    return Trained(launch, [one for one in cut if one])


@torch.no_grad()
def filled(folder: Path, prompts: list[str]) -> list[str]:
    """What the folder writes after prompts, for whoever knows nothing of us."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    written = []
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt")
        ids = model.generate(**inputs, max_new_tokens=48, do_sample=False)[0, inputs.input_ids.shape[1] :]
        written.append(str(tokenizer.decode(ids, skip_special_tokens=False)).removesuffix(EOS))
    return written


def prompt(cut: Parts) -> str:
    if cut.suffix_first:
        return f"{PREFIX}{SUFFIX}{cut.suffix}{MIDDLE}{cut.prefix}"
    return f"{PREFIX}{cut.prefix}{SUFFIX}{cut.suffix}{MIDDLE}"


def test_holes_that_it_learnt_are_filled_in_plain_transformers(trained: Trained) -> None:
    cut = [one for one in trained.cut if one.middle]
    assert {one.suffix_first for one in cut} == {False, True}
    written = filled(trained.launch.output.export, [prompt(one) for one in cut])
    right = [text == one.middle for text, one in zip(written, cut, strict=True)]
    assert sum(right) >= 0.6 * len(right), list(zip(written, cut, strict=True))


def test_holes_are_counted_and_shown(trained: Trained) -> None:
    marker = read_marker(trained.launch.output.data)
    assert marker is not None
    first = sum(one.suffix_first for one in trained.cut)
    told = marker.report["read"]["fillInTheMiddle"]
    assert told == {PSM: COPIES * (len(trained.cut) - first), SPM: COPIES * first}
    assert marker.report["documents"]["train"] == COPIES * len(trained.cut)
    assert marker.summary is not None
    assert MIDDLE in marker.summary.samples[0]
    card = (trained.launch.output.export / "README.md").read_text()
    assert f"training documents with their middle last: `{SPM}` | {COPIES * first} |" in card


def test_held_out_programs_have_no_hole(trained: Trained) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained.launch.output.export)
    assert set(HOLE) <= set(tokenizer.all_special_tokens)
    held_out = np.load(trained.launch.output.data / HELD_OUT)
    assert len(held_out)
    assert not set(tokenizer.convert_tokens_to_ids([*HOLE])) & set(held_out.ravel().tolist())


def on_base(base: Path, work: Path, length: int = 32, **dataset: Any) -> JobFile:
    """A job on the programs that starts from a model which exists."""
    if not (work / "code").exists():
        (work / "code").mkdir()
        (work / "code" / "all.jsonl").write_text("\n".join(json.dumps({"text": one}) for one in PROGRAMS))
    asked = least_spec(
        model={"name": f"file://{base}"},
        dataset={"name": f"file://{work / 'code'}", "heldOutFraction": FRACTION} | dataset,
        training={"sequenceLength": length},
    )
    facts = facts_of(base)
    return job_file(asked, work / "output", shape=facts.shape, model=facts, base=str(base))


def test_a_base_needs_tokens_for_it_and_its_own_are_taken(tmp_path: Path) -> None:
    base = folder_of_llama(tmp_path / "base")
    holes: dict[str, Any] = {"fillInTheMiddle": {"rate": 1, "spmShare": 1}}
    with pytest.raises(ConfigError, match="its tokenizer has no tokens such as") as refused:
        prepare(on_base(base, tmp_path, **holes), tmp_path / "none")
    assert "remove dataset.fillInTheMiddle" in refused.value.hint
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    names = HOLES[1]
    tokenizer.add_special_tokens({"additional_special_tokens": [*names]})
    tokenizer.save_pretrained(base)
    plain = prepare(on_base(base, tmp_path), tmp_path / "plain")
    marker = prepare(on_base(base, tmp_path, **holes), tmp_path / "holes")
    prefix, _, suffix = ids = tuple(tokenizer.convert_tokens_to_ids([*names]))
    assert marker.special.hole == ids
    assert plain.special.hole == ()
    others: dict[str, Any] = {"fillInTheMiddle": {"rate": 0.5, "spmShare": 1}}
    fewer = prepare(on_base(base, tmp_path, **others), tmp_path / "fewer")
    sets = [one.token_set for one in (plain, marker, fewer)]
    assert len({one.name for one in sets if one}) == 3, "tokens of other settings lie elsewhere"
    rows = np.asarray(open_train(tmp_path / "holes", marker)).ravel().tolist()
    begins = [at for at, one in enumerate(rows[:-2]) if one == tokenizer.bos_token_id]
    assert len(begins) > 20
    assert all(rows[at + 1 : at + 3] == [prefix, suffix] for at in begins)
    assert not set(ids) & set(np.asarray(open_train(tmp_path / "plain", plain)).ravel().tolist())
    held_out = [(tmp_path / name / HELD_OUT).read_bytes() for name in ("plain", "holes")]
    assert held_out[0] == held_out[1], "the held-out loss of both is of the same tokens"


def test_a_look_at_the_data_shows_holes(tmp_path: Path) -> None:
    base = folder_of_llama(tmp_path / "base")
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"additional_special_tokens": [*HOLES[1]]})
    tokenizer.save_pretrained(base)
    seen = preview.look(on_base(base, tmp_path, 96, fillInTheMiddle={"rate": 1}), tmp_path / "look")
    shown = "\n".join(preview.lines_of(seen, live=False))
    assert f"with its middle last, as {PSM}" in shown
    assert f"with its middle last, as {SPM}" in shown
    assert HOLES[1][1] in shown
    assert "other rows than what is around them" not in shown
    short = preview.look(on_base(base, tmp_path, 16, fillInTheMiddle={"rate": 1}), tmp_path / "short")
    assert "most holes are in other rows than what is around them" in "\n".join(
        preview.lines_of(short, live=False)
    )
    plain = preview.look(on_base(base, tmp_path, 16), tmp_path / "plain")
    assert not any("holes" in line for line in preview.lines_of(plain, live=False))
