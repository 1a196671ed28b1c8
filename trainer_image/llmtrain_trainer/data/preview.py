"""A look at a job's data before anything is paid for: the first documents of each source, as they would be
read, encoded and marked. It runs the steps of the preparation on them, and leaves nothing in the output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile, ModelShape, Task, task_of
from llmtrain_api.families import FAMILIES

from ..models.location import folder_of
from ..token_marks import NOT_TRAINED
from .judged.writing import LABELS
from .preparation import Preparation
from .reading.decoding import escaped
from .reading.pieces import whole
from .reading.reader import text_sizes
from .rows import Side
from .samples import COUNT, as_text, in_terminal
from .sources import Text, read_of
from .steps.duplicates import find_duplicates
from .steps.fairness import write_penalty_pairs
from .steps.report import sampled, warnings_of
from .steps.rows import make_rows, require_enough
from .steps.sources import find_sources
from .steps.tokenizer import make_tokenizer

GLANCE = 1 << 20
"""Bytes of text of each source that are looked at."""
SHOWN = 1000
"""Characters of a sample that are printed."""
SHOWN_CLASSES = 10
"""Classes that are listed."""
COUNTED_ROWS = 256
"""Rows whose trained tokens are counted."""
HIDDEN_LATER = {
    Task.MASKED: "each step hides other tokens at random, and these alone are trained on",
    Task.SEQ2SEQ: "each step hides other spans at random, and these alone are trained on",
}
INFILLED_LATER = "each step hides other spans at random, and the whole text is written"
NOISE = "data          random tokens, made from training.seed: there is nothing to look at"


def look(job: JobFile, folder: Path) -> Preparation:
    """Prepare the beginning of each source.

    Args:
        job: whose data they are. Its output is neither read nor written.
        folder: for what the steps leave; does not exist yet, and is the caller's to delete.

    Raises:
        ConfigError: data that cannot be read, or, where all of it was looked at, too little of it.
    """
    folder.mkdir(parents=True)
    made = Preparation(job, folder, folder / "tokens", glance=GLANCE)
    for step in (find_sources, find_duplicates, make_tokenizer, make_rows):
        step(made)
    if folder_of(job) is not None:  # of a tokenizer that is trained, a glance makes another one
        write_penalty_pairs(made)
    if not any(counts.files_cut for counts in made.counts):
        require_enough(made)
    return made


def lines_of(made: Preparation, *, live: bool) -> list[str]:
    """What was seen, for a person: counts by reason, then samples with their mask.

    Args:
        made: what `look` gave.
        live: whether they go to a terminal, which shows the mask by brightness instead of brackets.
    """
    if made.noise:
        return [NOISE]
    lines: list[str] = []
    for number in range(len(made.sources)):
        lines += _source_lines(made, number)
    lines += [_tokenizer_line(made), *_row_lines(made)]
    lines += [f"note          {sentence}" for sentence in warnings_of(made)]
    return [*lines, *_sample_lines(made, live=live)]


def _source_lines(made: Preparation, number: int) -> Iterator[str]:
    source, counts, files = made.sources[number], made.counts[number], made.surveys[number].files
    less = counts.files_cut > 0 or len(files) > len(read_of(source, files)[0])
    part = f"the first {counts.bytes_read:,} bytes" if less else "all of it"
    size = f"{len(files):,} file{'' if len(files) == 1 else 's'}, {sum(file.size for file in files):,} bytes"
    yield f"{source.field:<13} {source.name}: {size}; looked at: {part}"
    train, held_out = (side.sources[number].documents for side in (made.train, made.held_out))
    yield f"  documents   {train + held_out:,}, of them {held_out:,} held out"
    changed = {
        "empty": counts.empty,
        **counts.cleaned,
        **counts.dialogues,
        **{f"changed by {name}": count for name, count in counts.changed.items()},
        **{f"{name} masked": count for name, count in counts.found.items()},
        **{f"with its middle last, as {order}": count for order, count in counts.holes.items()},
        "added with swapped terms": counts.added,
    }
    told = ", ".join(f"{count:,} x {reason}" for reason, count in sorted(changed.items()) if count)
    if told:
        yield f"  not as is   {told}"


def _tokenizer_line(made: Preparation) -> str:
    entries = f"{made.tokenizer.get_vocab_size():,} entries"
    if folder_of(made.job) is None:
        return f"tokenizer     trained on what was looked at alone: {entries}; the job's own will differ"
    return f"tokenizer     of the model: {entries}"


def _row_lines(made: Preparation) -> Iterator[str]:
    train, held_out = made.train, made.held_out
    if made.job.spec.evaluation.only:
        yield f"sequences     {held_out.rows:,} to measure, of {held_out.length:,} tokens"
        return
    trained = (
        f", {_trained(train):.0%} of their tokens trained on"
        if made.chat and train.rows and not made.rewarded
        else ""
    )
    if made.told_of_labels:
        yield from _label_lines(made)
    yield (
        f"sequences     {train.rows:,} to train on and {held_out.rows:,} held out, of {train.length:,} tokens"
        f"{trained}"
    )
    read = sum(counts.bytes_read for counts in made.counts)
    whole = sum(_text_bytes(source, number, made) for number, source in enumerate(made.sources))
    if read and whole > read:
        steps = train.rows * whole / read / made.job.spec.training.global_batch_size
        yield f"all of it     about {train.rows * whole // read:,} sequences: {steps:,.0f} steps an epoch"
    if not train.rows:
        yield f"warning       what was looked at does not fill one sequence of {train.length:,} tokens"
    if later := _hidden_later(task_of(made.job.spec, made.job.shape), made.job.shape):
        yield f"mask          {later}"


def _hidden_later(task: Task, shape: ModelShape) -> str | None:
    infills = task is Task.SEQ2SEQ and FAMILIES[shape.architecture].infills
    return INFILLED_LATER if infills else HIDDEN_LATER.get(task)


def _label_lines(made: Preparation) -> Iterator[str]:
    for name, counts in made.told_of_labels.get(LABELS, {}).items():
        yield f"{name:<13} {counts['train']:,} answers to train on, {counts['heldOut']:,} held out"
    classes = made.told_of_labels.get("classes", {})
    for name, counts in list(classes.items())[:SHOWN_CLASSES]:
        train, held_out = counts["train"], counts["heldOut"]
        yield f"class         {escaped(name)}: {train:,} to train on, {held_out:,} held out"
    if len(classes) > SHOWN_CLASSES:
        yield f"class         ... {len(classes) - SHOWN_CLASSES:,} more"
    if questions := made.told_of_labels.get("questions"):
        for side, what in (("train", "to train on"), ("heldOut", "held out")):
            told = questions[side]
            yield f"questions     {told['all']:,} {what}, {told['withoutAnswer']:,} of them without an answer"
    if numbers := made.told_of_labels.get("numbers"):
        yield f"numbers       mean {numbers['mean']:.4g}, standard deviation {numbers['deviation']:.4g}"


def _text_bytes(source: Text, number: int, made: Preparation) -> int:
    """Bytes of text that the job will read of a source, as far as sizes tell."""
    size = sum(text_sizes([whole(file) for file in made.surveys[number].files]))
    return size if source.limit is None else min(size, source.limit)


def _trained(side: Side) -> float:
    rows: Any = side.take(range(min(side.rows, COUNTED_ROWS)))[:, : side.length]
    return float((rows & NOT_TRAINED == 0).mean())


def _sample_lines(made: Preparation, *, live: bool) -> Iterator[str]:
    found = sampled(made)
    if not found:
        return
    how = "dim = read, not trained on" if live else "⟪ ⟫ = read, not trained on"
    yield f"samples       {min(len(found), COUNT)} of the sequences, each from its beginning ({how})"
    for number, sample in enumerate(found, 1):
        yield f"  {number}  {in_terminal(sample, SHOWN) if live else as_text(sample, SHOWN)}"
