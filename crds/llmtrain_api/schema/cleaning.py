"""``spec.dataset.cleaning``: what is done to documents before anything is learnt from them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import ApiModel, Rule, RuledModel


class Mask(StrEnum):
    """Personal data that a placeholder replaces."""

    EMAILS = "emails"
    PHONES = "phones"
    IPS = "ips"
    CARDS = "cards"
    IBANS = "ibans"


class Duplicates(StrEnum):
    """Which documents count as copies of an earlier one."""

    EXACT = "exact"
    NEAR = "near"


SIMILARITY = 0.8
"""Share of common word 5-grams from which documents are near copies, where the job names none."""

Share = Annotated[float, Field(ge=0, le=1)]


class QualitySpec(ApiModel):
    """Bounds beyond which a document is dropped; 1 (of a maximum) or 0 (of a minimum) lets everything pass.

    They look at how a text is built and not at its language. The defaults are those of Gopher (Rae et al.
    2021, table A1), but for the two of compression, which are measured here.
    """

    max_repeated_lines: Share = Field(
        default=0.3, description="Share of lines that stood in the document before (Gopher)."
    )
    max_repeated_paragraphs: Share = Field(
        default=0.3, description="Share of paragraphs that stood in the document before (Gopher)."
    )
    max_repeated_line_text: Share = Field(
        default=0.2, description="Share of characters in lines that stood there before (Gopher)."
    )
    max_repeated_paragraph_text: Share = Field(
        default=0.2, description="Share of characters in paragraphs that stood there before (Gopher)."
    )
    max_top_phrase: Share = Field(
        default=0.2,
        description="Share of characters in the most frequent phrase of 2 words; 0.9 and 0.8 of it for "
        "phrases of 3 and 4 words (Gopher: 0.20, 0.18, 0.16).",
    )
    max_repeated_phrases: Share = Field(
        default=0.15,
        description="Share of characters in phrases of 5 words that come more than once; 0.01 less for each "
        "more word, up to 10 words (Gopher: 0.15 to 0.10).",
    )
    max_symbols: Share = Field(default=0.1, description="Signs # and … (or ...) for each word (Gopher).")
    min_alphabetic_words: Share = Field(
        default=0.8, description="Share of words with a letter among all that stand between spaces (Gopher)."
    )
    max_bullet_lines: Share = Field(
        default=0.9, description="Share of lines that begin with a bullet (Gopher)."
    )
    max_ellipsis_lines: Share = Field(
        default=0.3, description="Share of lines that end with an ellipsis (Gopher)."
    )
    min_compressed: Share = Field(
        default=0.1,
        description="Bytes left of each byte by zlib, of documents of 1 KiB and more: fewer are the same "
        "again and again.",
    )
    max_compressed: Share = Field(
        default=0.7,
        description="Bytes left of each byte by zlib, of documents of 1 KiB and more: more are keys or "
        "packed data.",
    )


class SwapSpec(ApiModel):
    """Two terms that take each other's place in the copy of a document."""

    term: str = Field(min_length=1, max_length=128, description="A word, or several.")
    other: str = Field(min_length=1, max_length=128, description="What takes its place, and the reverse.")


def _lengths(cleaning: CleaningSpec) -> str | None:
    least, most = cleaning.min_characters, cleaning.max_characters
    if least is None or most is None or least <= most:
        return None
    return f"minCharacters {least} is more than maxCharacters {most}, so nothing would be left; lower it"


def _region(cleaning: CleaningSpec) -> str | None:
    if cleaning.phone_region is None or Mask.PHONES in (cleaning.mask or ()):
        return None
    return (
        f"phoneRegion {cleaning.phone_region} has no effect without mask: [phones]; add phones, or remove it"
    )


def _similarity(cleaning: CleaningSpec) -> str | None:
    if cleaning.similarity is None or cleaning.duplicates is Duplicates.NEAR:
        return None
    return f"similarity {cleaning.similarity:g} is for duplicates: near; set that, or remove it"


def _masks(cleaning: CleaningSpec) -> str | None:
    masks = cleaning.mask or []
    twice = next((mask for mask in masks if masks.count(mask) > 1), None)
    return None if twice is None else f"{twice} is named twice; name it once"


def _terms(cleaning: CleaningSpec) -> str | None:
    terms = [term.casefold() for pair in cleaning.swap_terms or () for term in (pair.term, pair.other)]
    twice = next((term for term in terms if terms.count(term) > 1), None)
    return None if twice is None else f"{twice!r} is named twice, so it has two others; name it once"


class CleaningSpec(RuledModel):
    """Steps of cleaning, in this order; none is done that is not named. A dialogue keeps its turns."""

    repair_unicode: bool = Field(
        default=False,
        description="Repair text that was decoded wrongly (Ã¼ for ü), broken characters and control codes; "
        "canonical composition (NFC).",
    )
    whitespace: bool = Field(
        default=False,
        description="One kind of line end and of space, no spaces at the ends of lines, no invisible "
        "characters, at most 2 blank lines in a row. Indentation stays.",
    )
    mask: list[Mask] | None = Field(
        default=None,
        min_length=1,
        max_length=5,
        description="Personal data that a placeholder such as [EMAIL] replaces: e-mail addresses, telephone "
        "numbers, public IP addresses, numbers of payment cards and of bank accounts whose check digits are "
        "right.",
    )
    phone_region: str | None = Field(
        default=None,
        pattern=r"^[A-Z]{2}$",
        max_length=2,
        description="Country (DE, US ...) whose telephone numbers are found without +49 before them. "
        "Default: numbers with the country's code alone.",
    )
    min_characters: int | None = Field(
        default=None, ge=1, le=1 << 30, description="Drop documents that are shorter."
    )
    max_characters: int | None = Field(
        default=None, ge=1, le=1 << 30, description="Drop documents that are longer."
    )
    quality: QualitySpec | None = Field(
        default=None,
        description="Drop documents that repeat themselves, or are hardly text, in any language; {} takes "
        "the usual bounds.",
    )
    duplicates: Duplicates | None = Field(
        default=None,
        description="Keep the first of all documents that are the same but for case and spaces (exact), or "
        "that also share most of their word 5-grams (near): over all sources, and before documents are held "
        "out, so none is a copy of one that is trained on.",
    )
    similarity: float | None = Field(
        default=None,
        ge=0.5,
        le=1,
        description="With duplicates near: share of common 5-grams (Jaccard) from which documents are "
        "copies. Default: 0.8.",
    )
    swap_terms: list[SwapSpec] | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Add to each training document that has one of these terms a copy in which all of them "
        "are swapped (counterfactual augmentation). Held-out documents get none.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.minCharacters) || !has(self.maxCharacters) || "
            "self.minCharacters <= self.maxCharacters",
            ".minCharacters",
            "minCharacters is more than maxCharacters, so nothing would be left; lower it",
            _lengths,
        ),
        Rule(
            "!has(self.mask) || self.mask.all(a, self.mask.exists_one(b, a == b))",
            ".mask",
            "a kind is named twice; name it once",
            _masks,
        ),
        Rule(
            "!has(self.phoneRegion) || (has(self.mask) && 'phones' in self.mask)",
            ".phoneRegion",
            "phoneRegion has no effect without mask: [phones]; add phones, or remove it",
            _region,
        ),
        Rule(
            "!has(self.similarity) || (has(self.duplicates) && self.duplicates == 'near')",
            ".similarity",
            "similarity is for duplicates: near; set that, or remove it",
            _similarity,
        ),
        Rule(None, ".swapTerms", "a term must have one other", _terms),
    )
