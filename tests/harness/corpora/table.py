"""The table: for each task an example, real text, sizes, and what the model must come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import images
from harness.corpora import said, texts

Rows = list[dict[str, Any]]
Spec = dict[str, Any]


@dataclass(frozen=True)
class Beaten:
    """A figure of ``results.json`` and the one of whoever has no model, beside it.

    Attributes:
        figure: its path.
        baseline: the other's path; or what makes it of the rows trained on and those held out.
        words: what the figure is.
        by: what the other one is.
        lower: whether less is better.
    """

    figure: str
    baseline: str | Callable[[Rows, Rows], float]
    words: str
    by: str
    lower: bool = False


@dataclass(frozen=True)
class Entry:
    """A task on real text.

    Attributes:
        example: the manifest, by its file's name in ``examples``.
        about: what the text is.
        rows: makes all rows.
        model: ``spec.model``, a tiny one.
        length: ``training.sequenceLength``.
        heart: ``training`` of the run that learns 64 rows by heart.
        trained: ``training`` of the run on many rows.
        count: of these.
        says: what the exported folder says of rows.
        measure: how that is compared with what is right, in words.
        least: of it.
        beaten: what held-out rows must show.
        score: this comparison, from 0 to 100.
        copies: of each of the 64 rows in the data: where sequences cut one text in two, they do not cut the
            other copy, and what fills no whole sequence is not read.
        more: of the spec, whatever the run.
        files: writes into the folder of the rows what they name.
    """

    example: str
    about: str
    rows: Callable[[], Rows]
    model: Spec
    length: int
    heart: Spec
    trained: Spec
    count: int
    says: Callable[[Path, Sequence[dict[str, Any]]], list[said.Said]]
    measure: str
    least: float
    beaten: Beaten
    score: Callable[[Sequence[said.Said]], float] = said.share
    copies: int = 1
    more: Spec = field(default_factory=dict)
    files: Callable[[Path], object] | None = None


def _steps(steps: int, rate: float, batch: int = 32) -> Spec:
    return {"maxSteps": steps, "learningRate": rate, "globalBatchSize": batch, "microBatchSize": batch}


def _tiny(family: str, hidden: int, vocabulary: int) -> Spec:
    sizes = {"hiddenSize": hidden, "numLayers": 2, "numHeads": 4, "vocabSize": vocabulary}
    return {"name": f"builtin://tiny-{family}"} | sizes


ACCURACY = Beaten("scores.accuracy", "scores.majorityAccuracy", "accuracy", "the most frequent one")
PAIRS = Beaten(
    "preference.rewardAccuracy", "preference.longerAccuracy", "right pairs, share", "the longer answer"
)
UNIGRAM = Beaten("evalLoss", "unigramEntropy", "nat a token", "how often each token is", lower=True)
ENTRIES = (
    Entry(
        example="classification",
        about="messages of programs in six languages, from gettext catalogues; the class is the language",
        rows=texts.languages,
        model=_tiny("bert", 64, 800),
        length=32,
        heart=_steps(150, 2e-3),
        trained=_steps(300, 2e-3),
        count=4000,
        says=said.classes,
        measure="accuracy",
        least=95,
        beaten=ACCURACY,
    ),
    Entry(
        example="translation",
        about="English messages of a desktop's libraries and the German ones, from gettext catalogues",
        rows=texts.translations,
        model=_tiny("t5", 96, 1000),
        length=32,
        heart=_steps(250, 5e-3),
        trained=_steps(1000, 4e-3),
        count=10_000,
        says=said.translations,
        score=said.bleu,
        measure="BLEU",
        least=90,
        beaten=Beaten("answers.bleu", "answers.copiedBleu", "BLEU", "the source itself"),
        more={"evaluation": {"maxAnswers": 200}},
    ),
    Entry(
        example="summary",
        about="what functions of the Kubernetes client say of themselves; the summary is the first sentence",
        rows=texts.documented,
        model=_tiny("t5", 96, 1000),
        length=96,
        heart=_steps(300, 5e-3),
        trained=_steps(500, 5e-3),
        count=4000,
        says=said.summaries,
        score=said.bleu,
        measure="BLEU",
        least=90,
        beaten=Beaten("answers.rougeL", "answers.leadRougeL", "ROUGE-L", "its first words"),
        more={"evaluation": {"maxAnswers": 200}},
    ),
    Entry(
        example="question-answering",
        about="records of installed Debian packages, and five questions on each",
        rows=texts.packages,
        model=_tiny("bert", 64, 800),
        length=128,
        heart=_steps(250, 2e-3, 16),
        trained=_steps(500, 2e-3, 16),
        count=3000,
        says=said.answers,
        measure="exact match",
        least=95,
        beaten=Beaten(
            "scores.exactMatch",
            said.common_answers,
            "exact match",
            "the most frequent answer to the question",
        ),
    ),
    Entry(
        example="token-classification",
        about="lines of Python's standard library as words; the tag is what a word is there",
        rows=texts.words_of_code,
        model=_tiny("bert", 64, 800),
        length=64,
        heart=_steps(200, 2e-3),
        trained=_steps(300, 2e-3),
        count=4000,
        says=said.tags,
        measure="accuracy",
        least=95,
        beaten=ACCURACY,
    ),
    Entry(
        example="regression",
        about="heads of functions of Python's standard library; the number is that of their parameters",
        rows=texts.parameters,
        model=_tiny("bert", 64, 800),
        length=48,
        heart=_steps(250, 2e-3),
        trained=_steps(300, 2e-3),
        count=4000,
        says=said.whole_numbers,
        measure="nearest whole number",
        least=95,
        beaten=Beaten("scores.mse", "scores.meanMse", "mean squared error", "the mean", lower=True),
    ),
    Entry(
        example="chat",
        about="names of functions of Python's standard library, and what each says of itself first",
        rows=texts.summaries,
        model=_tiny("llama", 96, 1000),
        length=96,
        heart=_steps(200, 4e-3),
        trained=_steps(120, 4e-3),
        count=3000,
        says=said.replies,
        measure="exact match",
        least=95,
        beaten=UNIGRAM,
    ),
    Entry(
        example="reward",
        about="what functions of Python's standard library say of themselves; worse: the words shuffled",
        rows=texts.word_orders,
        model=_tiny("llama", 64, 800),
        length=96,
        heart=_steps(200, 2e-3, 16),
        trained=_steps(300, 2e-3, 16),
        count=3000,
        says=said.better_answers,
        measure="right pairs",
        least=95,
        beaten=PAIRS,
    ),
    Entry(
        example="preference",
        about="the same pairs of answers; learnt is which one has become likelier, by more (DPO)",
        rows=texts.word_orders,
        model=_tiny("llama", 64, 800),
        length=96,
        heart=_steps(150, 1e-3, 16),
        trained=_steps(250, 1e-3, 16),
        count=3000,
        says=said.preferred_answers,
        measure="right pairs",
        least=95,
        beaten=PAIRS,
    ),
    Entry(
        example="kto",
        about="the same answers, each by itself; learnt is which are desirable (KTO)",
        rows=texts.judged_orders,
        model=_tiny("llama", 64, 800),
        length=96,
        heart=_steps(200, 1e-3, 16),
        trained=_steps(250, 1e-3, 16),
        count=3000,
        says=said.desirable_answers,
        measure="right answers",
        least=95,
        beaten=Beaten(
            "kto.accuracy", "kto.majorityAccuracy", "right answers, share", "what most answers are"
        ),
    ),
    Entry(
        example="tiny-llama",
        about="what functions and classes of Python's standard library say of themselves first",
        rows=texts.sentences,
        model=_tiny("llama", 96, 1000),
        length=256,
        heart=_steps(200, 4e-3, 8),
        trained=_steps(150, 4e-3, 8),
        count=4000,
        says=said.continuations,
        measure="second halves written",
        least=95,
        beaten=UNIGRAM,
        copies=2,
        more={"dataset": {"name": "pvc://data/sentences"}, "training": {"packing": "documents"}},
    ),
    Entry(
        example="masked",
        about="what functions and classes of Python's standard library say of themselves first",
        rows=texts.sentences,
        model=_tiny("bert", 96, 1000),
        length=64,
        heart=_steps(800, 3e-3),
        trained=_steps(500, 3e-3),
        count=4000,
        says=said.hidden_tokens,
        measure="hidden tokens told",
        least=95,
        beaten=UNIGRAM,
    ),
    Entry(
        example="images",
        about="48 drawn pictures, each of one of four shapes in one of six colours on one of two sides",
        rows=images.rows,
        model=_tiny("llava", 64, 320),
        length=64,
        heart=_steps(400, 3e-3, 16),
        trained=_steps(300, 3e-3, 16),
        count=48,
        says=said.captions,
        measure="exact match",
        least=95,
        beaten=UNIGRAM,
        files=images.write_pictures,
    ),
)
"""In the order of the page."""
