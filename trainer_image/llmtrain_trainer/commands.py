"""Verbs that are not training: one process each, from files to files."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from llmtrain_api import JobFile

from . import log
from .errors import ConfigError
from .imports import quick_imports
from .job_file import read_job
from .storage.start_marker import Start, read_start


def prepare(arguments: argparse.Namespace) -> int:
    """Make the data folder of a job."""
    job = read_job(arguments.job)
    sets = (one.as_source for one in job.spec.evaluation.datasets)
    if any(source.on_hub for source in (*job.spec.dataset.sources, *sets)):
        # read once, when the hub's library is imported; all else of the trainer never asks the hub
        os.environ.pop("HF_HUB_OFFLINE", None)
    with quick_imports():
        from .data.prepare import prepare as make

    log.configure(job=job.job.name, attempt=job.attempt)
    tokens, progress = (Path(name) if name else None for name in (arguments.tokens, arguments.progress))
    marker = make(job, Path(arguments.into), progress, tokens)
    log.get().info("data prepared", **marker.told)
    return 0


def preview(arguments: argparse.Namespace) -> int:
    """Print what the first documents of a job's data come to; what it makes is private to it, and goes."""
    from .pretrained.access import go_online

    go_online()
    job = read_job(arguments.job)
    with quick_imports():
        from .data.preview import lines_of, look
    from .models.location import folder_of, named
    from .pretrained.fetch import fetch as copy
    from .pretrained.remote import remote_of

    log.silence()
    base = folder_of(job)
    if base is not None and job.base is None:
        revision = job.model.revision if job.model else job.spec.model.revision
        copy(remote_of(job.spec.model.name, revision, named(job)), base, weights=False)
    with tempfile.TemporaryDirectory() as private:
        for line in lines_of(look(job, Path(private) / "data"), live=sys.stdout.isatty()):
            print(line)
    return 0


def fetch(arguments: argparse.Namespace) -> int:
    """Copy the model of a job into its scratch, in the commit that it is pinned to."""
    from .pretrained.access import go_online

    go_online()
    from .models.location import folder_of, named
    from .pretrained.fetch import fetch as copy
    from .pretrained.remote import remote_of

    job = read_job(arguments.job)
    log.configure(job=job.job.name, attempt=job.attempt)
    folder = folder_of(job)
    if folder is None or job.base is not None:
        raise ConfigError(f"{named(job)} is not on a hub or in a bucket: there is nothing to fetch")
    revision = job.model.revision if job.model else job.spec.model.revision
    weights = job.spec.model.pretrained and not arguments.without_weights
    copy(remote_of(job.spec.model.name, revision, named(job)), folder, weights=weights)
    return 0


def _start_of(job: JobFile) -> Start:
    """What an attempt goes on from, once that is published."""
    start = read_start(job)
    if start is None:
        raise ConfigError("no attempt-K.ready marker in the output folder", "run `launch`")
    return start


def export(arguments: argparse.Namespace) -> int:
    """Export a trained job and print its results."""
    with quick_imports():
        from .export.export import export as make

    job = read_job(arguments.job)
    log.configure(job=job.job.name, attempt=job.attempt)
    start = _start_of(job)
    make(job, start)
    return 0


def publish(arguments: argparse.Namespace) -> int:
    """Push the export of a job to where it says, and leave what became of that."""
    from .export.publish import prepare_process
    from .export.publish import publish as push

    prepare_process()
    job = read_job(arguments.job)
    log.configure(job=job.job.name, attempt=job.attempt)
    push(job, _start_of(job))
    return 0


def tasks(arguments: argparse.Namespace) -> int:
    """Measure an exported model on tasks of the lm-evaluation-harness, and leave what became of that."""
    from .export.harness import measure_tasks

    job = read_job(arguments.job)
    log.configure(job=job.job.name, attempt=job.attempt)
    measure_tasks(job, _start_of(job))
    return 0


def measure(arguments: argparse.Namespace) -> int:
    """Measure the model of a job as it is."""
    with quick_imports():
        from .export.measure import measure as make

    job = read_job(arguments.job)
    log.configure(job=job.job.name, attempt=job.attempt)
    start = _start_of(job)
    make(job, start)
    return 0


def track(arguments: argparse.Namespace) -> int:
    """Tell one tracker of experiments what a job writes, until the other end of stdin is closed."""
    from .tracking.follow import Follower, tracking_folder, until_stdin_ends
    from .tracking.tracker import open_tracker, run_of

    job = read_job(arguments.job)
    log.configure(job=job.job.name, attempt=job.attempt)
    start = _start_of(job)
    asked = job.spec.telemetry.trackers[arguments.number]
    folder = tracking_folder(start.output, arguments.number, asked.kind)
    folder.mkdir(parents=True, exist_ok=True)
    run = run_of(job, asked, folder)
    follower = Follower(job, start.output, run, lambda: open_tracker(asked.kind, run), until_stdin_ends)
    return 0 if follower.follow() else 1


def evaluate(arguments: argparse.Namespace) -> int:
    """Print loss and perplexity of an exported folder on held-out sequences."""
    import torch

    from llmtrain_api import Task
    from llmtrain_api.families import FAMILIES

    from .batch import BatchPlan
    from .data.base_tokenizer import tokens_of
    from .data.loader import held_out_passes, open_rows
    from .evaluate.generate import open_folder
    from .evaluate.heldout import ALONE, loss_sum
    from .floats import finite, perplexity
    from .tasks import encoder_of

    asked = Task(arguments.task)
    model, tokenizer = open_folder(Path(arguments.folder), asked, torch.float32)
    rows = open_rows(Path(arguments.heldout))
    special = tokens_of(tokenizer, arguments.folder)
    family = FAMILIES.get(type(model).__name__)
    if infills := family is not None and family.infills:
        special = replace(special, start=model.config.decoder_start_token_id)
    task = encoder_of(asked, model.config.vocab_size, special, documents=arguments.documents, infills=infills)
    plan = BatchPlan(len(rows), arguments.batch, 1)
    passes = held_out_passes(rows, plan, ALONE, task, torch.device("cpu"))
    losses, tokens = loss_sum(model, passes)
    loss = losses / tokens
    result = {"loss": finite(loss), "perplexity": finite(perplexity(loss)), "tokens": tokens}
    print(json.dumps(result, allow_nan=False))
    return 0
