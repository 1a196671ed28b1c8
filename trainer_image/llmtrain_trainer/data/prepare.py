"""Makes the data folder of a job, step by step. Once a job, on node 0.

Documents are read, cleaned and split by one pipeline (`documents.documents_of`), which the tokenizer's step
and the rows' step both read through. A cleaning step is one file and one row in `cleaning`.
"""

from __future__ import annotations

from pathlib import Path

from llmtrain_api import JobFile

from .. import log
from ..files import sync_tree
from .preparation import Preparation, Step
from .progress import ProgressLog
from .steps.disk import full_disk_named
from .steps.duplicates import find_duplicates
from .steps.fairness import write_penalty_pairs
from .steps.held_out import choose_held_out
from .steps.initial import write_initial_model
from .steps.report import write_marker
from .steps.rows import write_rows
from .steps.sets import write_sets
from .steps.sources import find_sources
from .steps.tokenizer import make_tokenizer
from .store import Marker, tokens_root

STEPS = (
    Step("sources", (), ("sources", "surveys", "units", "bytes_total", "set_key"), find_sources),
    Step("duplicates", ("sources", "units", "set_key"), ("copies",), find_duplicates),
    Step(
        "tokenizer",
        ("sources", "units", "bytes_total", "set_key", "copies"),
        ("tokenizer", "tokens", "cut"),
        make_tokenizer,
    ),
    Step("pairs of sentences", ("tokens",), (), write_penalty_pairs),
    Step(
        "rows",
        ("sources", "surveys", "units", "bytes_total", "set_key", "copies", "tokenizer", "tokens", "cut"),
        ("train", "held_out", "counts", "token_set", "labels", "told_of_labels"),
        write_rows,
    ),
    Step("held-out", ("held_out",), ("used", "entropy"), choose_held_out),
    Step("sets", ("tokenizer", "tokens", "cut", "labels"), ("told_of_sets",), write_sets),
    Step("initial model", ("tokens", "labels"), ("parameters",), write_initial_model),
    Step(
        "report",
        (
            *("tokenizer", "tokens", "train", "held_out", "counts", "labels", "told_of_labels"),
            *("used", "entropy", "parameters", "told_of_sets"),
        ),
        ("marker",),
        write_marker,
    ),
)


def prepare(job: JobFile, folder: Path, progress: Path | None = None, tokens: Path | None = None) -> Marker:
    """Fill an empty folder; the marker is the last file of it.

    Args:
        job: whose data they are.
        folder: does not exist yet.
        progress: the file that says how far it is, for the launcher; None for nobody.
        tokens: folder of token sets; None for the one beside the data.

    Raises:
        ConfigError: data that cannot be read, too little text for one training sequence of each source and
            one held-out sequence, or a full disk.
    """
    folder.mkdir(parents=True)
    made = Preparation(job, folder, tokens or tokens_root(job, folder), ProgressLog(progress))
    with full_disk_named(folder):
        for step in STEPS:
            log.get().debug("data preparation", step=step.name)
            step.run(made)
            made.progress.end()
        sync_tree(folder)
    return made.marker
