"""The termination message and the log's sentences."""

from __future__ import annotations

import json

from llmtrain_api import FailureClass, Outcome, Results, TerminationMessage
from llmtrain_trainer.launch.termination import encode
from llmtrain_trainer.log import sentence


def test_a_termination_message_always_fits() -> None:
    message = TerminationMessage.model_construct(
        outcome=Outcome.FAILED,
        failure_class=FailureClass.USER_ERROR,
        message="m" * 5000 + "\u00e9" * 3000,
        hint="h" * 5000,
        log_tail="\u00e9\u4e16" * 5000 + "the end",
        results=Results.model_construct(steps=1, sample="\U0001f600" * 4096),
    )
    body = encode(message)
    assert len(body) <= 4096
    read = TerminationMessage.model_validate_json(body)
    assert read.outcome is Outcome.FAILED
    assert read.failure_class is FailureClass.USER_ERROR
    assert read.message.startswith("mmm")


def test_a_long_table_of_pairs_costs_no_other_result() -> None:
    row = {
        "category": "\u4e16" * 64,
        "pairs": 10_000,
        "prefersA": 0.123456,
        "gap": -1.23456,
        "low": -2,
        "high": -1,
    }
    told = {"source": "file:///" + "x" * 500, "score": "logLikelihood", "pairs": 1, "of": 1}
    few = Results.model_validate({"steps": 7, "fairness": told | {"categories": [row] * 2}})
    many = Results.model_validate({"steps": 7, "fairness": told | {"categories": [row] * 16}})
    for results, there in ((few, True), (many, False)):
        body = encode(TerminationMessage(outcome=Outcome.COMPLETE, message="", results=results))
        assert len(body) <= 4096
        read = TerminationMessage.model_validate_json(body).results
        assert read is not None
        assert (read.steps, read.fairness is not None) == (7, there)


def test_many_sets_that_were_measured_cost_no_other_result() -> None:
    """First goes how answers and samples of each compare, and only where their losses have no room these."""
    counts = {"documents": 123456, "sequences": 100_000, "of": 1_000_000, "tokens": 98_765_432}
    loss = {"evalLoss": 2.345678, "perplexity": 10.44018}
    scores = {"samples": 4096, "accuracy": 0.654321, "majorityAccuracy": 0.123456, "macroF1": 0.543219}
    source = {"name": "file:///" + "x" * 400, "tokens": 1}
    for length, others, there in ((24, 0, 16), (63, 3, 0)):
        rows = [{"name": f"{at:0{length}}", **counts, **loss, "scores": scores} for at in range(16)]
        data = {"documents": 1, "tokens": 1, "bytesRead": 1, "bytesNotRead": 0, "replacedCharacters": 0}
        more = {"skippedFiles": 0, "samples": ["text " * 50] * 5}
        results = Results.model_validate(
            {"steps": 7, "evalLoss": 2, "datasets": rows, "data": data | more}
            | {"sources": [source] * others}
        )
        body = encode(TerminationMessage(outcome=Outcome.COMPLETE, message="", results=results))
        assert len(body) <= 4096
        read = TerminationMessage.model_validate_json(body).results
        assert read is not None
        assert (read.steps, read.eval_loss, len(read.datasets)) == (7, 2, there)
        assert all(one.eval_loss == loss["evalLoss"] and one.scores is None for one in read.datasets)


def test_a_person_reads_progress_as_a_sentence() -> None:
    event = {
        "event": "step", "step": 20, "total_steps": 200, "loss": 3.14159, "learning_rate": 1e-3,
        "tokens_per_second": 12345.6, "eta_seconds": 62.0,
    }  # fmt: skip
    assert sentence(event) == ("step  20/200   10%  loss 3.142  lr 1.00e-03  12,346 tokens/s  ETA 0:01:02")
    assert json.dumps(event)
