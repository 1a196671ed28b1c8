"""Writes the chart's Grafana boards from the tables below: `make generate`.

A board is rows of panels, a panel a title, a unit and queries with their legends. Each board asks for its
data source, so that it opens in any Grafana.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parents[1] / "helm" / "llm-training-operator" / "monitoring"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 24, 8


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        queries: PromQL, by the legend of its lines; ``{{label}}`` is the value of a label.
        unit: as Grafana names it; empty = a plain number.
        kind: ``timeseries``, ``stat`` or ``table``.
        text: what it is good for.
    """

    title: str
    queries: dict[str, str]
    unit: str = ""
    kind: str = "timeseries"
    text: str = ""


@dataclass(frozen=True)
class Board:
    """One board: rows of panels, each row as wide as the page.

    Attributes:
        choices: variables, by name: the query for their values.
    """

    uid: str
    title: str
    rows: tuple[tuple[Panel, ...], ...]
    choices: dict[str, str]


JOB = 'namespace="$namespace",name="$name"'
PODS = 'namespace="$namespace",pod=~"$name-[0-9]+-[0-9]+"'
FLEET = Board(
    "llmtrain-fleet",
    "LLM training: all jobs",
    (
        (
            Panel(
                "Jobs by phase",
                {"{{phase}}": "sum by (phase) (llmtrain_job_phase)"},
                text="How many run, wait, and have ended.",
            ),
            Panel(
                "GPUs in use",
                {"{{namespace}}": "sum by (namespace) (llmtrain_job_gpus)"},
                text="Of pods that run.",
            ),
            Panel(
                "Waiting for room",
                {
                    "{{namespace}}/{{name}}": "(time() - llmtrain_job_waiting_since_timestamp_seconds) "
                    'and on (namespace, name) llmtrain_job_phase{phase="Queued"} == 1'
                },
                "s",
                text="Since when each queued job waits for what it waits for.",
            ),
        ),
        (
            Panel(
                "Tokens a second",
                {"{{namespace}}/{{name}}": "llmtrain_job_tokens_per_second"},
            ),
            Panel(
                "Use of the GPUs (MFU)",
                {"{{namespace}}/{{name}}": "llmtrain_job_mfu_ratio"},
                "percentunit",
                text="Model FLOP/s over the bf16 peak.",
            ),
            Panel(
                "Restarts in an hour",
                {"{{namespace}}/{{name}}": "increase(llmtrain_job_restarts_total[1h])"},
            ),
        ),
        (
            Panel(
                "GPU-hours wasted",
                {"{{namespace}}": "sum by (namespace) (llmtrain_job_wasted_gpu_seconds) / 3600"},
                text="Computed again after a restart.",
            ),
            Panel("Cost so far", {"{{namespace}}": "sum by (namespace) (llmtrain_job_cost)"}),
            Panel(
                "Silent or slow",
                {
                    "{{namespace}}/{{name}} is silent": "llmtrain_job_reporting_lost == 1",
                    "{{namespace}}/{{name}} has a straggler": "llmtrain_job_straggler == 1",
                },
            ),
        ),
    ),
    {},
)
ONE_JOB = Board(
    "llmtrain-job",
    "LLM training: one job",
    (
        (
            Panel("Done", {"": f"llmtrain_job_progress_ratio{{{JOB}}}"}, "percentunit", "stat"),
            Panel("Left", {"": f"llmtrain_job_eta_timestamp_seconds{{{JOB}}} - time()"}, "s", "stat"),
            Panel("Ranks that run", {"": f"llmtrain_job_workers_ready{{{JOB}}}"}, kind="stat"),
            Panel("Restarts", {"": f"llmtrain_job_restarts_total{{{JOB}}}"}, kind="stat"),
            Panel("Newest checkpoint", {"": f"llmtrain_job_checkpoint_step{{{JOB}}}"}, kind="stat"),
        ),
        (
            Panel(
                "Loss",
                {
                    "training": f"llmtrain_job_loss{{{JOB}}}",
                    "held out": f"llmtrain_job_eval_loss{{{JOB}}}",
                },
                text="nat a token",
            ),
            Panel("Gradient norm", {"": f"llmtrain_train_gradient_norm{{{PODS}}}"}),
            Panel("Learning rate", {"": f"llmtrain_train_learning_rate{{{PODS}}}"}, "sci"),
        ),
        (
            Panel("Tokens a second", {"": f"llmtrain_job_tokens_per_second{{{JOB}}}"}),
            Panel(
                "A step's time",
                {
                    "median": "histogram_quantile(0.5, sum by (le) "
                    f"(rate(llmtrain_train_step_seconds_bucket{{{PODS}}}[5m])))",
                    "99 of 100": "histogram_quantile(0.99, sum by (le) "
                    f"(rate(llmtrain_train_step_seconds_bucket{{{PODS}}}[5m])))",
                },
                "s",
            ),
            Panel(
                "What a rank is busy with",
                {"{{phase}}": f"avg by (phase) (rate(llmtrain_train_phase_seconds_total{{{PODS}}}[5m]))"},
                "percentunit",
                text="Shares of the wall time, mean over the ranks.",
            ),
        ),
        (
            Panel(
                "Standing still for a save",
                {
                    "": "rate(llmtrain_train_checkpoint_seconds_sum"
                    f"{{{PODS}}}[30m]) / rate(llmtrain_train_checkpoint_seconds_count{{{PODS}}}[30m])"
                },
                "s",
            ),
            Panel(
                "Steps that changed no weight",
                {"{{reason}}": f"increase(llmtrain_train_skipped_steps_total{{{PODS}}}[15m])"},
            ),
            Panel(
                "Memory of the devices",
                {"{{pod}} {{kind}}": f"llmtrain_train_device_memory_bytes{{{PODS}}}"},
                "bytes",
            ),
        ),
    ),
    {
        "namespace": "label_values(llmtrain_job_phase, namespace)",
        "name": 'label_values(llmtrain_job_phase{namespace="$namespace"}, name)',
    },
)
OPERATOR = Board(
    "llmtrain-operator",
    "LLM training: the operator",
    (
        (
            Panel("Operators that act", {"": "sum(llmtrain_operator_leader)"}, kind="stat", text="One."),
            Panel("Jobs to be looked at", {"{{pod}}": "llmtrain_operator_queue_depth"}),
            Panel("Pods known", {"{{pod}}": "llmtrain_operator_pods"}),
        ),
        (
            Panel(
                "Progress reports",
                {"{{code}}": "sum by (code) (rate(llmtrain_operator_reports_total[5m]))"},
                "reqps",
                text="By the HTTP status of the answer; all but 200 were refused.",
            ),
            Panel("Jobs by phase", {"{{phase}}": "sum by (phase) (llmtrain_job_phase)"}),
        ),
    ),
    {},
)
BOARDS = (FLEET, ONE_JOB, OPERATOR)


def document(board: Board) -> dict[str, Any]:
    """The board as Grafana takes it."""
    panels: list[dict[str, Any]] = []
    for row, found in enumerate(board.rows):
        width = WIDTH // len(found)
        for column, panel in enumerate(found):
            place = {"x": column * width, "y": row * HEIGHT, "w": width, "h": HEIGHT}
            panels.append(_panel(panel, len(panels) + 1, place))
    return {
        "uid": board.uid,
        "title": board.title,
        "tags": ["llmtrain"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source(), *(_choice(name, q) for name, q in board.choices.items())]},
        "panels": panels,
    }


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + k), "expr": query, "legendFormat": legend or "__auto", "datasource": SOURCE}
        for k, (legend, query) in enumerate(panel.queries.items())
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit or "short"}, "overrides": []},
        "targets": targets,
    }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _choice(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


def texts() -> dict[str, str]:
    """Each file's name, and what is to be in it."""
    return {f"{board.uid}.json": json.dumps(document(board), indent=1) + "\n" for board in BOARDS}


if __name__ == "__main__":
    for name, text in texts().items():
        (OUT / name).write_text(text)
