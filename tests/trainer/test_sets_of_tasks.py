"""A set of just the rows that are held out comes to what these come to, with every task that has sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job_file, least_spec
from harness.ports import free_port
from harness.trainer.launches import Launch

from llmtrain_trainer.data.chat.samples import dialogues_of
from llmtrain_trainer.data.sources import is_held_out, texts_of

pytestmark = pytest.mark.timeout(400)
SIGNS = ("rain", "sun", "wind", "snow")
COUNT, FRACTION = 80, 0.3
SIZES = {"hiddenSize": 32, "numLayers": 2, "numHeads": 4, "vocabSize": 400}
Row = dict[str, Any]


def text(at: int) -> Row:
    return {"text": f"Day {at}: {SIGNS[at % 4]} over house {at}, and {SIGNS[at // 4 % 4]} behind it. " * 3}


def number(at: int) -> Row:
    return {"text": f"{SIGNS[at % 4]} over house {at}", "label": at % 4 - 1.5}


def tags(at: int) -> Row:
    return {
        "tokens": [SIGNS[at % 4], "over", "house", str(at)],
        "tags": ["B-SIGN", "O", "B-PLACE", "I-PLACE"],
    }


def question(at: int) -> Row:
    context = f"Day {at}. {'Nobody knew. ' * (at % 5)}There was {SIGNS[at % 4]} at the river."
    known = {"text": ["the river"], "answer_start": [context.index("the river")]}
    return {"question": f"Where was {SIGNS[at % 4]}?", "context": context, "answers": known}


def pair(at: int) -> Row:
    return {"source": f"{SIGNS[at % 4]} over house {at}", "target": f"house {at} under {SIGNS[at % 4]}"}


def talk(at: int) -> Row:
    return {"prompt": f"What was on day {at}?", "completion": f"There was {SIGNS[at % 4]}."}


TASKS: dict[str, tuple[str, Callable[[int], Row]]] = {
    "masked": ("builtin://tiny-bert", text),
    "seq2seq": ("builtin://tiny-t5", text),
    "chat": ("builtin://tiny-llama", talk),
    "regression": ("builtin://tiny-bert", number),
    "tokenClassification": ("builtin://tiny-bert", tags),
    "questionAnswering": ("builtin://tiny-bert", question),
    "text2text": ("builtin://tiny-t5", pair),
}


def write(path: Path, rows: list[Row]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"file://{path}"


@pytest.mark.parametrize("task", TASKS)
def test_a_set_of_the_held_out_rows_comes_to_the_same(task: str, tmp_path: Path) -> None:
    model, of = TASKS[task]
    rows = [of(at) for at in range(COUNT)]
    metrics = {"answerMetrics": ["chrf"], "maxAnswers": 2} if task in ("chat", "text2text") else {}
    asked: dict[str, Any] = {
        "task": task,
        "model": {"name": model} | SIZES,
        "dataset": {"name": write(tmp_path / "rows" / "all.jsonl", rows), "heldOutFraction": FRACTION},
        "processesPerNode": 2,
        "training": {"maxSteps": 4, "sequenceLength": 48, "globalBatchSize": 8, "microBatchSize": 2},
        "evaluation": {"everySteps": 0, **metrics},
    }
    told = job_file(least_spec(**asked), tmp_path / "output", port=free_port())
    if task in ("masked", "seq2seq"):
        sides = [is_held_out(row["text"], FRACTION) for row in rows]
    else:
        sides = [side for side, _ in dialogues_of(told, texts_of(told)[0])]
    apart = [row for row, side in zip(rows, sides, strict=True) if side]
    assert 8 <= len(apart) < COUNT / 2
    source = write(tmp_path / "apart.jsonl", apart)
    asked["evaluation"]["datasets"] = [{"name": "apart", "source": source}]
    launch = Launch(tmp_path, job_file(least_spec(**asked), tmp_path / "output", port=free_port()))
    assert launch.wait() == 0, launch.text()
    results = json.loads(launch.output.results.read_text())
    (found,) = results["datasets"]
    assert found["documents"] == len(apart)
    assert found["evalLoss"] == pytest.approx(results["evalLoss"], rel=1e-4)
    assert found.get("perplexity", 0) == pytest.approx(results.get("perplexity", 0), rel=1e-3)
    assert found.get("scores") == results.get("scores")
    assert found.get("answers") == results.get("answers")
    assert ("scores" in found, "answers" in found) == (
        task in ("regression", "tokenClassification", "questionAnswering"),
        bool(metrics),
    )
