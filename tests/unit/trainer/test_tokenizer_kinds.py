"""What a tokenizer of each kind, trained here, does with text that nobody expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers
from harness.builders import job
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api import TokenizerKind
from llmtrain_trainer.data.steps.sources import tokenizer_key
from llmtrain_trainer.data.store import key_of
from llmtrain_trainer.data.tokenizer import GOES_ON, TRAINERS, WORD, encoded, train_word_pieces
from llmtrain_trainer.special_tokens import EOS

TEXTS = [f"the river counts {number} lamps, they're über <b>it</b>\n\n\tagain " * 5 for number in range(50)]
MASK = "<|mask|>"
HOSTILE = {
    "special tokens": f"a text ends with {EOS}, {EOS}{MASK} and goes on",
    "marks of pieces": f"## ##lamp {GOES_ON} {GOES_ON}lamp lamp{GOES_ON} \u2581lamp \u0120lamp [UNK] [CLS]",
    "headings, which are pieces of BERT's": "### A river\n##! a lamp\n###",
    "controls": "".join(map(chr, range(32))) + "\x7f\x85\u2028\ufeff\ufffd",
    "letters of the world": "\u0928\u092e\u0938\u094d\u0924\u0947 \u05e9\u05dc\u05d5\u05dd \u4f60\u597d "
    "\U0001f937\u200d\u2640\ufe0f \U0010ffff e\u0301 \u00e9 \u202eabc",
    "space": "  a   b\n\n\n\t c  ",
    "a word without an end": "x" * (40 * WORD) + "\u00e9" * (3 * WORD),
}


@pytest.fixture(scope="module", params=list(TokenizerKind))
def trained(request: pytest.FixtureRequest) -> Any:
    return TRAINERS[request.param](TEXTS, 620, [MASK])


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_text_comes_back_and_nothing_of_it_is_unknown_or_special(trained: Any, name: str) -> None:
    text = HOSTILE[name]
    [(_, ids)] = encoded([(None, text)], trained)
    assert min(ids) > trained.token_to_id(MASK) == 1
    assert trained.decode(ids.tolist(), skip_special_tokens=False) == text
    assert trained.decode(ids.tolist()) == text, "nothing of a text is special"


@given(st.text(max_size=80))
def test_any_text_comes_back(trained: Any, text: str) -> None:
    ids = trained.encode(text, add_special_tokens=False).ids
    assert 0 not in ids
    assert trained.decode(ids, skip_special_tokens=False) == text


def test_every_byte_is_known_where_nothing_was_learned() -> None:
    made = train_word_pieces([], 600, [])
    text = "".join(map(chr, range(256))) + "\u0928\U0001f937"
    assert made.decode(made.encode(text).ids) == text
    assert 0 not in made.encode(text).ids


def test_special_tokens_have_the_first_ids_and_the_vocabulary_its_size(trained: Any) -> None:
    assert [trained.id_to_token(number) for number in range(2)] == [EOS, MASK]
    assert trained.get_vocab_size() <= 620
    assert sorted(trained.get_vocab().values()) == list(range(trained.get_vocab_size()))


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_the_same_text_makes_the_same_bytes(kind: TokenizerKind) -> None:
    made = {TRAINERS[kind](TEXTS, 620, [MASK]).to_str() for _ in range(4)}
    assert len(made) == 1


def test_pieces_of_words_are_learned() -> None:
    made = train_word_pieces(TEXTS, 2000, [])
    assert made.encode(" river lamps").tokens == ["\u0120river", "\u0120lamps"]
    assert made.encode("xlamps").tokens[0] == "x"
    assert all(one.startswith(GOES_ON) for one in made.encode("xlamps").tokens[1:])


def test_transformers_reads_it(trained: Any, tmp_path: Path) -> None:
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained, eos_token=EOS, clean_up_tokenization_spaces=False
    )
    whole.save_pretrained(tmp_path)
    read = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for name, text in HOSTILE.items():
        if name != "special tokens":  # to others they are what they spell
            assert read.decode(read(text)["input_ids"]) == text


def test_the_kind_is_in_the_keys_and_the_default_changes_none(tmp_path: Path) -> None:
    plain, bpe, pieces = (
        job(tmp_path, model={"vocabSize": 700, **more})
        for more in ({}, {"tokenizerKind": "bpe"}, {"tokenizerKind": "wordPiece"})
    )
    assert "model.tokenizerKind" not in key_of(plain)
    assert key_of(bpe) == key_of(plain)
    assert key_of(pieces) == key_of(plain) | {"model.tokenizerKind": "wordPiece"}
    assert set(tokenizer_key(plain)) == {"trained", "special"}
    assert tokenizer_key(bpe) == tokenizer_key(plain)
    assert tokenizer_key(pieces) == tokenizer_key(plain) | {"kind": "wordPiece"}
