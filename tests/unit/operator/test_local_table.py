"""What a person sees of a job in a terminal, and in a file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from harness.jobs import FACTS, T0, job, later

from llmtrain_api import (
    AnswersResult,
    Attempt,
    Checkpoint,
    DataSummary,
    Failure,
    FailureClass,
    Job,
    JobStatus,
    ModelFacts,
    Phase,
    Progress,
    Resolved,
    Restarts,
    Results,
    Waiting,
    Workers,
)
from llmtrain_operator.local import console_text
from llmtrain_operator.local.table import Table
from llmtrain_operator.plan.progress import progress_texts

KILLED = Failure(
    failure_class=FailureClass.UNKNOWN,
    message="rank 1 was killed by signal 9",
    hint="raise resources.memory",
    rank=1,
    exit_code=-9,
    log_tail="\n".join(f"line {n}" for n in range(40)),
)


def at_step(step: int) -> Progress:
    return progress_texts(
        Progress(
            stage="train", step=step, total_steps=200, loss=4.0125, tokens_per_second=6893, eta_text="24s"
        )
    )


def ended(results: Results, root: Path, **said: bool) -> list[str]:
    return console_text.succeeded(results, root, 75, opens="AutoModel.from_pretrained(...)", **said)


def with_status(**changes: object) -> Job:
    status = JobStatus(
        phase=Phase.RUNNING,
        attempt=0,
        restarts=Restarts(),
        workers=Workers(desired=2, ready=2, summary="2/2"),
        progress=at_step(120),
        attempts=[Attempt(number=0, started_at=T0)],
    )
    found = job(status.model_copy(update=changes))
    return found.model_copy(update={"metadata": found.metadata.model_copy(update={"creation_timestamp": T0})})


def restarting() -> Job:
    attempts = [Attempt(number=0, started_at=T0), Attempt(number=1, started_at=T0)]
    return with_status(
        phase=Phase.RESTARTING, attempt=1, restarts=Restarts(total=1), failure=KILLED, attempts=attempts
    )


def table(*, live: bool, width: int = 200) -> tuple[Table, io.StringIO]:
    out = io.StringIO()
    return Table(out, live=live, clock=lambda: later(58), columns=lambda: width), out


def test_the_row_is_that_of_kubectl_get() -> None:
    assert dict(zip(console_text.COLUMNS, console_text.row(with_status(), None, later(58)), strict=True)) == {
        "NAME": "tiny",
        "PHASE": "Running",
        "NODES": "2/2",
        "STEP": "120/200",
        "PROGRESS": "60%",
        "LOSS": "4.013",
        "TOKENS/S": "6893",
        "ETA": "24s",
        "RESTARTS": "0",
        "AGE": "58s",
    }
    newer = console_text.row(with_status(), at_step(130), later(58))
    assert newer[console_text.COLUMNS.index("STEP")] == "130/200", "a report is newer than the record"


def test_cells_stand_under_their_columns() -> None:
    header, line = console_text.aligned(console_text.row(with_status(), None, later(58)))
    for column, text in (("PHASE", "Running"), ("STEP", "120/200"), ("RESTARTS", "0"), ("AGE", "58s")):
        assert line.index(text, header.index(column)) == header.index(column)


def test_a_restart_is_told_with_class_reason_and_hint_and_where_it_goes_on() -> None:
    told = console_text.news(with_status().status, restarting().status)
    assert told == [
        "Restarting: Unknown: rank 1 was killed by signal 9; attempt 1 begins (raise resources.memory)"
    ]
    resumed = [Attempt(number=0, started_at=T0), Attempt(number=1, started_at=T0, resumed_step=50)]
    going = restarting().status.model_copy(update={"attempts": resumed})
    assert console_text.news(restarting().status, going) == ["Resumed: attempt 1 goes on from step 50"]
    assert console_text.news(going, going) == []
    noted = [resumed[0], resumed[1].model_copy(update={"resumed_note": "from layout dp4 zero1 to dp2 zero1"})]
    going = going.model_copy(update={"attempts": noted})
    assert console_text.news(restarting().status, going) == [
        "Resumed: attempt 1 goes on from step 50 (from layout dp4 zero1 to dp2 zero1)"
    ]


def test_checkpoints_and_waiting_are_told_once() -> None:
    saved = with_status(checkpoint=Checkpoint(step=50)).status
    assert console_text.news(with_status().status, saved) == ["Checkpoint: step 50 is committed"]
    waits = with_status(waiting=Waiting(reason="QuotaExceeded", message="no")).status
    assert console_text.news(with_status().status, waits) == ["Waiting: QuotaExceeded: no"]
    usual = with_status(waiting=Waiting(reason="OldPodsTerminating", message="2")).status
    assert console_text.news(with_status().status, usual) == []


def test_what_was_found_of_a_model_is_told_once() -> None:
    resolved = Resolved(
        image="i",
        world_size=2,
        layout="dp2",
        micro_batch=1,
        accumulation=1,
        global_batch=2,
        model=ModelFacts.model_validate(FACTS),
    )
    found = with_status(resolved=resolved).status
    assert console_text.news(with_status().status, found) == ["Model: LlamaForCausalLM, 500,000 parameters"]
    assert console_text.news(found, found) == []


def test_a_failure_is_explained_with_hint_log_and_place() -> None:
    told = console_text.failed(KILLED, [Path("/runs/x/logs")])
    assert told[0] == "failed: Unknown: rank 1 was killed by signal 9"
    assert "  where   rank 1, exit code -9" in told
    assert "  hint    raise resources.memory" in told
    assert "    line 39" in told
    assert "    line 0" not in told, "only the end of the log"
    assert told[-1] == "  more    /runs/x/logs"


def test_the_end_tells_what_was_learnt_and_where_it_lies() -> None:
    results = Results(
        steps=200, eval_loss=4.1, perplexity=60.34, unigram_entropy=5.2, sample="def f():\n  pass"
    )
    told = "\n".join(ended(results, Path("/runs/x")))
    assert "done in 1m15s: 200 steps" in told
    assert "held-out loss     4.100 nat a token, perplexity 60.34" in told
    assert "unigram entropy   5.200 nat a token, so 1.100 was learnt" in told
    assert "    def f():" in told
    for name in ("export", "checkpoints", "logs", "results.json"):
        assert f"/runs/x/{name}" in told
    assert "llmtrain chat" not in told
    assert "  llmtrain chat /runs/x  talks with it" in ended(results, Path("/runs/x"), talks=True)


@pytest.mark.parametrize(
    ("model", "task", "auto_class"),
    [
        ("tiny-llama", None, "CausalLM"),
        ("tiny-bert", None, "MaskedLM"),
        ("tiny-t5", None, "Seq2SeqLM"),
        ("tiny-bert", "classification", "SequenceClassification"),
        ("tiny-llama", "regression", "SequenceClassification"),
        ("tiny-bert", "tokenClassification", "TokenClassification"),
        ("tiny-bert", "questionAnswering", "QuestionAnswering"),
        ("tiny-llava", "imageChat", "ImageTextToText"),
    ],
)
def test_the_end_tells_what_opens_the_export(model: str, task: str | None, auto_class: str) -> None:
    found = job(model={"name": f"builtin://{model}"}, task=task, dataset={"name": "pvc://data/rows"})
    call = f"AutoModelFor{auto_class}.from_pretrained(...)"
    assert console_text.opens_export(found) == call
    told = console_text.succeeded(Results(steps=2), Path("/runs/x"), 75, opens=call)
    assert f"  /runs/x/export  Hugging Face folder: {call}" in told


def test_what_opens_the_export_of_a_model_that_was_inspected_is_told_by_its_facts() -> None:
    facts = ModelFacts.model_validate(FACTS)
    resolved = Resolved(image="x", world_size=1, layout="dp1", precision="fp32", model=facts)
    status = with_status(resolved=resolved).status
    model = {"name": "owner/name"}
    assert console_text.opens_export(job(status, model=model)).startswith("AutoModelForCausalLM")
    alone = job(status, model=model | {"adapter": {"rank": 2}}, output={"uri": "pvc://c/x", "merged": False})
    assert console_text.opens_export(alone) == 'PeftModel.from_pretrained(base, ..., subfolder="adapter")'


def test_the_end_tells_what_of_the_text_was_left_out() -> None:
    data = DataSummary(
        documents=5,
        tokens=9,
        bytes_read=44,
        bytes_not_read=56,
        replaced_characters=2,
        skipped_files=1,
        skipped_documents=31,
        changed_documents=4,
        masked_values=1200,
        duplicate_documents=7,
    )
    told = "\n".join(ended(Results(steps=2, data=data), Path("/runs/x")))
    assert "text not read     56 % (56 bytes), beyond maxBytes" in told
    assert "replaced          2 characters that are no text" in told
    assert "skipped           1 files or folders" in told
    assert "left out          31 documents" in told
    assert "cleaned           4 changed, 1,200 values masked, 7 copies dropped" in told
    whole = DataSummary(
        **{
            name: 0 for name in DataSummary.model_fields if name not in ("samples", "documents", "bytes_read")
        },
        documents=5,
        bytes_read=44,
    )
    told = "\n".join(ended(Results(steps=2, data=whole), Path("/runs/x")))
    assert not {"text not read", "replaced", "skipped", "left out", "cleaned"}.intersection(told.splitlines())
    assert "not read" not in told


def test_the_end_tells_how_its_answers_compare() -> None:
    answers = AnswersResult(written=12, exact_match=50, rouge_l=61.234, signatures=["bleu|x"])
    told = ended(Results(steps=2, answers=answers), Path("/runs/x"))
    assert "  answers           exactMatch 50.0, rougeL 61.2 of 100, in 12 of its own" in told
    assert not any("without a model" in line for line in told), "nobody asked what that comes to"
    assert not any("answers" in line for line in ended(Results(steps=2), Path("/x")))


def test_the_end_tells_what_needs_no_model_beside_what_was_written() -> None:
    answers = AnswersResult(
        written=3, bleu=40, rouge_l=50, copied_bleu=4.25, lead_words=7, lead_rouge1=20, lead_rouge_l=18.04
    )
    told = ended(Results(steps=2, answers=answers), Path("/runs/x"))
    assert "  answers           bleu 40.0, rougeL 50.0 of 100, in 3 of its own" in told
    without = "the source itself: bleu 4.2; its first 7 words: rouge1 20.0, rougeL 18.0"
    assert f"  without a model   {without}" in told


def test_a_stop_tells_the_step_and_the_command() -> None:
    saved = with_status(checkpoint=Checkpoint(step=50)).status
    assert console_text.stopped(saved, "make try") == [
        "stopped; step 50 is saved. To go on, run the same command again:",
        "  make try",
    ]
    assert "nothing was saved" in console_text.stopped(with_status().status, "make try")[0]


def test_a_file_gets_plain_lines_and_none_twice() -> None:
    view, out = table(live=False)
    view.show(with_status())
    view.show(with_status())
    view.show(restarting())
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert sum(line.startswith("NAME") for line in lines) == 1
    assert sum("Running" in line and "2/2" in line for line in lines) == 1
    assert sum("Restarting: Unknown" in line for line in lines) == 1


def test_a_terminal_shows_one_row_below_the_news() -> None:
    view, out = table(live=True, width=60)
    for found in (with_status(), restarting()):
        view.show(found)
    view.say("stopping")
    view.end()
    view.say("the end")
    shown = screen(out.getvalue())
    assert sum(line.startswith("NAME") for line in shown) == 1
    assert sum(line.startswith("tiny") for line in shown) == 1
    order = [
        next(n for n, line in enumerate(shown) if word in line)
        for word in ("Restarting: ", "stopping", "NAME", "tiny  ", "the end")
    ]
    assert order == sorted(order)
    assert max(len(line) for line in shown if line.startswith(("NAME", "tiny"))) <= 60, (
        "a wrapped row cannot be redrawn"
    )


def test_a_terminal_that_is_gone_stops_nothing() -> None:
    out = io.StringIO()
    view = Table(out, live=True, columns=lambda: 80)
    out.close()
    view.show(with_status())
    view.say("more")


def screen(text: str) -> list[str]:
    """What a terminal shows after this text: it knows only what `Table` uses."""
    lines: list[str] = []
    for part in text.replace("\r", "").split("\x1b["):
        command, rest = part, ""
        for end in "AJ":
            head, found, tail = part.partition(end)
            if found and (head.isdigit() or not head):
                command, rest = head + end, tail
                break
        else:
            rest, command = part, ""
        if command.endswith("A"):
            lines = lines[: len(lines) - int(command[:-1])]
        lines += rest.splitlines()
    return lines


def test_sets_that_were_measured_apart_are_told_at_the_end(tmp_path: Path) -> None:
    counts = {"documents": 9, "sequences": 6, "of": 6, "tokens": 186}
    scores = {"samples": 6, "classes": 4, "accuracy": 0.5, "majorityAccuracy": 0.25}
    sets = [
        {"name": "news", "evalLoss": 2.5, "perplexity": 12.18} | counts | {"of": 1234},
        {"name": "signs", "evalLoss": 0.75, "scores": scores} | counts,
        {"name": "silent"} | counts | {"tokens": 0},
    ]
    told = console_text.succeeded(
        Results.model_validate({"steps": 20, "datasets": sets}), tmp_path, 75, opens="AutoModel"
    )
    assert [line.strip() for line in told if line.startswith("  on ")] == [
        "on news           2.500 nat a token, perplexity 12.18, of 186 tokens; 6 of its 1,234 sequences "
        "(evaluation.maxSequences)",
        "on signs          loss 0.750, of 186 samples; accuracy 0.5, majority accuracy 0.25",
        "on silent         nothing that asks for an answer",
    ]
