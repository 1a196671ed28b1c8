"""What a user finds when a job has finished, and what it said: Prometheus, TensorBoard, metrics.jsonl, logs.

All of it is of one job, which runs once: a file's tests stay in one worker.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from harness.builders import spec
from harness.reader import perplexity_of
from harness.trainer.cards import run_snippet
from harness.trainer.launches import Launch
from harness.trainer.scraper import Scraper
from harness.trainer.tensorboard_files import events
from prometheus_client import Metric
from tensorboardX.proto.event_pb2 import SessionLog

from llmtrain_api import shape_of
from llmtrain_api.estimate.flops import sequence_flops
from llmtrain_trainer.telemetry.phases import Phase

OF_EACH_RANK = {"phase_seconds": ("counter", {"phase"}), "last_step_timestamp_seconds": ("gauge", set())}
RUN = {"model", "precision", "zero_stage", "data", "tensor", "pipeline", "sequence", "attempt"}
OF_RANK_0: dict[str, tuple[str, set[str]]] = {
    "step": ("gauge", set()),
    "total_steps": ("gauge", set()),
    "progress_ratio": ("gauge", set()),
    "eta_seconds": ("gauge", set()),
    "epoch": ("gauge", set()),
    "loss": ("gauge", set()),
    "held_out_loss": ("gauge", set()),
    "held_out_perplexity": ("gauge", set()),
    "learning_rate": ("gauge", set()),
    "gradient_norm": ("gauge", set()),
    "tokens_per_second": ("gauge", set()),
    "tokens_per_second_per_device": ("gauge", set()),
    "model_flops_per_second": ("gauge", set()),
    "padding_ratio": ("gauge", set()),
    "checkpoint_step": ("gauge", set()),
    "checkpoint_last_success_timestamp_seconds": ("gauge", set()),
    "run_info": ("gauge", RUN),
    "tokens": ("counter", set()),
    "samples": ("counter", set()),
    "skipped_steps": ("counter", {"reason"}),
    "loss_spikes": ("counter", set()),
    "failed_saves": ("counter", set()),
    "restarts": ("counter", set()),
    "step_seconds": ("histogram", set()),
    "checkpoint_seconds": ("histogram", set()),
}
"""Names behind the prefix, types and labels. A figure that a CPU cannot have (MFU, memory) is not there."""
STEPS, BATCH = 200, 16


def test_it_learnt_more_than_token_counts(finished: Launch) -> None:
    results = json.loads(finished.output.results.read_text())
    assert results["evalLoss"] <= results["unigramEntropy"] - 0.5
    assert results["perplexity"] == pytest.approx(math.exp(results["evalLoss"]))
    assert results["sample"].startswith("def ")
    assert results["exportUri"] == "pvc://claim/run/export"


def test_the_export_alone_reproduces_the_perplexity(finished: Launch) -> None:
    """Another program, with nothing of ours and no DeepSpeed."""
    results = json.loads(finished.output.results.read_text())
    again = perplexity_of(finished.output.export, finished.output.data / "heldout.npy")
    assert again == pytest.approx(results["perplexity"], rel=1e-4)


def test_the_termination_message_has_the_results(finished: Launch) -> None:
    message = finished.message()
    assert (message["outcome"], message["resumedStep"], message["checkpointStep"]) == ("Complete", 0, 200)
    assert message["results"]["steps"] == 200


def test_only_the_newest_checkpoints_are_kept(finished: Launch) -> None:
    assert finished.output.committed() == [200, 150]
    manifest = json.loads((finished.output.step(200) / "manifest.json").read_text())
    assert manifest["consumedSamples"] == 3200
    assert {"data", "tokenizer", "model", "seed", "globalBatchSize"} <= set(manifest["fingerprints"])


def test_every_rank_has_a_log_and_rank_0_is_on_the_pods_output(finished: Launch) -> None:
    logs = finished.output.logs(0)
    assert (logs / "rank-0.log").stat().st_size
    assert (logs / "rank-1.log").stat().st_size
    events = [json.loads(line) for line in finished.text().splitlines() if line.startswith("{")]
    steps = [event for event in events if event["event"] == "step"]
    assert steps[-1]["step"] == 200
    assert all(event["job"] == "run" and event["attempt"] == 0 for event in events)
    assert len((logs / "metrics.jsonl").read_text().splitlines()) == 200


def test_the_engine_is_told_and_decay_is_for_matrices_only(finished: Launch) -> None:
    [built] = [json.loads(x) for x in finished.text().splitlines() if '"engine built"' in x]
    norms = 32 * (2 * 2 + 1)
    assert built["decayed"] == built["parameters"] - norms
    assert (built["attention"], built["compiled_layers"]) == ("sdpa", 0)


def test_the_operator_hears_stages_resume_commits_and_the_end(finished: Launch, operator: object) -> None:
    del finished
    reports = operator.reports  # type: ignore[attr-defined]
    assert operator.tokens == {"Bearer secret-token"}  # type: ignore[attr-defined]
    assert {r["stage"] for r in reports} >= {"prepare", "train", "export"}
    assert any(r.get("resumedStep") == 0 for r in reports)
    assert max(r.get("checkpointStep", 0) for r in reports) == 200
    assert max(r.get("step", 0) for r in reports) == 200
    prepared = [r for r in reports if r["stage"] == "prepare"][-1]
    assert prepared["preparedBytes"] == prepared["bytesToPrepare"] > 0
    assert not any("preparedBytes" in r for r in reports if r["stage"] != "prepare")
    assert all(r["jobUid"] and r["attempt"] == 0 for r in reports)


def test_a_complete_job_ends_at_once_with_its_results(finished: Launch) -> None:
    again = Launch(Path(finished.job.output).parent / "again", finished.job.model_copy(update={"attempt": 1}))
    assert again.process.wait(20) == 0, again.text()
    assert again.message()["results"] == finished.message()["results"]
    assert not finished.output.logs(1).exists()


def test_the_program_of_its_card_runs(finished: Launch) -> None:
    assert run_snippet(finished.output.export).strip()


def test_without_a_terminal_there_is_no_bar(finished: Launch) -> None:
    text = finished.text()
    assert '"event": "step"' in text
    assert "training:" not in text
    assert "\r" not in text


def shape(families: dict[str, Metric]) -> dict[str, tuple[str, set[str]]]:
    """Types and labels by name, without the series that the client adds to each counter and histogram."""
    return {
        name.removeprefix("llmtrain_train_"): (family.type, set(family.samples[0].labels) - {"le"})
        for name, family in families.items()
        if not name.endswith("_created")
    }


def value(families: dict[str, Metric], name: str, suffix: str = "", **labels: str) -> float:
    """One sample's value."""
    full = f"llmtrain_train_{name}"
    [found] = [s for s in families[full].samples if s.name == full + suffix and s.labels == labels]
    return float(found.value)


def test_each_rank_exports_what_the_list_says(finished: Launch, scraper: Scraper) -> None:
    del finished
    assert shape(scraper.families(0)) == OF_RANK_0 | OF_EACH_RANK
    assert shape(scraper.families(1)) == OF_EACH_RANK


def test_figures_are_those_of_the_job(finished: Launch, scraper: Scraper) -> None:
    del finished
    seen = scraper.families(0)
    step = value(seen, "step")
    assert step > STEPS / 2
    assert value(seen, "progress_ratio") == pytest.approx(step / value(seen, "total_steps"))
    assert value(seen, "samples", "_total") == step * BATCH
    assert value(seen, "tokens", "_total") == step * BATCH * 31
    assert value(seen, "padding_ratio") == 0
    assert value(seen, "skipped_steps", "_total", reason="nonfinite") == 0
    assert value(seen, "restarts", "_total") == 0
    assert value(seen, "loss_spikes", "_total") == 0
    assert value(seen, "failed_saves", "_total") == 0
    rate, per_device = value(seen, "tokens_per_second"), value(seen, "tokens_per_second_per_device")
    assert rate == pytest.approx(2 * per_device)
    flops = value(seen, "model_flops_per_second")
    assert flops == pytest.approx(
        rate / 31 * sequence_flops(shape_of(spec()), spec().training.sequence_length)
    )
    assert value(seen, "step_seconds", "_count") == step
    assert value(seen, "checkpoint_seconds", "_count") == pytest.approx(step // 50, abs=1)
    assert value(seen, "checkpoint_last_success_timestamp_seconds") > 1.7e9
    assert value(seen, "held_out_perplexity") == pytest.approx(math.exp(value(seen, "held_out_loss")))
    [info] = seen["llmtrain_train_run_info"].samples
    assert (info.value, info.labels["data"], info.labels["zero_stage"]) == (1, "2", "0")


def test_every_phase_of_both_ranks_is_counted(finished: Launch, scraper: Scraper) -> None:
    del finished
    for rank in (0, 1):
        spent = {
            s.labels["phase"]: s.value
            for s in scraper.families(rank)["llmtrain_train_phase_seconds"].samples
            if s.name.endswith("_total")
        }
        assert set(spent) == {phase.value for phase in Phase}
        assert spent.pop("forward_backward") == 0  # there is no pipeline
        assert spent.pop("compile") == 0
        assert spent.pop("generation") == 0  # nor answers that the model writes
        assert all(seconds > 0 for seconds in spent.values()), spent
        assert spent["startup"] > 1  # torch alone takes longer


def rows(launch: Launch) -> list[dict[str, Any]]:
    text = (launch.output.logs(0) / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def moment(line: str) -> float:
    """When a line was logged."""
    return datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()


def test_phases_add_up_to_the_wall_time(finished: Launch) -> None:
    found = rows(finished)
    assert [row["step"] for row in found] == list(range(1, STEPS + 1))
    for row in found:
        own = {
            name: spent for name, spent in row["phases"].items() if name not in ("evaluation", "checkpoint")
        }
        assert set(own) == {"data", "forward", "backward", "optimizer", "communication", "other"}
        assert sum(own.values()) == pytest.approx(row["seconds"], abs=1e-5)
    lines = (finished.output.logs(0) / "rank-0.log").read_text().splitlines()
    [began] = [moment(line) for line in lines if '"started"' in line]
    ended = [moment(line) for line in lines if '"event": "step"' in line][-1]
    spent = sum(sum(row["phases"].values()) for row in found)
    assert spent == pytest.approx(ended - began, rel=0.02, abs=0.1)


def test_only_steps_after_a_save_or_an_evaluation_have_those_phases(finished: Launch) -> None:
    found = rows(finished)
    # a save is begun in the step after; that it is committed is agreed on a few steps later
    saves = [row["step"] for row in found if "checkpoint" in row["phases"]]
    assert {51, 101, 151} <= set(saves)
    assert 3 < len(saves) <= 30  # a few steps pass while the disk writes: how many is up to both
    assert [row["step"] for row in found if "evaluation" in row["phases"]] == [101]
    assert all(row["mfu"] is None for row in found)
    assert all(row["model_flops_per_second"] > 0 for row in found)


def test_each_rank_says_where_its_start_went(finished: Launch) -> None:
    for rank in (0, 1):
        lines = (finished.output.logs(0) / f"rank-{rank}.log").read_text().splitlines()
        [said] = [json.loads(line) for line in lines if '"started up"' in line]
        parts = [f"{p}_seconds" for p in ("imports", "join", "data", "build", "resume", "first_step")]
        assert said["seconds"] == pytest.approx(sum(said[part] for part in parts), abs=0.01)
        assert said["imports_seconds"] > 0.5
        assert 1 < said["cpu_seconds"] < 60


def test_tensorboard_has_the_curves(finished: Launch) -> None:
    seen = events(finished.output.logs(0) / "tensorboard")
    assert seen[0].file_version == "brain.Event:2"
    curves: dict[str, dict[int, float]] = {}
    for event in seen:
        for one in event.summary.value:
            curves.setdefault(one.tag, {})[event.step] = one.simple_value
    losses = {row["step"]: pytest.approx(row["loss"], rel=1e-6) for row in rows(finished)}
    assert curves["loss/train"] == losses
    assert set(curves["loss/held_out"]) == {100, 200}
    wanted = {"learning_rate", "gradient_norm", "tokens_per_second", "seconds/step", "seconds/backward"}
    assert wanted <= set(curves)
    assert not any(event.session_log.status == SessionLog.START for event in seen)
