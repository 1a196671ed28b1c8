"""Trains the tokenizer, once for all jobs that use the token set."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tokenizers
import transformers

from llmtrain_api import task_of

from ...files import sync_tree
from ...tasks import special_tokens
from ..documents import Document, documents_of_unit
from ..preparation import Preparation, ProgressLog
from ..reading.counts import ReadCounts
from ..sources import in_turn
from ..store import TOKENIZER
from ..tokenizer import EOS, numbered, train_bpe
from ..units.work import TOKENIZER_FILE


def make_tokenizer(made: Preparation) -> None:
    """Leave a tokenizer of all sources' training documents: in turn, as it stops at so many bytes."""
    job = made.job
    vocabulary, special = job.shape.vocabulary, special_tokens(task_of(job.spec, job.shape))
    if made.noise:
        made.tokenizer = numbered(vocabulary, special)
        _save(made.tokenizer, made.folder / TOKENIZER)
    else:
        kept = made.set_folder / TOKENIZER
        if not (kept / TOKENIZER_FILE).exists():
            _put(_trained(made, vocabulary, special), kept)
        shutil.copytree(kept, made.folder / TOKENIZER)
        made.tokenizer = tokenizers.Tokenizer.from_file(str(kept / TOKENIZER_FILE))
    made.eos = int(made.tokenizer.token_to_id(EOS))


def _trained(made: Preparation, vocabulary: int, special: list[str]) -> Any:
    progress = ProgressLog("tokenizer", made.bytes_total, file=made.progress)
    found = in_turn(_documents(made, number, progress) for number in range(len(made.sources)))
    texts = (document.text for document in found if not document.held_out)
    return train_bpe(texts, vocabulary, special)


def _documents(made: Preparation, number: int, progress: ProgressLog) -> Iterator[Document]:
    for unit in made.units[number]:
        yield from documents_of_unit(made.job, made.sources[number], unit, ReadCounts(), progress)


def _put(tokenizer: Any, folder: Path) -> None:
    """Save a tokenizer where another job may do the same: whole or not at all."""
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _save(tokenizer, partial)
    sync_tree(partial)
    try:
        partial.rename(folder)
    except OSError:
        if not (folder / TOKENIZER_FILE).exists():
            raise
        shutil.rmtree(partial, ignore_errors=True)


def _save(tokenizer: Any, folder: Path) -> None:
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, bos_token=EOS, clean_up_tokenization_spaces=False
    ).save_pretrained(folder)
