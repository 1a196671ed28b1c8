"""Trains the tokenizer, or takes that of the model that training starts from; once for a whole token set."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tokenizers
import transformers

from llmtrain_api import Task, task_of
from llmtrain_api.families import FAMILIES

from ...errors import ConfigError
from ...files import sync_tree
from ...models.location import folder_of, named
from ...special_tokens import CLS, EOS, HOLE, OURS, PAD, SEP, Tokens, hole_tokens, require_tokens
from ..base_tokenizer import PROCESSOR, copy_tokenizer, cut_at_lines, decoder_start, open_tokenizer
from ..chat.samples import dialogues_of
from ..chat.template import CHATML
from ..cleaning.duplicates.files import read_copies
from ..documents import Document, documents_of_unit
from ..images.template import IMAGE_CHATML
from ..labelled.encoding import processor
from ..preparation import Preparation
from ..reading.counts import ReadCounts
from ..reading.reader import Progress
from ..sources import in_turn
from ..store import TOKENIZER
from ..tokenizer import TRAINERS, numbered
from ..units.work import ENCODER
from .duplicates import dialogues_name
from .sources import special_of

TOKENIZER_FILE = "tokenizer.json"
SEGMENTS = "token_type_ids"
TELLS_TEXTS_APART = ("BertForMaskedLM",)
"""Architectures that are told which of two texts a token is of."""


def make_tokenizer(made: Preparation) -> None:
    """Leave a tokenizer, its special tokens and how texts are cut for it.

    Raises:
        ConfigError: a model whose tokenizer does not fit it, or its task.
    """
    if (base := folder_of(made.job)) is None:
        _train(made)
    else:
        _take(made, base)
    put_encoder(made)


def put_encoder(made: Preparation) -> None:
    """Let the processes that encode text have the tokenizer, where there are any."""
    if not made.noise and not made.whole_rows and not (made.set_folder / ENCODER).exists():
        _put(made.set_folder / ENCODER, lambda path: made.tokenizer.save(str(path)))


def _train(made: Preparation) -> None:
    """A tokenizer of all sources' training documents: in turn, as it stops at so many bytes."""
    job = made.job
    vocabulary, special, train = job.shape.vocabulary, special_of(job), TRAINERS[job.spec.model.tokenizer]
    holes = job.spec.dataset.fill_in_the_middle is not None
    if made.noise:
        made.tokenizer = numbered(vocabulary, special)
        _save(made.tokenizer, made.folder / TOKENIZER)
    elif made.whole_rows:
        progress = made.progress.begin("tokenizer")
        dialogues = in_turn(
            dialogues_of(job, source, None, progress, _copies(made, dialogues_name(number)))
            for number, source in enumerate(made.sources)
        )
        texts = (text for held_out, one in dialogues if not held_out for text in one.contents)
        made.tokenizer = train(texts, vocabulary, special)
        if made.task.headed and made.task.on_samples:
            made.tokenizer.post_processor = processor(made.tokenizer)
        if made.task.on_samples:
            _save_for_samples(made)
        else:
            template = job.spec.dataset.chat_template or (IMAGE_CHATML if made.seen else CHATML)
            # no text has it, so that a head finds what stands before it
            filler = EOS if made.task.headed else None
            _save(made.tokenizer, made.folder / TOKENIZER, special, template, filler)
    else:
        kept = made.set_folder / TOKENIZER
        if not (kept / TOKENIZER_FILE).exists():
            trained = _trained(made, vocabulary, special)
            _put(kept, lambda path: _save(trained, path, HOLE if holes else ()))
        shutil.copytree(kept, made.folder / TOKENIZER)
        made.tokenizer = tokenizers.Tokenizer.from_file(str(kept / TOKENIZER_FILE))
    made.tokens, made.cut = replace(OURS, eos=int(made.tokenizer.token_to_id(EOS))), "pieces"
    if holes:
        made.tokens = replace(made.tokens, hole=hole_tokens(made.tokenizer, "the tokenizer of this job"))
    if made.task.on_samples and not made.noise:
        pad = int(made.tokenizer.token_to_id(PAD))
        made.tokens = Tokens(made.tokens.eos, pad=pad, start=pad, segments=_segments(made))
    elif made.task is Task.REWARD:
        made.tokens = replace(made.tokens, pad=made.tokens.eos)


def _trained(made: Preparation, vocabulary: int, special: list[str]) -> Any:
    train, progress = TRAINERS[made.job.spec.model.tokenizer], made.progress.begin("tokenizer")
    found = in_turn(_documents(made, number, progress) for number in range(len(made.sources)))
    texts = (document.text for document in found if not document.held_out)
    return train(texts, vocabulary, special)


def _documents(made: Preparation, number: int, progress: Progress) -> Iterator[Document]:
    for unit in made.units[number]:
        copies = _copies(made, unit.name)
        yield from documents_of_unit(made.job, made.sources[number], unit, ReadCounts(), progress, copies)


def _copies(made: Preparation, name: str) -> Any:
    return read_copies(made.copies, name) if made.copies else None


def _take(made: Preparation, base: Path) -> None:
    """The tokenizer of a model that exists."""
    job, where = made.job, named(made.job)
    made.tokenizer, made.tokens = open_tokenizer(base, where)
    infills = FAMILIES[job.shape.architecture].infills
    require_tokens(made.tokens, task_of(job.spec, job.shape), where, infills=infills)
    if made.task is Task.SEQ2SEQ and infills:
        made.tokens = replace(made.tokens, start=decoder_start(base))
    entries, rows = 1 + max(made.tokenizer.get_vocab().values()), job.shape.vocabulary
    if entries > rows:
        raise ConfigError(
            f"{where}: its tokenizer has {entries} entries, and its embeddings have {rows} rows",
            "use the tokenizer that the model was trained with",
        )
    made.cut = cut_at_lines(made.tokenizer)
    if job.spec.dataset.fill_in_the_middle:
        made.tokens = replace(made.tokens, hole=hole_tokens(made.tokenizer, where))
    copy_tokenizer(base, made.folder / TOKENIZER, PROCESSOR if made.seen else ())
    if made.task.on_samples or made.task is Task.REWARD:
        made.tokens = _padding(made, base)
    if template := job.spec.dataset.chat_template:
        whole = transformers.AutoTokenizer.from_pretrained(made.folder / TOKENIZER, local_files_only=True)
        whole.chat_template = template
        whole.save_pretrained(made.folder / TOKENIZER)


def _padding(made: Preparation, base: Path) -> Tokens:
    """The tokens of a base for samples, and for numbers of answers. Where it has none that fills up, the one
    that ends a text does, and the tokenizer says so to whoever uses it."""
    whole = transformers.AutoTokenizer.from_pretrained(made.folder / TOKENIZER, local_files_only=True)
    if whole.pad_token_id is None:
        whole.pad_token = whole.eos_token or whole.sep_token
        whole.save_pretrained(made.folder / TOKENIZER)
    told = SEGMENTS in whole.model_input_names and _segments(made)
    pad = int(whole.pad_token_id)
    start = decoder_start(base)
    return replace(made.tokens, pad=pad, start=pad if start is None else start, segments=told)


def _segments(made: Preparation) -> bool:
    return made.job.shape.architecture in TELLS_TEXTS_APART and made.task.headed


def _save_for_samples(made: Preparation) -> None:
    """A tokenizer that fills up, and for a head marks begin and end, so that anybody's batches are ours."""
    inputs = ["input_ids", *([SEGMENTS] if _segments(made) else []), "attention_mask"]
    marks = {"cls_token": CLS, "sep_token": SEP} if made.task.headed else {}
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made.tokenizer,
        eos_token=EOS,
        pad_token=PAD,
        model_input_names=inputs,
        model_max_length=made.job.spec.training.sequence_length,
        clean_up_tokenization_spaces=False,
        **marks,
    )
    whole.save_pretrained(made.folder / TOKENIZER)


def _put(path: Path, write: Callable[[Path], None]) -> None:
    """Make a file or a folder where another job may make the same: whole or not at all."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    write(partial)
    if partial.is_dir():
        sync_tree(partial)
    try:
        partial.rename(path)
    except OSError:
        if not path.exists():
            raise
        shutil.rmtree(partial, ignore_errors=True)


def _save(
    tokenizer: Any,
    folder: Path,
    special: Sequence[str] = (),
    template: str | None = None,
    pad: str | None = None,
) -> None:
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=EOS,
        bos_token=EOS,
        pad_token=pad,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=list(special),
    )
    whole.chat_template = template
    whole.save_pretrained(folder)
