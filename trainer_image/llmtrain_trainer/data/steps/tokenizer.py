"""Trains the tokenizer."""

from __future__ import annotations

import transformers

from llmtrain_api import task_of

from ...tasks import special_tokens
from ..documents import documents_of
from ..preparation import Preparation, ProgressLog
from ..sources import in_turn
from ..store import TOKENIZER
from ..tokenizer import EOS, numbered, train_bpe


def make_tokenizer(made: Preparation) -> None:
    """Leave a tokenizer of all sources' training documents: in turn, as it stops at so many bytes."""
    job = made.job
    vocabulary, special = job.shape.vocabulary, special_tokens(task_of(job.spec, job.shape))
    if made.noise:
        made.tokenizer = numbered(vocabulary, special)
    else:
        progress = ProgressLog("tokenizer", made.bytes_total)
        found = in_turn(documents_of(made.job, source, None, progress) for source in made.sources)
        texts = (document.text for document in found if not document.held_out)
        made.tokenizer = train_bpe(texts, vocabulary, special)
    made.eos = int(made.tokenizer.token_to_id(EOS))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made.tokenizer, eos_token=EOS, bos_token=EOS, clean_up_tokenization_spaces=False
    ).save_pretrained(made.folder / TOKENIZER)
