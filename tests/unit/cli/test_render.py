"""What a person reads of a job beside `why`: words, rows, one page, differences, meanings."""

from __future__ import annotations

import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import yaml
from harness.children import ROOT
from harness.jobs import T0, job, later, manifest, running

from llmtrain.cli.app import main
from llmtrain.render.compare import checkpoint_rows, differences
from llmtrain.render.curve import canvas, curve_of
from llmtrain.render.fields import field_lines, fields, found_by
from llmtrain.render.live import SPARED, Curves, live_table, narrowed, spark
from llmtrain.render.meanings import CONDITIONS, EVENTS, WAITS, explain_reason, known_failures, words
from llmtrain.render.rows import GAP, attempts_table, column_widths, jobs_table
from llmtrain.render.schema import FOLDER, SPECS, file_name, in_text, manifest_schema
from llmtrain.render.show import show
from llmtrain.render.words import count, plain, sentence, short, span, when
from llmtrain.values import Event
from llmtrain_api import (
    Attempt,
    Checkpoint,
    ConditionType,
    EndReason,
    Failure,
    FailureClass,
    Job,
    JobStatus,
    Phase,
    Progress,
    Results,
    Usage,
    Waiting,
)
from llmtrain_api.generate.crd import PRINTER_COLUMNS
from llmtrain_operator.plan.origin import NO_ORIGIN
from llmtrain_operator.plan.runtime import OUT_OF_BOUNDS
from llmtrain_operator.plan.setup import REFUSED as MODEL_REFUSED
from llmtrain_operator.plan.waiting import MOUNTING
from llmtrain_operator.runtimes.catalogue import MISSING, NOT_ALLOWED, NOT_READABLE, UNKNOWN
from llmtrain_operator.types import RefusalKind

NOW = later(3600)


def test_times_are_words() -> None:
    assert [span(s) for s in (0, 1, 59, 60, 3661, 5400, 90000, 172800)] == [
        "0 seconds",
        "1 second",
        "59 seconds",
        "1 minute",
        "1 hour 1 minute",
        "1 hour 30 minutes",
        "1 day 1 hour",
        "2 days",
    ]
    assert span(3601) == "1 hour", "a gap between units is no unit"
    assert when(NOW - timedelta(minutes=3), NOW) == "3 minutes ago"
    assert when(NOW + timedelta(hours=2), NOW) == "in 2 hours"
    assert when(NOW, NOW) == "now"
    assert when(None, NOW) == ""
    assert (count(1, "node"), count(2000, "node")) == ("1 node", "2,000 nodes")
    assert sentence("it fails", None, "", "two\n lines.") == "It fails; two lines."
    assert plain("a\tb\x1b[31mred\x1b[0m\r\n") == "a\tbred\n"


def test_a_list_has_the_columns_of_kubectl() -> None:
    table = jobs_table([job(running())], NOW)
    assert [name.upper() for name in ("Name", *(c[0] for c in PRINTER_COLUMNS if not c[3]))] == list(
        table.header
    )
    assert table.rows[0][:3] == ("tiny", "Running", "2/2")
    waiting = Waiting(reason="BehindOthers", message="m", position=2)
    wide = jobs_table([job(JobStatus(phase=Phase.QUEUED, waiting=waiting))], NOW, wide=True, namespaces=True)
    cells = dict(zip(wide.header, wide.rows[0], strict=True))
    assert cells["NAMESPACE"] == "default"
    assert (cells["WAITING"], cells["POSITION"], cells["MODEL"]) == (
        "BehindOthers",
        "2",
        "builtin://tiny-llama",
    )


def test_a_page_tells_what_matters_first_and_leaves_out_what_is_not_there() -> None:
    status = running(
        1,
        failure=Failure(failure_class=FailureClass.HANG, message="rank 1 stood", hint="see node n1"),
        progress=Progress(step=5, total_steps=20, summary="5/20", percent_text="25%", loss_text="3.000"),
        usage=Usage(running_seconds=60, gpu_seconds=7200, wasted_gpu_seconds=60, cost=4.0, currency="EUR"),
    )
    event = Event(NOW - timedelta(minutes=1), "Warning", "Restarting", "Hang: rank 1 stood", 2)
    parts = dict(show(job(status), [event], NOW))
    head = dict(parts[""])
    assert head["last failure"] == "Hang: rank 1 stood"
    assert head["attempt"].startswith("1 (1 restart")
    assert dict(parts["Progress"])["step"] == "5/20 (25%)"
    assert dict(parts["What it took"])["GPU time"] == "2 hours, of which 1 minute were computed again"
    assert parts["Events"] == [("1 minute ago", "Restarting: Hang: rank 1 stood (2 times)")]
    assert "Progress" not in dict(show(job(), [], NOW))


def test_a_curve_is_a_line_and_begins_anew_where_steps_are_done_again() -> None:
    assert spark([8.0, 4.5, 1.0]) == "█▅▁"
    assert spark([2.0, 2.0]) == "▁▁"
    assert spark([float("nan")]) == ""
    curves = Curves()

    def at(step: int, loss: float) -> Job:
        return job(running(progress=Progress(step=step, loss=loss)))

    for step, loss in ((1, 9.0), (1, 9.0), (2, 8.0)):
        curves.take([at(step, loss)])
    assert curves.of(at(2, 8.0)) == [9.0, 8.0], "a point a step"
    curves.take([at(1, 9.5)])
    assert curves.of(at(1, 9.5)) == [9.5]
    over = job(JobStatus(phase=Phase.SUCCEEDED))
    table = live_table([over, at(1, 9.5)], curves, NOW)
    assert [row[1] for row in table.rows] == ["Running", "Succeeded"], "those under way are first"
    assert table.rows[0][-1] == "▁"
    curves.take([])
    assert curves.of(at(1, 9.5)) == []


def test_a_narrow_terminal_keeps_the_curve_and_does_without_other_columns() -> None:
    table = live_table([job(running(progress=Progress(step=5, loss=2.0)))], Curves(), NOW)
    whole = sum(column_widths(table)) + len(GAP) * (len(table.header) - 1)
    assert narrowed(table, whole) == table
    assert narrowed(table, whole - 1).header == tuple(name for name in table.header if name != "AGE")
    least = narrowed(table, 1)
    assert not set(least.header) & set(SPARED)
    assert {"NAME", "PHASE", "STEP", "LOSS", "LOSS SINCE"} <= set(least.header)
    assert [len(row) for row in least.rows] == [len(least.header)]


def test_attempts_are_a_row_each() -> None:
    ended = Attempt(
        number=0, started_at=T0, ended_at=T0, failure_class=FailureClass.HANG, steps_gained=9, steps_lost=2
    )
    rows = attempts_table(job(running(1, attempts=[ended, Attempt(number=1, started_at=T0)])), NOW).rows
    assert rows[0][:6] == ("0", "1h0m", "0s", "0", "+9 -2", "Hang")
    assert rows[1][5] == "under way"


def test_two_jobs_are_compared_in_what_they_ask_for_and_what_came_out() -> None:
    first = job(JobStatus(results=Results(steps=20, eval_loss=2.5)))
    second = job(JobStatus(results=Results(steps=20, eval_loss=2.25)), training={"maxSteps": 40}, nodes=4)
    found = differences(first, second)
    assert found["spec"] == [("nodes", "2", "4"), ("training.maxSteps", "20", "40")]
    assert found["results"] == [("evalLoss", "2.5", "2.25")]
    assert differences(first, first) == {}


def test_pairs_of_sentences_are_compared_by_category_over_any_number_of_jobs() -> None:
    def compared(**gaps: float) -> Job:
        rows = [
            {"category": name, "pairs": 20, "prefersA": 1, "gap": gap, "low": 0, "high": 3}
            for name, gap in gaps.items()
        ]
        told = {"source": "pvc://data/pairs.jsonl", "score": "logLikelihood", "pairs": 20, "of": 20}
        results = {"steps": 20, "evalLoss": 2.5, "fairness": told | {"categories": rows}}
        return job(JobStatus(results=Results.model_validate(results)))

    found = differences(compared(age=1, gender=2.25), compared(gender=0.5), compared(age=1, gender=-0.25))
    gaps = [row for row in found["results"] if row[0].endswith(".gap")]
    assert gaps == [
        ("fairness.categories[age].gap", "1", "-", "1"),
        ("fairness.categories[gender].gap", "2.25", "0.5", "-0.25"),
    ]
    assert "evalLoss" not in dict.fromkeys(row[0] for row in found["results"])


def test_checkpoints_are_told_with_who_went_on_from_them() -> None:
    status = running(1, checkpoint=Checkpoint(step=50), checkpoints=[50, 25])
    status = status.model_copy(
        update={
            "attempts": [Attempt(number=0, started_at=T0), Attempt(number=1, started_at=T0, resumed_step=25)]
        }
    )
    assert checkpoint_rows(job(status)) == [("50", "newest", ""), ("25", "", "attempt 1")]
    assert checkpoint_rows(job()) == []


def test_every_word_of_a_status_has_a_meaning() -> None:
    told: list[Any] = [*Phase, *FailureClass, *EndReason, *RefusalKind]
    assert [word.value for word in told if word.value not in words()] == []
    sources = sorted((ROOT / "operator" / "llmtrain_operator" / "scheduling").glob("*.py"))
    said = {
        word for path in sources for word in re.findall(r'Admission\(\s*False,\s*"(\w+)"', path.read_text())
    }
    assert said
    of_runtimes = {MISSING, NOT_READABLE, NOT_ALLOWED, UNKNOWN, OUT_OF_BOUNDS}
    assert said | of_runtimes | set(MOUNTING) <= WAITS.keys()
    assert set(get_args(ConditionType)) <= CONDITIONS.keys()


def test_every_event_has_a_meaning() -> None:
    operator = ROOT / "operator" / "llmtrain_operator"
    told = set(re.findall(r'Event\(\s*"(\w+)"', (operator / "plan" / "events.py").read_text()))
    refusals = "".join(path.read_text() for path in sorted((operator / "plan").glob("*.py")))
    told |= set(re.findall(r'refused\(s, "(\w+)" if \w+ else "(\w+)"', refusals)[0])
    told |= {NO_ORIGIN, MODEL_REFUSED, Phase.SUSPENDING.value, Phase.SUSPENDED.value}
    assert EVENTS.keys() == told
    assert "an event" in "".join(explain_reason("SetupFailed") or [])


def test_a_reason_or_field_is_found_whatever_its_case() -> None:
    for name, known in known_failures().items():
        assert known.hint in "\n".join(explain_reason(name.lower()) or [])
    assert explain_reason("nothing") is None
    assert found_by("training.zeroStage") == ["spec.training.zeroStage"]
    assert found_by("ZEROSTAGE") == ["spec.training.zeroStage"]
    assert found_by("status.progress") == ["status.progress"]
    assert found_by("nothing") == []
    assert "at most 3" in "\n".join(field_lines("spec.training.zeroStage"))
    assert "(required)" in "\n".join(field_lines("spec"))


def test_every_field_can_be_explained() -> None:
    assert all(field_lines(path)[0].startswith(path) for path in fields())


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_knows_every_field_of_the_examples(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    assert [unknown(one) for one in documents] == [[] for _ in documents]
    for text, document in zip(path.read_text().split("\n---\n"), documents, strict=True):
        schema = f"../crds/schema/{file_name(document['kind'])}"
        assert f"\n# yaml-language-server: $schema={schema}\napiVersion:" in f"\n{text}"
        assert (path.parent / schema).is_file()


def test_the_schemas_of_a_checkout_are_those_of_the_contract() -> None:
    there = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert there == {file_name(kind): in_text(kind) for kind in SPECS}, "make generate"


def test_the_command_prints_the_schema_of_a_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == main(["schema", "llmtrainingsweep"]) == 0
    job, _, sweep = capsys.readouterr().out.partition("\n}\n")
    assert json.loads(job + "}")["properties"]["kind"] == {"const": "LLMTrainingJob"}
    assert json.loads(sweep) == manifest_schema("LLMTrainingSweep")
    assert main(["schema", "LLMTrainingJobs"]) == 3
    assert "did you mean" in capsys.readouterr().err


def test_the_schema_refuses_a_field_that_is_none() -> None:
    assert unknown(manifest(nodez=2)) == ["nodez"]
    assert unknown(manifest(training={"maxStep": 2})) == ["maxStep"]
    sweep = yaml.safe_load((ROOT / "examples" / "sweep.yaml").read_text())
    sweep["spec"]["job"]["nodez"] = sweep["spec"]["trialz"] = 2
    assert unknown(sweep) == ["trialz", "nodez"]


def unknown(document: dict[str, Any]) -> list[str]:
    """Names in a manifest that the schema has no property for, where it allows no others."""
    root = manifest_schema(document["kind"])

    def walk(value: Any, node: dict[str, Any]) -> list[str]:
        while "$ref" in node:
            node = root["$defs"][node["$ref"].removeprefix("#/$defs/")]
        options = [one for one in node.get("anyOf", ()) if one.get("type") != "null"]
        if options:
            return min((walk(value, one) for one in options), key=len)
        if isinstance(value, list):
            return [name for item in value for name in walk(item, node.get("items", {}))]
        if not isinstance(value, dict):
            return []
        known = node.get("properties", {})
        strange = (
            [] if node.get("additionalProperties") is not False else [k for k in value if k not in known]
        )
        return strange + [name for k, inner in value.items() if k in known for name in walk(inner, known[k])]

    return walk(document, root)


def test_a_curve_is_a_picture_that_tells_itself_in_words() -> None:
    rows: list[dict[str, Any]] = [
        {"step": 1, "loss": 8.0},
        {"step": 2, "loss": float("nan")},
        {"step": 3, "loss": 2.0},
        {"step": 4},
    ]
    curve = curve_of("a <b>", rows)
    assert curve.points == ((1, 8.0), (3, 2.0))
    picture = curve._repr_html_()
    assert "<title>a &lt;b&gt;: loss 8 at step 1, 2 at step 3</title>" in picture
    assert 'points="64.0,28.0 612.0,212.0"' in picture, "from its highest to its lowest"
    assert "no step yet" in curve_of("none", [])._repr_html_()
    assert curve.with_point(2, 5.0).points == ((1, 8.0), (2, 5.0)), "a step is done again"
    assert curve_of("flat", [{"step": 1, "loss": 2.0}])._repr_html_().startswith("<svg ")


def test_a_notebook_shows_a_curve_in_the_place_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = curve_of("tiny", [{"step": 1, "loss": 2.0}])
    canvas()(curve)
    assert capsys.readouterr().out == "tiny: loss 2 at step 1, 2 at step 1\n", "no notebook"
    shown: list[Any] = []

    class Handle:
        def update(self, other: Any) -> None:
            shown.append(("in its place", other))

    def display(one: Any, *, display_id: bool) -> Handle:
        assert display_id
        shown.append(("first", one))
        return Handle()

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: object()))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    show = canvas()
    show(curve)
    show(curve.titled("later"))
    assert shown == [("first", curve), ("in its place", curve.titled("later"))]


def test_a_cell_of_a_table_is_one_line() -> None:
    assert short("a\n  b\x1b[31m c") == "a b c"
    assert short("x" * 99) == "x" * 63 + "…"


def test_sets_are_compared_by_their_names_and_shown_by_them() -> None:
    def measured(*sets: tuple[str, float]) -> Job:
        counts = {"documents": 1, "sequences": 1, "of": 2, "tokens": 31}
        rows = [{"name": name, "evalLoss": loss, "perplexity": 9.5} | counts for name, loss in sets]
        return job(JobStatus(results=Results.model_validate({"steps": 20, "datasets": rows})))

    first, second = measured(("code", 1.5), ("news", 2.5)), measured(("news", 2.25))
    losses = [row for row in differences(first, second)["results"] if row[0].endswith(".evalLoss")]
    assert losses == [("datasets[code].evalLoss", "1.5", "-"), ("datasets[news].evalLoss", "2.5", "2.25")]
    rows = dict(row for _, part in show(first, [], NOW) for row in part if row[0].startswith("on "))
    assert rows == {"on code": "1.500, perplexity 9.50", "on news": "2.500, perplexity 9.50"}
