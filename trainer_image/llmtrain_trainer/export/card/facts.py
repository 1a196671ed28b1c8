"""What a card tells, gathered from a job and its output. Only here files are read."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from llmtrain_api import JobFile, Results, Task, task_of

from ... import __version__
from ...data.store import Marker
from ...files import digest_of
from ...output import Output
from ...records import plain_file
from ...storage.start_marker import Start

LIBRARIES = ("torch", "transformers", "deepspeed", "peft")


@dataclass(frozen=True)
class Spent:
    """What training took, by the rows of ``metrics.jsonl`` that are there.

    Attributes:
        steps: different steps with a row.
        done: rows: steps, those included that were done again after a restart.
        tokens: trained on in these steps, each step counted once.
        seconds: of all rows, by rank 0's clock.
    """

    steps: int = 0
    done: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Facts:
    """All that a card tells.

    Attributes:
        job: the job. A card takes single fields of it, never all: there are names of Secrets among them.
        task: that it learnt.
        results: of it.
        report: of the data.
        data: digest of the prepared data.
        key: digest of all that the data were asked by.
        fingerprints: of data, tokenizer and model, as checkpoints keep them.
        spent: what training took.
        versions: of the programs, by name.
    """

    job: JobFile
    task: Task
    results: Results
    report: Mapping[str, Any]
    data: str
    key: str
    fingerprints: Mapping[str, Any] = field(default_factory=dict)
    spent: Spent = Spent()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def adapter_alone(self) -> bool:
        """Whether the export has no weights but the adapter's."""
        return self.job.spec.model.adapter is not None and not self.job.spec.output.merged


def gathered(job: JobFile, start: Start, marker: Marker, results: Results) -> Facts:
    """The facts of a job whose model is being exported."""
    return Facts(
        job=job,
        task=task_of(job.spec, job.shape),
        results=results,
        report=marker.report,
        data=marker.digest,
        key=digest_of(marker.key),
        fingerprints=start.fingerprints,
        spent=spent(start.output, job.attempt),
        versions={"llmtrain-trainer": __version__, **_versions(), "python": platform.python_version()},
    )


def spent(output: Output, attempt: int) -> Spent:
    """What training took in an attempt and those before it, as far as their rows are here."""
    tokens: dict[int, int] = {}
    done, seconds = 0, 0.0
    for number in range(attempt + 1):
        for row in _rows(output, number):
            step, taken, count = row.get("step"), row.get("seconds"), row.get("tokens")
            if not isinstance(step, int):
                continue
            done += 1
            tokens[step] = count if isinstance(count, int) else 0
            seconds += taken if isinstance(taken, int | float) else 0.0
    return Spent(len(tokens), done, sum(tokens.values()), seconds)


def _rows(output: Output, attempt: int) -> Iterator[dict[str, Any]]:
    try:
        with plain_file(output.logs(attempt) / "metrics.jsonl") as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:  # the last line of a process that was killed
                    continue
                if isinstance(row, dict):
                    yield row
    except (OSError, ValueError):
        return


def _versions() -> dict[str, str]:
    """Of the libraries, by what pip knows: some take seconds to import."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
