"""Options that verbs share, and the client that they ask for."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llmtrain.client import Client


class Format(StrEnum):
    """How something is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"

    @property
    def for_programs(self) -> bool:
        """Whether a program reads it."""
        return self in (Format.JSON, Format.YAML)


def _job_names(incomplete: str) -> list[str]:
    """For completion by the shell: what cannot be had is not offered, and never an error."""
    with suppress(Exception):
        found = client(None, None).list_objects()
        return [
            str(raw["metadata"]["name"]) for raw in found if raw["metadata"]["name"].startswith(incomplete)
        ]
    return []


JobOrSweep = Annotated[
    Path, typer.Argument(metavar="JOB.yaml", help="Manifest of an LLMTrainingJob, or of an LLMTrainingSweep.")
]
Name = Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.", autocompletion=_job_names)]
Namespace = Annotated[
    str | None, typer.Option("-n", "--namespace", metavar="NAME", help="Namespace (default: the context's).")
]
Context = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", help="Context of the kubeconfig (default: its current)."),
]
Output = Annotated[
    Format, typer.Option("-o", "--output", help="table and wide are for people, json and yaml for programs.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a field of the spec: training.maxSteps=100. May be repeated."
    ),
]


Runs = Annotated[
    Path | None,
    typer.Option(
        "--runs", metavar="DIR", help="Jobs of `llmtrain run`, by its folder of claims, not a cluster's."
    ),
]


def client(namespace: str | None, context: str | None, runs: Path | None = None) -> Client:
    """The client of the cluster that is meant, or of this machine's runs."""
    from llmtrain.client import Client

    if runs is not None:
        return Client("local", namespace=namespace, runs=runs)
    return Client(namespace=namespace, context=context)
