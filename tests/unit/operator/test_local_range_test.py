"""`llmtrain check --lr-range`: what is run of a manifest, and what cannot be tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness.builders import LEAST

from llmtrain.cli.app import main
from llmtrain.render.lr_range import range_lines
from llmtrain_api import parse_manifest
from llmtrain_api.schema.range_test import RangeTest, report
from llmtrain_operator.local import range_test
from llmtrain_operator.local.manifest_file import Refused

HEAD = {"apiVersion": "llmtrain.dev/v1alpha1", "kind": "LLMTrainingJob", "metadata": {"name": "tiny"}}


def written(folder: Path, **sections: Any) -> Path:
    path = folder / "job.yaml"
    path.write_text(json.dumps(HEAD | {"spec": LEAST | sections}))
    return path


def request(manifest: Path, steps: int = 50, **rates: float) -> range_test.RangeRequest:
    return range_test.RangeRequest(manifest, manifest.parent, RangeTest(**rates), steps)


def test_what_is_run_is_the_manifests_model_and_data_and_nothing_of_its_ends(tmp_path: Path) -> None:
    manifest = written(
        tmp_path,
        model={"name": "builtin://tiny-llama", "hiddenSize": 32},
        training={
            "epochs": 3,
            "schedule": "wsd",
            "decaySteps": 3,
            "weightDecay": 0.3,
            "globalBatchSize": 4,
            "onSpike": "stop",
            "earlyStopping": {},
        },
        evaluation={"everySteps": 5},
        checkpoint={"everySteps": 5},
        notify=[{"url": "https://example.org/x", "events": ["Succeeded"]}],
        output={"uri": "s3://bucket/run"},
        suspend=True,
    )
    _, spec = parse_manifest(range_test.job_of(request(manifest)))
    assert spec.training.max_steps == 50
    assert spec.training.learning_rate == 1.0
    assert (spec.training.weight_decay, spec.training.global_batch_size) == (0.3, 4)
    assert spec.model.hidden_size == 32
    assert spec.output.uri == range_test.OUTPUT
    assert not spec.notify
    assert not spec.suspend
    assert spec.training.early_stopping is None
    assert spec.recovery.max_restarts == 0


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing is trained": (
        {"evaluation": {"only": True}, "model": {"name": "pvc://a/b"}},
        "spec.evaluation.only",
    ),
    "another job's step": ({"checkpoint": {"from": {"job": "a"}}}, "spec.checkpoint.from"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rate_to_test_is_refused_with_the_field(name: str, tmp_path: Path) -> None:
    sections, field = REFUSED[name]
    with pytest.raises(Refused, match=field):
        range_test.job_of(request(written(tmp_path, **sections)))


def test_a_program_of_ones_own_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    spec = {"entrypoint": {"command": ["python", "x.py"]}, "image": "mine", "output": {"uri": "pvc://a/b"}}
    path.write_text(json.dumps(HEAD | {"spec": spec}))
    with pytest.raises(Refused, match=r"spec\.entrypoint"):
        range_test.job_of(request(path))


def test_rates_and_steps_that_make_no_curve_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"--lowest 0\.1 is not below"):
        range_test.job_of(request(written(tmp_path), lowest=0.1, highest=0.01))
    with pytest.raises(Refused, match="--steps 3: a curve takes at least 10 steps"):
        range_test.job_of(request(written(tmp_path), steps=3))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--steps", "9"], "error: --steps is for --lr-range; add --lr-range, or leave --steps out"),
        (["--lr-range", "--data"], "error: --data and --lr-range: one at a time"),
        (["--lr-range", "--lowest", "0"], "error: --lowest and --highest: a learning rate is above 0"),
        (["--lr-range", "--steps", "2"], "--steps 2: a curve takes at least 10 steps"),
    ],
)
def test_bad_words_are_one_sentence(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(written(tmp_path)), *words]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert len(said.splitlines()) == 1


def test_the_curve_is_told_with_its_last_step_and_the_suggestion() -> None:
    test = RangeTest(lowest=1e-6, highest=1.0)
    rates = [test.share(step, 60) for step in range(60)]
    losses = [6 - min(2.0, step / 20) + (9 if step > 57 else 0) for step in range(60)]
    lines = range_lines(report(rates, [*losses], 61))
    rows = [line for line in lines if "█" in line]
    assert len(rows) == 20
    assert rows[-1].split()[:3] == ["60", "1.0e+00", "13.0000"]
    assert lines[-1].startswith("suggested: training.learningRate: ")
    assert "the loss leaps at 1.0e+00" in lines


def test_a_suggestion_that_is_not_there_is_told_too() -> None:
    lines = range_lines(report([1e-3] * 3, [1.0, 1.0, None], 60))
    assert lines[-1].startswith("no learning rate is suggested: only 2 steps have a loss")
