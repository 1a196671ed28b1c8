"""Counts what was made, for people, and writes report and marker."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

from ... import log
from ...files import inventory, write_json
from ...pictures import open_images
from ..chat.samples import CUT, TOO_LONG, UNSEEN
from ..images.writing import Shown
from ..judged.samples import LEFT_OUT as ANSWERS_LEFT_OUT
from ..judged.writing import Answered
from ..labelled.encoding import SHORTENED
from ..labelled.encoding import TOO_LONG as TARGETS
from ..labelled.shown import shown
from ..pairs.samples import LEFT_OUT
from ..pairs.writing import Unpadded
from ..preparation import Preparation
from ..prompts.writing import Prompts
from ..reading.counts import ReadCounts
from ..samples import Part, samples
from ..store import REPORT, Marker, TokensOf, key_of
from .dialogues import row_of

OTHERS = {
    UNSEEN: "dialogues are left out, as the turns that fit into training.sequenceLength have no image; to "
    "train on them raise it",
    SHORTENED: "texts are longer than training.sequenceLength and lost their end",
    TARGETS: "samples are left out, as their target is longer than training.sequenceLength; to train on them "
    "raise it",
}
"""What else is told of dialogues and samples that were not taken as they are."""
LESS_ANSWERS = " less maxNewTokens"


def write_marker(made: Preparation) -> None:
    """Leave the marker, the last file of the folder."""
    warnings = [*warnings_of(made), *(one for told in made.told_of_sets for one in told.pop("warnings"))]
    for sentence in warnings:
        log.get().warning(sentence)
    commits = {source.name: source.revision for source in made.sources if source.revision}
    report = {
        **counted(made),
        "vocabulary": int(made.tokenizer.get_vocab_size()),
        "unigramEntropy": made.entropy,
        "parameters": made.parameters,
        "python": platform.python_version(),
        "samples": sampled(made),
        **made.told_of_labels,
        **({"datasets": made.told_of_sets} if made.told_of_sets else {}),
        **({"commits": commits} if commits else {}),
        **({"warnings": warnings} if warnings else {}),
    }
    write_json(made.folder / REPORT, report)
    made.marker = Marker(
        key=key_of(made.job),
        dtype=str(made.train.dtype),
        sequences=made.train.rows,
        held_out=sum(made.used),
        unigram_entropy=made.entropy,
        eos=made.tokens.eos,
        tokens=made.tokens.to_json(),
        files=inventory(made.folder),
        report=report,
        sources=[source.rows for source in made.train.sources],
        stream=(
            TokensOf(made.set_name, made.token_set.digest, made.job.cache is not None).to_json()
            if made.token_set
            else None
        ),
        labels=made.labels,
        held_out_sources=made.used,
    )
    made.marker.write(made.folder)


def sampled(made: Preparation) -> list[list[Part]]:
    """Some rows to train on, or to measure, decoded; none of noise, which is no text."""
    if made.noise:
        return []

    def decode(ids: list[int]) -> str:
        return str(made.tokenizer.decode(ids, skip_special_tokens=False))

    view = (made.held_out if made.job.spec.evaluation.only else made.train).view
    if made.task.on_samples:
        length = made.job.spec.training.sequence_length
        return shown(view, made.task, made.labels, length, decode)
    pad = row_of(made)[1] if made.chat else None
    if made.judged:
        return samples(Answered(view), decode)
    if made.rewarded:
        return samples(Prompts(view), decode)
    if made.seen:
        how = open_images(made.folder).described
        return samples(Shown(view, how.token, how.tokens), decode)
    return samples(Unpadded(view) if made.pairs else view, decode, pad=pad)


def warnings_of(made: Preparation) -> list[str]:
    """What of the text did not become documents as it is, and what to do about it: a sentence each."""
    told: list[str] = []
    for number, (source, counts) in enumerate(zip(made.sources, made.counts, strict=True)):
        where = f"{source.field} {source.name}"
        told += torn_holes(made, number, where)
        if counts.files_cut and source.glance is None:
            percent = 100 * counts.bytes_not_read / max(1, counts.bytes_total)
            told.append(
                f"{where}: {percent:.0f} % of the text is not read ({counts.bytes_not_read:,} of "
                f"{counts.bytes_total:,} bytes, in {counts.files_cut} files); to read more raise "
                f"{source.limit_field}"
            )
        if counts.replaced:
            told.append(
                f"{where}: {counts.replaced} characters are no text and were replaced, the first in "
                f"{counts.first_replaced}"
            )
        if counts.dialogues[CUT]:
            what = "pairs" if made.pairs else "answers" if made.judged else "dialogues"
            what = "prompts" if made.rewarded else what
            told.append(
                f"{where}: {counts.dialogues[CUT]} {what} are longer than training.sequenceLength"
                f"{LESS_ANSWERS if made.rewarded else ''} and lost their oldest turns"
            )
        if made.pairs or made.judged:
            told += [
                f"{where}: {counts.dialogues[name]} {why}"
                for name, why in (ANSWERS_LEFT_OUT if made.judged else LEFT_OUT).items()
                if counts.dialogues[name]
            ]
        elif counts.dialogues[TOO_LONG]:
            what, less = ("prompts", LESS_ANSWERS) if made.rewarded else ("dialogues", "")
            told.append(
                f"{where}: {counts.dialogues[TOO_LONG]} {what} are left out, as their last turn alone is "
                f"longer than training.sequenceLength{less}; to train on them raise it"
            )
        told += [
            f"{where}: {counts.dialogues[name]} {why}"
            for name, why in OTHERS.items()
            if counts.dialogues[name]
        ]
        if counts.skipped:
            told.append(f"{where}: not read: {counts.examples}")
    return told


def torn_holes(made: Preparation, number: int, where: str) -> Iterator[str]:
    """A warning where documents are longer than rows, so that a hole is seldom beside what is around it."""
    written, length = made.train.sources[number], made.train.length
    if not made.counts[number].holes or not written.documents:
        return
    tokens = written.rows * length // written.documents
    if tokens > length:
        yield (
            f"{where}: a document has {tokens:,} tokens on average, and a row {length:,}, so most holes are "
            "in other rows than what is around them; raise training.sequenceLength, or remove "
            "dataset.fillInTheMiddle"
        )


def counted(made: Preparation) -> dict[str, Any]:
    """Documents, tokens, and what was read; of a mixture those of each source too."""
    train, held_out, used = made.train, made.held_out, made.used

    def numbers(documents: tuple[int, int], rows: tuple[int, int]) -> dict[str, Any]:
        pairs = zip(rows, (train, held_out), strict=True)
        tokens = [round(count * side.tokens_a_row) for count, side in pairs]
        return {
            name: dict(zip(("train", "heldOut"), pair, strict=True))
            for name, pair in (("documents", documents), ("tokens", tokens))
        }

    every = numbers((train.documents, held_out.documents), (train.rows, sum(used)))
    if made.counts:
        read = ReadCounts()
        for counts in made.counts:
            read.add(counts)
        every["read"] = read.report()
    if made.job.spec.dataset.mixture is None:
        return every
    sources = zip(made.job.spec.dataset.sources, train.sources, held_out.sources, used, strict=True)
    told = [
        {"name": source.name, **numbers((trained.documents, kept.documents), (trained.rows, count))}
        for source, trained, kept, count in sources
    ]
    for source, counts in zip(told, made.counts, strict=True):
        source["read"] = counts.report()
    return {**every, "sources": told}
