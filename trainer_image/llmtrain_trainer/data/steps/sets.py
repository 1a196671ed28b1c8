"""Makes the rows of the sets that a model is measured on apart: ``evaluation.datasets``.

A set is read as the dataset of a job that only measures: all of it is held out. The tokenizer and the classes
are those of the data that are trained on, and cleaning is left out: what is measured is what is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmtrain_api import DatasetSpec, JobFile
from llmtrain_api.schema.evaluation_set import EvaluationSet

from ... import log
from ...errors import ConfigError
from ..preparation import Borrowed, Preparation
from ..sources import Text, text_of
from ..store import SETS, TRAIN
from .held_out import choose_held_out
from .report import warnings_of
from .rows import make_rows
from .sources import find_sources
from .tokenizer import put_encoder

_DATASETS = re.compile(r"(?<![\w.])dataset\.(?=fields|maxBytes|revision)")


def write_sets(made: Preparation) -> None:
    """Leave what each set came to; its rows lie in a folder of its own.

    Raises:
        ConfigError: a set that cannot be read, that is empty, or whose rows are of another task.
    """
    made.told_of_sets = [
        _set(made, number, one) for number, one in enumerate(made.job.spec.evaluation.datasets)
    ]


def _set(made: Preparation, number: int, one: EvaluationSet) -> dict[str, Any]:
    folder = made.folder / SETS / one.name
    folder.mkdir(parents=True)
    field, source = f"evaluation.datasets[{number}].source", one.as_source
    text = text_of(field, source, made.job.sources.get(source.name))
    borrowed = Borrowed(text, made.tokenizer_folder, made.labels)
    with _named(borrowed.text):
        return _made(made, one, folder, borrowed)


def _made(made: Preparation, one: EvaluationSet, folder: Path, borrowed: Borrowed) -> dict[str, Any]:
    own = Preparation(_measured_alone(made.job, one), folder, made.sets, made.progress, borrowed=borrowed)
    find_sources(own)
    own.copies, own.tokenizer, own.tokens, own.cut = None, made.tokenizer, made.tokens, made.cut
    put_encoder(own)
    make_rows(own)
    _require_some(own)
    choose_held_out(own)
    (folder / TRAIN).unlink(missing_ok=True)  # nothing is learnt from a set
    told = _told(own, one)
    log.get().info("evaluation set", **{name: told[name] for name in ("name", "documents", "sequences")})
    return told


@contextmanager
def _named(source: Text) -> Iterator[None]:
    """Mistakes name the set, and fields of the set where a reader speaks of those of the dataset."""
    try:
        yield
    except ConfigError as error:
        own = f"{source.field.removesuffix('.source')}."
        message, hint = (_DATASETS.sub(own, text) for text in (error.message, error.hint))
        where = f"{source.field} {source.name}"
        raise ConfigError(message if message.startswith(where) else f"{where}: {message}", hint) from None


def _measured_alone(job: JobFile, one: EvaluationSet) -> JobFile:
    """The job as if it measured this set and did nothing else. Its spec keeps no rule that this would break:
    it is handed to the steps and never published."""
    spec = job.spec
    dataset = DatasetSpec(name=one.source, max_bytes=one.max_bytes, fields=one.fields, revision=one.revision)
    evaluation = spec.evaluation.model_copy(update={"only": True, "fairness": None, "datasets": []})
    training = spec.training.model_copy(update={"fairness": None})
    asked = spec.model_copy(update={"dataset": dataset, "evaluation": evaluation, "training": training})
    return job.model_copy(update={"spec": asked})


def _require_some(own: Preparation) -> None:
    """A set must fill a row.

    Raises:
        ConfigError: it does not.
    """
    if own.held_out.rows:
        return
    source, documents = own.sources[0], own.held_out.documents
    where = f"{source.field} {source.name}"
    if own.task.on_samples:
        raise ConfigError(f"{where}: no sample of its {documents} can be measured", "add samples")
    length = own.job.spec.training.sequence_length
    many = f"{documents} document{'' if documents == 1 else 's'}"
    raise ConfigError(
        f"{where} is too small: no sequence of {length} tokens to measure in {many}",
        "add text, lower training.sequenceLength, or remove the set",
    )


def _told(own: Preparation, one: EvaluationSet) -> dict[str, Any]:
    """What the report says of a set, with the sentences for people."""
    used, there = sum(own.used), own.held_out.rows
    source, counts = own.sources[0], own.counts[0]
    warnings = warnings_of(own)
    if used < there:
        warnings.append(
            f"{source.field} {source.name}: {used:,} of {there:,} sequences are measured; to measure all "
            "raise evaluation.maxSequences"
        )
    return {
        "name": one.name,
        "source": source.name,
        "documents": own.held_out.documents,
        "sequences": {"used": used, "there": there},
        "tokens": round(used * own.held_out.tokens_a_row),
        "read": counts.report(),
        **({"commit": source.revision} if source.revision else {}),
        "warnings": warnings,
    }
