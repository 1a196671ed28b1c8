"""What rank 0 tells of a step, field by field, also when the figures are no longer numbers."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.trainer.tensorboard_files import events
from prometheus_client import CollectorRegistry

from llmtrain_api import (
    Figures,
    ProgressReport,
    ProgressUpdate,
    ReinforcementFigures,
    RewardFigure,
    Stage,
)
from llmtrain_api.messages import Straggler, figure
from llmtrain_trainer.batch import BatchPlan, Length

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    from llmtrain_trainer.telemetry.figures import StepReport, StepResult, Workload
    from llmtrain_trainer.telemetry.phases import Phase
    from llmtrain_trainer.telemetry.prometheus import ANSWER_GAUGES, STEP_GAUGES, JobSeries
    from llmtrain_trainer.telemetry.sinks import Rank0Sinks, figures_of

INF, NAN = math.inf, math.nan
LOAD = Workload(Length(80, 4, 20, None), BatchPlan(4, 2, 2), world=2, sequence_flops=1e9, peak=4e9)

ANSWERS = ReinforcementFigures(
    reward=1.5,
    rewards=[RewardFigure(name="json", mean=0.5), RewardFigure(name="exact", mean=1.0)],
    deviation=0.25,
    without_signal=0.125,
    kl=0.01,
    answer_tokens=7.5,
    ended=0.75,
)


def report(step: int = 3, loss: float = 2.5, norm: float | None = 0.5) -> StepReport:
    result = StepResult(
        step, loss, 1e-3, norm, 64, math.isfinite(loss), fairness_penalty=0.75, reinforcement=ANSWERS
    )
    return LOAD.report(result, 0.5, 0.25, {Phase.FORWARD: 0.5}, measured=True)


@pytest.fixture
def sinks(tmp_path: Path) -> Iterator[Rank0Sinks]:
    asked = job(tmp_path / "output", training={"fairness": {"pairs": "pvc://data/pairs.jsonl"}})
    series = JobSeries(CollectorRegistry(), asked, with_mfu=True)
    made = Rank0Sinks(asked, LOAD, series, tmp_path, 2, "from layout dp1 to dp2")
    yield made
    made.close()


def strictly(text: str) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def posted(sinks: Rank0Sinks) -> dict[str, Any]:
    """The report as it would go to the operator, which refuses what its contract does."""
    body: dict[str, Any] = strictly(json.dumps(sinks.reporter._report.to_json(), allow_nan=False))
    ProgressReport.model_validate(body, extra="forbid")
    return body


def test_every_field_of_a_report_is_told_by_something(sinks: Rank0Sinks) -> None:
    """A figure that is added to the contract and measured nowhere, or not passed on, is missing here."""
    sinks.stepped(report())
    sinks.evaluated(3, 2.25)
    sinks.committed(3, 0.1, written=True, kept=[3, 2])
    sinks.compared(Straggler(rank=1, times=2.0, seconds=0.5))
    told = posted(sinks)
    # told by the launcher, before there are steps and after ranks have failed
    of_launcher = {"preparedBytes", "bytesToPrepare", "held"}
    wanted = {field.alias for field in ProgressReport.model_fields.values()}
    assert set(told) == wanted - of_launcher
    assert (told["loss"], told["evalLoss"], told["gradNorm"], told["step"]) == (2.5, 2.25, 0.5, 3)
    assert told["perplexity"] == pytest.approx(math.exp(2.25))
    assert told["resumedStep"] == 2
    assert told["fairnessPenalty"] == 0.75


def test_a_series_of_pairs_is_there_only_with_pairs(tmp_path: Path) -> None:
    without = JobSeries(CollectorRegistry(), job(tmp_path / "output"), with_mfu=True)
    assert set(STEP_GAUGES) - set(without.of_step) == {"fairness_penalty"}


def test_a_step_tells_each_figure_that_is_known_after_a_step() -> None:
    told = figures_of(report())
    of_evaluations = {"eval_loss", "perplexity"}
    assert {name for name in Figures.model_fields if getattr(told, name) is None} == of_evaluations


def test_each_figure_of_a_step_has_a_series_or_a_reason_to_have_none() -> None:
    counted = {"tokens", "samples", "applied", "seconds"}  # counters and a histogram
    # set once, each rank's own, or of some jobs alone
    elsewhere = {"total_steps", "smooth_seconds", "phases", "measured", "reinforcement"}
    assert {field.name for field in fields(StepReport)} == set(STEP_GAUGES) | counted | elsewhere


def test_what_came_of_answers_reaches_every_sink(tmp_path: Path) -> None:
    rewards = [{"kind": "json"}, {"kind": "exact"}]
    asked = job(
        tmp_path / "output",
        task="reinforcement",
        dataset={"name": "pvc://data/prompts"},
        training={"sequenceLength": 96, "reinforcement": {"rewards": rewards}},
    )
    registry = CollectorRegistry()
    sinks = Rank0Sinks(asked, LOAD, JobSeries(registry, asked, with_mfu=True), tmp_path, 2, "")
    for series in ("reward", "divergence"):
        assert math.isnan(registry.get_sample_value(f"llmtrain_train_{series}") or 0.0)
    sinks.stepped(report())
    sinks.close()
    flat = {
        "reward": 1.5,
        "deviation": 0.25,
        "without_signal": 0.125,
        "kl": 0.01,
        "answer_tokens": 7.5,
        "ended": 0.75,
        "reward_json": 0.5,
        "reward_exact": 1.0,
    }
    [row] = [strictly(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert row["reinforcement"] == flat
    curves = {v.tag: v.simple_value for e in events(tmp_path / "tensorboard") for v in e.summary.value}
    assert {name: curves[f"answers/{name}"] for name in flat} == pytest.approx(flat)
    found = {
        name: registry.get_sample_value(f"llmtrain_train_{series}")
        for name, (series, _) in ANSWER_GAUGES.items()
    }
    assert found == {name: flat[name] for name in ANSWER_GAUGES}
    assert set(ANSWER_GAUGES) | {"rewards"} == set(ReinforcementFigures.model_fields)
    assert registry.get_sample_value("llmtrain_train_rule_reward", {"rule": "exact"}) == 1.0


@pytest.mark.parametrize("loss", [INF, -INF, NAN, 1e300, -1e31, 80.0])
@pytest.mark.parametrize("norm", [INF, NAN, None, 1e300])
def test_a_loss_that_explodes_reaches_every_sink_and_no_json(
    sinks: Rank0Sinks, tmp_path: Path, loss: float, norm: float | None, capfd: pytest.CaptureFixture[str]
) -> None:
    sinks.stepped(report(3, loss, norm))
    sinks.evaluated(3, loss)
    told = posted(sinks)
    assert told.get("loss") == figure(loss)
    assert "perplexity" not in told or loss < 0
    [row] = [strictly(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert row["loss"] == (loss if math.isfinite(loss) else None)
    assert row["phases"] == {"forward": 0.5}
    [family] = sinks.series.of_step["loss"].collect()
    [gauge] = family.samples
    assert gauge.value == pytest.approx(loss, nan_ok=True)
    sinks.board.flush()
    curves = {v.tag: v.simple_value for e in events(tmp_path / "tensorboard") for v in e.summary.value}
    if not abs(loss) < 1e38:
        assert not 0 < abs(curves["loss/train"]) < 1e38
    capfd.readouterr()


def test_an_end_in_a_thousand_years_is_no_estimate(sinks: Rank0Sinks) -> None:
    result = StepResult(3, 2.5, 1e-3, 0.5, 64, applied=True)
    sinks.stepped(LOAD.report(result, 1e9, 1e9, {}, measured=False))
    assert "etaSeconds" not in posted(sinks)
    sinks.stepped(report())
    assert posted(sinks)["etaSeconds"] > 0


def test_a_misspelled_field_is_refused(sinks: Rank0Sinks) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        StepReport(los=1.5)  # type: ignore[call-arg]
    sinks.reporter.update(ProgressUpdate(stage=Stage.EVALUATE))
    assert posted(sinks)["stage"] == "evaluate"
