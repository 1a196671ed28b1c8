"""What a tokenizer of each kind, trained here, does with text that nobody expects."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers
from harness.builders import job
from harness.children import environment
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api import Task, TokenizerKind
from llmtrain_trainer.data import tokenizer
from llmtrain_trainer.data.steps.sources import tokenizer_key
from llmtrain_trainer.data.store import key_of
from llmtrain_trainer.data.tokenizer import (
    GOES_ON,
    TRAINERS,
    WORD,
    encoded,
    train_unigram,
    train_word_pieces,
    training_bytes,
)
from llmtrain_trainer.data.unigram import LONGEST, learnt_pieces
from llmtrain_trainer.special_tokens import EOS, special_names

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


@pytest.mark.parametrize("train", [train_word_pieces, train_unigram])
def test_every_byte_is_known_where_nothing_was_learned(train: Any) -> None:
    made = train([], 600, [])
    text = "".join(map(chr, range(256))) + "\u0928\U0001f937"
    assert made.decode(made.encode(text).ids) == text
    assert 0 not in made.encode(text).ids


def test_special_tokens_have_the_first_ids_and_the_vocabulary_its_size(trained: Any) -> None:
    assert [trained.id_to_token(number) for number in range(2)] == [EOS, MASK]
    assert trained.get_vocab_size() <= 620
    assert sorted(trained.get_vocab().values()) == list(range(trained.get_vocab_size()))


@pytest.mark.parametrize("kind", list(TokenizerKind))
@pytest.mark.parametrize("task", [Task.SEQ2SEQ, Task.CHAT, Task.IMAGE_CHAT, Task.CLASSIFICATION])
def test_tokens_of_a_task_are_written_by_us_alone(kind: TokenizerKind, task: Task) -> None:
    special = special_names(task)
    made = TRAINERS[kind](TEXTS, 700, special)
    numbers = list(range(1, 1 + len(special)))
    assert [made.token_to_id(name) for name in special] == numbers
    assert made.decode(numbers, skip_special_tokens=False) == "".join(special)
    assert made.decode([*numbers, *made.encode(" river").ids]) == " river"
    spelled = made.encode("".join(special)).ids
    assert not {0, *numbers} & set(spelled)
    assert made.decode(spelled) == "".join(special)


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_a_text_with_pieces_enough_fills_the_vocabulary_and_no_more(kind: TokenizerKind) -> None:
    texts = [" ".join(f"{number:o} {number**3:x}" for number in range(2000))]
    assert TRAINERS[kind](texts, 700, [MASK]).get_vocab_size() == 700


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_the_same_text_makes_the_same_bytes(kind: TokenizerKind) -> None:
    made = {TRAINERS[kind](TEXTS, 620, [MASK]).to_str() for _ in range(4)}
    assert len(made) == 1


FRESH = """
import hashlib, sys
from llmtrain_api import Task, TokenizerKind
from llmtrain_trainer.data.tokenizer import TRAINERS
texts = [f"the river counts {number} lamps, they're \u00fcber <b>it</b> again " * 5 for number in range(500)]
made = {str(kind): train(texts, 1500, ["<|mask|>"]).to_str() for kind, train in TRAINERS.items()}
print({kind: hashlib.sha256(text.encode()).hexdigest() for kind, text in made.items()})
"""


def test_another_process_makes_the_same_bytes() -> None:
    """Memory lies elsewhere there, and hashes of text begin with another number."""
    told = set()
    for seed in ("1", "2"):
        asked = [sys.executable, "-c", FRESH]
        done = subprocess.run(
            asked, env=environment(PYTHONHASHSEED=seed), capture_output=True, text=True, check=True
        )
        told.add(done.stdout)
    assert len(told) == 1
    assert "unigram" in told.pop()


def test_the_likeliest_pieces_are_taken_and_not_the_longest() -> None:
    """Where a longest piece is followed by a rare one, others are likelier together."""
    texts = ["abc abc abc abc abc d abcd"] * 3 + ["ab cd ab cd"] * 60
    made = train_unigram(texts, 300, [])
    scores = dict(json.loads(made.to_str())["model"]["vocab"])
    words = ["\u0120abcd", "\u0120abc", "abcd"]
    for word in words:
        best = max(_cuts(word, scores))
        found = made.encode(word.replace("\u0120", " ")).tokens
        assert sum(scores[piece] for piece in found) == pytest.approx(best)
    assert all(score < 0 for piece, score in scores.items() if piece != EOS)


def _cuts(word: str, scores: dict[str, float]) -> Iterator[float]:
    """The log-probabilities of all ways to cut a word."""
    if not word:
        yield 0.0
    for end in range(1, len(word) + 1):
        if word[:end] in scores:
            yield from (scores[word[:end]] + rest for rest in _cuts(word[end:], scores))


def test_pieces_of_unigram_are_words_and_their_parts() -> None:
    made = train_unigram(TEXTS, 620, [])
    words = [f"\u0120{word}" for word in ("river", "counts", "lamps")]  # none of them is in another word
    assert made.encode(" river counts lamps").tokens == words
    assert max(map(len, made.get_vocab())) <= LONGEST


def test_probabilities_of_pieces_are_of_pieces_alone() -> None:
    words = dict.fromkeys("\u0120rivelampck", 60) | {"\u0120river": 200, "\u0120lamps": 300, "clerk": 400}
    likely = [math.exp(score) for _, score in learnt_pieces(words, 100)]
    assert sum(likely) == pytest.approx(1, abs=0.05)


def test_unigram_is_trained_on_less_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "UNIGRAM_BYTES", 100)
    assert training_bytes(TokenizerKind.UNIGRAM) == 100 < training_bytes(TokenizerKind.BPE)
    made = train_unigram(["the river " * 10, "lampreys " * 10], 400, [])
    assert "\u0120river" in made.get_vocab()
    assert "\u0120lampreys" not in made.get_vocab()


def test_pieces_of_words_are_learned() -> None:
    made = train_word_pieces(TEXTS, 2000, [])
    assert made.encode(" river lamps").tokens == ["\u0120river", "\u0120lamps"]
    assert made.encode("xlamps").tokens[0] == "x"
    assert all(one.startswith(GOES_ON) for one in made.encode("xlamps").tokens[1:])


def test_transformers_reads_it(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained, eos_token=EOS, clean_up_tokenization_spaces=False
    )
    whole.save_pretrained(tmp_path)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)  # whoever reads it need not have it
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
