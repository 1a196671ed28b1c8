"""What a program tells in Kubeflow Trainer's protocol, as figures of a job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from llmtrain_api import ProgressUpdate, Stage, kubeflow


def body(percent: int | None = 50, seconds: int | None = 90, **metrics: object) -> bytes:
    """As transformers' callback writes it."""
    status: dict[str, Any] = {"lastUpdatedTime": "2026-01-02T03:04:05+00:00"}
    if percent is not None:
        status["progressPercentage"] = percent
    if seconds is not None:
        status["estimatedRemainingSeconds"] = seconds
    if metrics:
        status["metrics"] = [{"name": name, "value": str(value)} for name, value in metrics.items()]
    return json.dumps({"trainerStatus": status}).encode()


def told(body: bytes, total_steps: int | None = None) -> dict[str, Any]:
    return kubeflow.update_of(kubeflow.read(body), total_steps).model_dump(exclude_unset=True)


def test_figures_of_a_step_are_those_of_a_report() -> None:
    found = told(
        body(
            49, 90, loss=2.5, grad_norm=1.5, learning_rate=5e-5, eval_loss=2.25, current_step=10,
            total_steps=20, current_epoch=0.62, my_own_metric=7,
        )
    )  # fmt: skip
    assert found == {
        "stage": Stage.TRAIN, "step": 10, "total_steps": 20, "epoch": 0.62, "loss": 2.5, "grad_norm": 1.5,
        "learning_rate": 5e-5, "eval_loss": 2.25, "eta_seconds": 90.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metrics", "left"),
    [
        ({"loss": "nan", "current_step": 3}, {"step": 3}),
        ({"loss": "inf"}, {}),
        ({"loss": "1e300"}, {}),
        ({"loss": "2.5 nats", "learning_rate": "0.1"}, {"learning_rate": 0.1}),
        ({"current_step": -1}, {}),
        ({"current_step": "2.5"}, {}),
        ({"current_step": "1e300"}, {}),
        ({"tokens_per_second": -5, "current_epoch": -1}, {}),
    ],
)
def test_what_is_no_figure_is_left_out(metrics: dict[str, object], left: dict[str, object]) -> None:
    found = told(body(50, None, **metrics))
    assert found == {"stage": Stage.TRAIN} | left


def test_the_last_word_is_all_of_the_steps_and_the_first_is_none_of_them() -> None:
    assert told(body(0, None, total_steps=20)) == {"stage": Stage.TRAIN, "step": 0, "total_steps": 20}
    last = told(body(100, 0, loss=2.0), total_steps=20)
    assert (last["step"], last["total_steps"], last["eta_seconds"]) == (20, 20, 0.0)
    assert "step" not in told(body(100, 0, loss=2.0)), "of how many was never told"


def test_an_end_that_nobody_lives_to_see_is_left_out() -> None:
    assert "eta_seconds" not in told(body(1, 10**12))


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b'{"trainerStatus": 5}',
        b'{"progressPercentage": 5}',
        body(101),
        body(-1),
        body(5, -1),
        body(5, 5, **{"n" * 257: 1}),
        json.dumps(
            {"trainerStatus": {"metrics": [{"name": "a", "value": "1"}] * (kubeflow.MAX_METRICS + 1)}}
        ).encode(),
    ],
)
def test_what_is_not_of_the_protocol_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValidationError):
        kubeflow.read(wrong)


def test_every_figure_that_is_taken_is_a_field_of_a_report() -> None:
    assert set(kubeflow._FIGURES.values()) | set(kubeflow._WHOLE.values()) <= set(ProgressUpdate.model_fields)
