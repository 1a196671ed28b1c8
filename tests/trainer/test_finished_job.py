"""What a user finds when a job has finished."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from harness.reader import perplexity_of
from harness.trainer.cards import run_snippet
from harness.trainer.launches import Launch


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
