"""Trains the tokenizer, or takes that of the model that training starts from."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import transformers

from llmtrain_api import task_of

from ...errors import ConfigError
from ...models.location import folder_of, named
from ...special_tokens import EOS
from ...tasks import OURS, require_tokens, special_names
from ..base_tokenizer import copy_tokenizer, cut_at_lines, open_tokenizer
from ..documents import documents_of
from ..preparation import Preparation
from ..sources import in_turn
from ..store import TOKENIZER
from ..tokenizer import lines, numbered, pieces, train_bpe


def make_tokenizer(made: Preparation) -> None:
    """Leave a tokenizer, its special tokens and how texts are cut for it.

    Raises:
        ConfigError: a model whose tokenizer does not fit it, or its task.
    """
    if (base := folder_of(made.job)) is None:
        _train(made)
    else:
        _take(made, base)


def _train(made: Preparation) -> None:
    """A tokenizer of all sources' training documents: in turn, as it stops at so many bytes."""
    job = made.job
    vocabulary, special = job.shape.vocabulary, special_names(task_of(job.spec, job.shape))
    if made.noise:
        made.tokenizer = numbered(vocabulary, special)
    else:
        progress = made.progress.begin("tokenizer")
        found = in_turn(documents_of(made.job, source, None, progress) for source in made.sources)
        texts = (document.text for document in found if not document.held_out)
        made.tokenizer = train_bpe(texts, vocabulary, special)
    made.tokens, made.cut = replace(OURS, eos=int(made.tokenizer.token_to_id(EOS))), pieces
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made.tokenizer, eos_token=EOS, bos_token=EOS, clean_up_tokenization_spaces=False
    ).save_pretrained(made.folder / TOKENIZER)


def _take(made: Preparation, base: Path) -> None:
    """The tokenizer of a model that exists."""
    job, where = made.job, named(made.job)
    made.tokenizer, made.tokens = open_tokenizer(base, where)
    require_tokens(made.tokens, task_of(job.spec, job.shape), where)
    entries, rows = 1 + max(made.tokenizer.get_vocab().values()), job.shape.vocabulary
    if entries > rows:
        raise ConfigError(
            f"{where}: its tokenizer has {entries} entries, and its embeddings have {rows} rows",
            "use the tokenizer that the model was trained with",
        )
    at = cut_at_lines(made.tokenizer)
    made.cut = partial(lines, at=at) if at else lambda text: [text]
    copy_tokenizer(base, made.folder / TOKENIZER)
