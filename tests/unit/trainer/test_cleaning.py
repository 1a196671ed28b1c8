"""Each cleaning step finds what it is for, and leaves alone what only looks like it."""

from __future__ import annotations

import base64
import random
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api.schema.cleaning import CleaningSpec
from llmtrain_trainer.data.cleaning.checksums import IBAN_LENGTHS, is_card, is_iban, luhn
from llmtrain_trainer.data.cleaning.length import LENGTH
from llmtrain_trainer.data.cleaning.masking import MASK
from llmtrain_trainer.data.cleaning.quality import QUALITY, measures
from llmtrain_trainer.data.cleaning.step import CleaningStep, Dropped
from llmtrain_trainer.data.cleaning.swaps import swap_of
from llmtrain_trainer.data.cleaning.unicode import REPAIR
from llmtrain_trainer.data.cleaning.whitespace import WHITESPACE
from llmtrain_trainer.data.cleaning.words import words

EVERY_MASK = ["emails", "phones", "ips", "cards", "ibans"]


def done(step: CleaningStep, text: str, **asked: Any) -> tuple[str | Dropped, Counter[str]]:
    settings = step.settings(CleaningSpec.model_validate(asked))
    assert settings is not None
    found: Counter[str] = Counter()
    return step.cleaner(settings)(text, found), found


def prose(number: int, count: int = 220) -> str:
    """Sentences of words of the interpreter's own documentation strings."""
    generator = random.Random(number)
    source = (Path(sysconfig.get_path("stdlib")) / "argparse.py").read_text()[:20_000]
    known = sorted({word for word in words(source) if word.isalpha() and len(word) > 2})
    chosen = [generator.choice(known) for _ in range(count)]
    lines = [" ".join(chosen[at : at + 11]) + "." for at in range(0, count, 11)]
    return "\n".join(lines)


def test_no_step_is_done_that_is_not_asked() -> None:
    for step in (REPAIR, WHITESPACE, MASK, LENGTH, QUALITY):
        assert step.settings(CleaningSpec()) is None, step.name
    assert swap_of(CleaningSpec()) is None
    assert swap_of(None) is None


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("Ã¼ber die BrÃ¼cke", "über die Brücke"),
        ("â€œquotedâ€\x9d", "“quoted”"),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет"),
        ("e\u0301t\u00e9", "été"),
        ("a\x00b\x1b[31mred", "abred"),
    ],
)
def test_wrongly_decoded_text_is_repaired(broken: str, whole: str) -> None:
    assert done(REPAIR, broken, repairUnicode=True)[0] == whole


@pytest.mark.parametrize(
    "text", ["“curly” – ﬁne", "&amp; stays", "Ａ wide", "日本語の文", "a\r\nb", "São Paulo, naïve Ærøskøbing"]
)
def test_what_is_no_mistake_is_not_repaired(text: str) -> None:
    assert done(REPAIR, text, repairUnicode=True)[0] == text


def test_white_space_without_meaning_goes_and_indentation_stays() -> None:
    text = "\n\nif x:  \r\n    return\u00a0y\u200b\t\n\n\n\n\n\nend\ufeff\n\n"
    assert done(WHITESPACE, text, whitespace=True)[0] == "if x:\n    return y\n\n\nend"
    for kept in ("  indented\n\ttab", "نمی\u200cخواهم", "👩\u200d🔧", "a | b   | c", f"{' ' * 1_000_000}x"):
        assert done(WHITESPACE, kept, whitespace=True)[0] == kept


MASKED = [
    ("write to ann.lee+x@mail.example.org.", "write to [EMAIL].", "emails"),
    ("<müller@bücher.example>", "<[EMAIL]>", "emails"),
    ("call +49 30 901820-0 now", "call [PHONE] now", "phones"),
    ("tel:+14155552671;ext", "tel:[PHONE];ext", "phones"),
    ("from 8.8.8.8: denied", "from [IP]: denied", "ips"),
    ("at 2001:4860:4860::8888.", "at [IP].", "ips"),
    ("pay with 4111 1111 1111 1111, please", "pay with [CARD], please", "cards"),
    ("5500-0000-0000-0004", "[CARD]", "cards"),
    ("IBAN DE89 3704 0044 0532 0130 00 BIC", "IBAN [IBAN] BIC", "ibans"),
    ("GB82WEST12345698765432", "[IBAN]", "ibans"),
]


@pytest.mark.parametrize(("text", "masked", "kind"), MASKED)
def test_personal_data_give_way_to_placeholders(text: str, masked: str, kind: str) -> None:
    assert done(MASK, text, mask=EVERY_MASK) == (masked, {kind: 1})
    others = [mask for mask in EVERY_MASK if mask != kind]
    if kind not in ("cards", "ibans"):
        assert done(MASK, text, mask=others)[0] == text


@pytest.mark.parametrize(
    "text",
    [
        "user@localhost and @decorator(x) and a @ b",
        "git@github:x/y",
        "127.0.0.1, 192.168.0.1, 10.0.0.7 and 999.1.1.1",
        "std::vector, a::b, 12:30:45 and dead::beef",
        "version 1.2.3.4.5 and 3.11.9",
        "on 2024-01-02 at 10:20, pages 1200-1300, 3.14159265358979",
        "4111 1111 1111 1112",
        "order 1234567890123452 of 7 items",
        "0.4111111111111111",
        "DE89 3704 0044 0532 0130 01",
        "XX89 3704 0044 0532 0130 00",
        "id 550e8400-e29b-41d4-a716-446655440000",
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert done(MASK, text, mask=EVERY_MASK) == (text, {})


def test_numbers_without_a_country_need_a_region() -> None:
    text = "ring 030 901820 or 020 7946 0958"
    assert done(MASK, text, mask=["phones"])[0] == text
    assert done(MASK, text, mask=["phones"], phoneRegion="DE")[0] == "ring [PHONE] or 020 7946 0958"
    assert done(MASK, text, mask=["phones"], phoneRegion="GB")[0] == "ring 030 901820 or [PHONE]"


def test_many_numbers_that_are_none_hide_no_telephone() -> None:
    text = "1234567 " * 70_000 + "call +49 30 901820"
    result, found = done(MASK, text, mask=["phones"])
    assert found == {"phones": 1}
    assert isinstance(result, str)
    assert result.endswith("call [PHONE]")


@given(st.text("0123456789", min_size=12, max_size=18))
def test_one_digit_of_ten_is_right_and_a_wrong_digit_is_seen(digits: str) -> None:
    right = [digits + last for last in "0123456789" if luhn(digits + last)]
    assert len(right) == 1
    assert not luhn(str((int(right[0][0]) + 1) % 10) + right[0][1:])


def test_cards_need_an_issuer_and_banks_a_country() -> None:
    assert is_card("378282246310005")
    assert not is_card("0000000000000000")
    assert is_iban("NL91ABNA0417164300")
    assert not is_iban("NL91ABNA04171643000")
    assert len(IBAN_LENGTHS) > 75


def test_masking_a_masked_text_changes_nothing() -> None:
    text = "\n".join(text for text, _, _ in MASKED)
    once, found = done(MASK, text, mask=EVERY_MASK)
    assert isinstance(once, str)
    assert sum(found.values()) == len(MASKED)
    assert done(MASK, once, mask=EVERY_MASK) == (once, {})


def test_short_and_long_documents_are_dropped_by_their_characters() -> None:
    asked = {"minCharacters": 3, "maxCharacters": 5}
    results = [done(LENGTH, "ü" * count, **asked)[0] for count in (2, 3, 5, 6)]
    assert results == [Dropped("short"), "üüü", "ü" * 5, Dropped("long")]


DIRT = {
    "maxRepeatedLines": "\n".join(f"{'home' if at % 2 else prose(at, 11)}" for at in range(40)),
    "maxRepeatedParagraphs": "\n\n".join([prose(1, 66), "x", "x", prose(2, 55), "x"]),
    "maxTopPhrase": " and then ".join(f"w{at}" for at in range(60)),
    "maxRepeatedPhrases": f"{prose(3)} {prose(3, 60)}".replace("\n", " "),
    "maxSymbols": prose(4).replace(" ", " #", 60),
    "minAlphabeticWords": prose(5, 66) + " " + " ".join(str(at * 37) for at in range(60)),
    "maxBulletLines": "\n".join(f"- {line}" for line in prose(6).split("\n")),
    "maxEllipsisLines": prose(7).replace(".\n", "...\n"),
    "minCompressed": "ab" * 4000,
    "maxCompressed": base64.b64encode(random.Random(1).randbytes(3000)).decode(),
}


@pytest.mark.parametrize("bound", DIRT)
def test_a_document_that_is_hardly_text_is_dropped_and_the_bound_is_named(bound: str) -> None:
    let_pass = {"maxRepeatedPhrases": 1, "maxTopPhrase": 1, "maxRepeatedLines": 1, "maxRepeatedLineText": 1}
    let_pass |= {"maxSymbols": 1, "maxRepeatedParagraphText": 1}
    let_pass.pop(bound, None)
    assert done(QUALITY, DIRT[bound], quality=let_pass)[0] == Dropped(bound)
    off = 0 if bound.startswith("min") else 1
    assert done(QUALITY, DIRT[bound], quality=let_pass | {bound: off})[0] == DIRT[bound]


def test_prose_of_any_script_passes_and_short_documents_are_not_measured() -> None:
    chinese = "".join(chr(0x4E00 + random.Random(8).randrange(20_000)) for _ in range(9))
    han = random.Random(9)
    long_chinese = "。".join("".join(chr(0x4E00 + han.randrange(3000)) for _ in range(12)) for _ in range(30))
    for text in (*(prose(number) for number in range(20)), chinese, long_chinese, "no no no no", "- a\n- b"):
        assert done(QUALITY, text, quality={})[0] == text
    assert dict(measures("no " * 49)) == {}


def test_words_of_scripts_without_spaces_are_characters() -> None:
    assert words("Über 2 Straßen_heute, 日本語 กข!") == [
        "über", "2", "strassen", "heute", "日", "本", "語", "ก", "ข",
    ]  # fmt: skip


def test_terms_are_swapped_at_once_as_words_and_keep_their_case() -> None:
    pairs = [("he", "she"), ("King", "Queen"), ("Mr. Lee", "Ms. Lee"), ("père", "mère")]
    spec = {"swapTerms": [{"term": term, "other": other} for term, other in pairs]}
    swap = swap_of(CleaningSpec.model_validate(spec))
    assert swap is not None
    text = "He said: the KING knows she is there. Mr. Lee? Père! they"
    assert swap(text) == "She said: the QUEEN knows he is there. Ms. Lee? Mère! they"
    assert swap(swap(text)) == text
    assert swap("nothing here") == "nothing here"
