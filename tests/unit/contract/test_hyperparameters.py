"""The tables of defaults and of recipes: what they say is what a job gets, and each row has its source."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from harness.builders import least_spec
from harness.jobs import SHAPE

from llmtrain.cli.app import main
from llmtrain_api import ModelShape, Task, TrainingSpec
from llmtrain_api.recipes import Use, nearest, recipes, use_of
from llmtrain_api.schema.hyperparameters import DEFAULTS, FIXED
from llmtrain_api.schema.preference import PreferenceLoss
from llmtrain_operator.plan.resolved import resolve

SHAPES = ModelShape.model_validate(SHAPE)
REAL = {"name": "pvc://models/llama"}


def test_the_table_of_defaults_is_what_the_schema_has() -> None:
    schema = TrainingSpec().to_json()
    for row in FIXED:
        assert schema[row.field] == (list(row.value) if isinstance(row.value, tuple) else row.value), (
            row.field
        )
    assert {row.field for row in DEFAULTS} - {row.field for row in FIXED} == {"learningRate", "epochs"}


def test_each_row_has_a_source_that_can_be_looked_up() -> None:
    place = re.compile(r"arXiv:\d{4}\.\d{5}, |github\.com/[\w-]+/[\w-]+")
    for row in recipes():
        assert place.match(row.source), row
        assert 1e-8 < row.rate < 0.1, row
        assert len(row.text) <= 512
        assert (row.adapter != "") == (
            row.use in (Use.CHAT_ADAPTER, Use.FINETUNE_ADAPTER, Use.DPO_ADAPTER)
        ), row
    assert {row.use for row in recipes()} == set(Use)
    assert len({(row.use, row.model, row.source) for row in recipes()}) == len(recipes())


@pytest.mark.parametrize(
    ("use", "parameters", "model"),
    [
        (Use.PRETRAIN, 135_000_000, "GPT-3 125M"),
        (Use.PRETRAIN, 8_000_000_000, "Llama 2 7B"),
        (Use.PRETRAIN, 10, "GPT-3 125M"),
        (Use.CHAT, 135_000_000, "SmolLM2 360M"),
        (Use.CHAT, 70_000_000_000, "Tulu 3 70B"),
        (Use.REWARD, 70_000_000_000, "Llama 2 70B"),
    ],
)
def test_the_nearest_in_size_is_named(use: Use, parameters: int, model: str) -> None:
    assert nearest(use, parameters).model == model


@pytest.mark.parametrize(
    ("task", "how", "use"),
    [
        (Task.CAUSAL, {"pretrained": False, "adapted": True}, Use.PRETRAIN),
        (Task.CAUSAL, {"pretrained": True, "adapted": False}, None),
        (Task.CHAT, {"pretrained": True, "adapted": True}, Use.CHAT_ADAPTER),
        (Task.CHAT, {"pretrained": False, "adapted": False}, None),
        (Task.PREFERENCE, {"pretrained": True, "adapted": False, "loss": PreferenceLoss.KTO}, Use.KTO),
        (Task.PREFERENCE, {"pretrained": True, "adapted": True}, Use.DPO_ADAPTER),
        (Task.REGRESSION, {"pretrained": True, "adapted": False}, Use.CLASSIFICATION),
        (Task.MASKED, {"pretrained": True, "adapted": False}, None),
    ],
)
def test_what_a_job_learns_is_told_apart(task: Task, how: dict[str, Any], use: Use | None) -> None:
    assert use_of(task, **how) is use


def test_the_status_has_the_defaults_that_were_kept_and_no_other() -> None:
    found = resolve(least_spec(model=REAL, training={"weightDecay": 0.2}), SHAPES, "image")
    assert found.defaults["schedule"].startswith("cosine: arXiv:")
    assert found.defaults["betas"].startswith("0.9, 0.95: ")
    assert "weightDecay" not in found.defaults
    nothing = resolve(least_spec(model=REAL, evaluation={"only": True}), SHAPES, "image")
    assert nothing.defaults == {}
    assert nothing.recipe is None


def test_the_status_names_a_recipe_to_compare_with() -> None:
    chat = least_spec(model=REAL, task="chat", dataset={"name": "pvc://a/b"})
    told = resolve(chat, SHAPES, "image").recipe
    assert told is not None
    assert "chat: learning rate" in told
    assert resolve(least_spec(model=REAL), SHAPES, "image").recipe is None


def test_the_verb_prints_both_tables_without_a_cluster(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert main(["presets", "--hyperparameters"]) == 0
    told = capsys.readouterr().out
    assert "Tulu 3 8B" in told
    assert "weightDecay" in told
    assert main(["presets", "--hyperparameters", "-o", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["recipes"]) == len(recipes())
    assert len(data["defaults"]) == len(DEFAULTS)
