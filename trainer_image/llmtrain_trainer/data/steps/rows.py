"""Encodes all documents and packs them into rows of fixed length."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from llmtrain_api import JobFile

from ...errors import ConfigError
from ..chat.packing import PackedWriter
from ..images.writing import ImageRowWriter
from ..judged.writing import JudgedWriter
from ..labelled.writer import SampleWriter
from ..pairs.writing import PairWriter
from ..preparation import Preparation
from ..prompts.writing import PromptWriter
from ..reading.counts import ReadCounts
from ..reading.reader import require_text
from ..reading.survey import Survey
from ..rows import Ids, SequenceWriter, Side, Written, closed_if_it_fails
from ..sources import BUILTIN_BYTES, named
from ..store import TRAIN
from ..units.pool import make_units
from ..units.stream import rows_of_set
from ..units.token_set import TokenSet, UnitTokens, read_set
from ..units.work import SIDES, Made, Work, read_all
from .dialogues import row_of, write_dialogues
from .images import write_seen
from .judged import write_judged
from .pairs import write_pairs
from .prompts import write_prompts
from .samples import NUMBER, write_samples

HELD_OUT_ROWS = "heldout.bin"
NOISE_DOCUMENT = 1024
BYTES_A_NOISE_TOKEN = 4
FEW_DOCUMENTS = 50
EXPECTED = 20
"""Documents expected on a side: then it has none once in 10^8 times, unless they are copies."""


def write_rows(made: Preparation) -> None:
    """Leave the rows of both sides, and what was read.

    Raises:
        ConfigError: too little text.
    """
    make_rows(made)
    require_enough(made)


def make_rows(made: Preparation) -> None:
    """Leave the rows of both sides, and what was read, however little it is."""
    made.labels, made.told_of_labels = [], {}
    if made.noise:
        _write_noise(made)
    elif made.chat:
        _write_dialogues(made)
    elif made.task.on_samples:
        _write_samples(made)
    else:
        _write_tokens(made)


def _write_noise(made: Preparation) -> None:
    length = made.job.spec.training.sequence_length
    writers = [
        SequenceWriter(made.folder / name, length, made.dtype, made.tokens.eos)
        for name in (TRAIN, HELD_OUT_ROWS)
    ]
    for held_out, ids in _noise(made.job):
        writers[held_out].add(ids)
    for writer in writers:
        writer.end_source()
    made.train, made.held_out = (writer.side() for writer in writers)
    made.counts, made.token_set = [], None


def _write_dialogues(made: Preparation) -> None:
    files, row = [made.folder / name for name in (TRAIN, HELD_OUT_ROWS)], row_of(made)
    writers: Sequence[SequenceWriter]
    if made.pairs:
        writers = pairs = [PairWriter(file, *row) for file in files]
        with closed_if_it_fails(writers):
            made.counts = write_pairs(made, *pairs)
        made.labels = [NUMBER] if made.task.headed else []
    elif made.judged:
        writers = answers = [JudgedWriter(file, *row) for file in files]
        with closed_if_it_fails(writers):
            made.counts = write_judged(made, *answers)
    elif made.rewarded:
        length = row[0] - made.job.spec.answer_tokens
        writers = prompts = [PromptWriter(file, length, row[1]) for file in files]
        with closed_if_it_fails(writers):
            made.counts = write_prompts(made, *prompts)
    elif made.seen:
        writers = seen = [ImageRowWriter(file, *row) for file in files]
        with closed_if_it_fails(writers):
            made.counts = write_seen(made, *seen)
    else:
        writers = packed = [PackedWriter(file, *row) for file in files]
        with closed_if_it_fails(writers):
            made.counts = write_dialogues(made, *packed)
    made.token_set = None
    if made.copies is not None:
        shutil.rmtree(made.copies)
    made.train, made.held_out = (writer.side() for writer in writers)
    _require_known(made, max(writer.highest for writer in writers))


def _write_samples(made: Preparation) -> None:
    length = made.job.spec.training.sequence_length
    writers = [SampleWriter(made.folder / name, made.task, length) for name in (TRAIN, HELD_OUT_ROWS)]
    with closed_if_it_fails(writers):
        made.counts = write_samples(made, *writers)
    made.token_set = None
    if made.copies is not None:
        shutil.rmtree(made.copies)
    _require_known(made, max(writer.highest for writer in writers))
    made.train, made.held_out = (writer.side() for writer in writers)


def _write_tokens(made: Preparation) -> None:
    """The units of all sources, those that are not there yet, and the set that they make up."""
    folder = made.set_folder
    units = [unit for units in made.units for unit in units]
    found = read_set(folder)
    work = Work(made.job, tuple(made.sources), folder, made.set_name, made.dtype, made.tokens, made.cut)
    if found is None or found.torn(folder):
        make_units(work, units, made.progress.begin("rows"))
    came_to = list(read_all(work, units))
    _require_known(made, max(one.highest for one in came_to))
    of_source = iter(zip(units, came_to, strict=True))
    sources = [list(islice(of_source, len(units))) for units in made.units]
    made.counts = [
        _counts(survey, [one for _, one in pairs])
        for survey, pairs in zip(made.surveys, sources, strict=True)
    ]
    for source, counts in zip(made.sources, made.counts, strict=True):
        with named(source):
            require_text(counts)
    made.token_set = TokenSet(
        made.set_key,
        made.dtype,
        made.tokens.eos,
        [[UnitTokens(u.name, m.documents, m.tokens, m.sha256) for u, m in pairs] for pairs in sources],
        [counts.to_json() for counts in made.counts],
    )
    if found is None or found != made.token_set:
        made.token_set.write(folder)
    made.train, made.held_out = (_side(made, number) for number in range(len(SIDES)))


def _side(made: Preparation, number: int) -> Side:
    found, length = made.token_set, made.job.spec.training.sequence_length
    assert found is not None, "text has a token set"
    view = rows_of_set(found, made.set_folder, SIDES[number], length)
    documents = [sum(unit.documents[number] for unit in units) for units in found.sources]
    sources = [Written(*pair) for pair in zip(documents, view.of_sources, strict=True)]
    return Side(view, sources, length, view.dtype)


def _counts(survey: Survey, units: list[Made]) -> ReadCounts:
    counts = ReadCounts(skipped=Counter(survey.skipped), examples=survey.skipped_text())
    for unit in units:
        counts.add(ReadCounts.from_json(unit.counts))
    return counts


def _require_known(made: Preparation, highest: int) -> None:
    vocabulary = made.job.shape.vocabulary
    if highest >= vocabulary:
        raise ConfigError(f"token id {highest} does not fit the model's vocabulary of {vocabulary}")


def require_enough(made: Preparation) -> None:
    """Each source must fill a training row, and all together one to hold out.

    Raises:
        ConfigError: too little text.
    """
    spec, train, held_out = made.job.spec, made.train, made.held_out
    rows = train.sources if not spec.evaluation.only else []
    empty = next((number for number, written in enumerate(rows) if not written.rows), None)
    if empty is None and held_out.rows:
        return
    one = spec.dataset.mixture is None
    name = spec.dataset.source_names if empty is None else spec.dataset.sources[empty].name
    sides = [side.sources if empty is None else [side.sources[empty]] for side in (train, held_out)]
    missing, change = ("hold out", "raise") if empty is None else ("train on", "lower")
    cut = any(counts.files_cut for counts in made.counts)
    limit = f"raise {'dataset.maxBytes' if one else 'its maxBytes'}, " if cut else ""
    of_sides = [sum(source.documents for source in side) for side in sides]
    documents = sum(of_sides)
    many = f"{documents} document{'s' * (documents != 1)}"
    if made.task.on_samples or made.rewarded or made.seen:
        what = "prompt" if made.rewarded else "dialogue" if made.seen else "sample"
        share = "name another file" if spec.evaluation.only else f"{change} dataset.heldOutFraction"
        raise ConfigError(
            f"{'dataset' if one else 'dataset.mixture'} {name} is too small: no {what} to {missing} in "
            f"{documents}",
            f"add {what}s, {limit}or {share}",
        )
    if spec.evaluation.only:
        raise ConfigError(
            f"{'dataset' if one else 'dataset.mixture'} {name} is too small: no sequence of "
            f"{spec.training.sequence_length} tokens to measure in {many}",
            f"add text, {limit}or lower training.sequenceLength",
        )
    more = _why_on_one_side(of_sides, spec.dataset.held_out_fraction, to_train=empty is not None)
    raise ConfigError(
        f"{'dataset' if one else 'dataset.mixture'} {name} is too small: no sequence of "
        f"{spec.training.sequence_length} tokens to {missing} in {many}{more}",
        f"add text, {limit}{change} dataset.heldOutFraction, or lower training.sequenceLength",
    )


def _why_on_one_side(documents: Sequence[int], fraction: float, *, to_train: bool) -> str:
    """What makes all documents fall on one side, where that shows.

    Args:
        documents: to train on, and held out.
        fraction: of them that is asked to be held out.
        to_train: whether rows to train on are missing, rather than rows to hold out.
    """
    if min(documents) == 0 and sum(documents) * min(fraction, 1 - fraction) > EXPECTED:
        return "; they are all on one side, as copies of one text are"
    few = not to_train and sum(documents) < FEW_DOCUMENTS
    return "; a document is held out as a whole, so make more of them" if few else ""


def _noise(job: JobFile) -> Iterator[tuple[bool, Ids]]:
    """Uniform ids. Nothing can be learnt from them, so a held-out loss below ln(vocabulary) is a leak."""
    generator = np.random.default_rng(job.spec.training.seed)
    every = max(2, math.floor(1 / job.spec.dataset.held_out_fraction))
    limit = job.spec.dataset.max_bytes or BUILTIN_BYTES
    for number in range(max(every, limit // (NOISE_DOCUMENT * BYTES_A_NOISE_TOKEN))):
        yield number % every == 0, generator.integers(0, job.shape.vocabulary, NOISE_DOCUMENT)
