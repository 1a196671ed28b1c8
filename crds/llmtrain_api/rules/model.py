"""Rules over ``spec.model`` that a model's family decides."""

from __future__ import annotations

from ..families import BUILTIN, FAMILIES
from ..schema.base import Rule
from ..schema.model import VOCABULARY, TokenizerKind
from ..schema.spec import JobSpec
from ..schema.task import Task
from .parallelism import OWN_CEL
from .sized import Sized, SizedRule

GROUPED = [family for family in BUILTIN.values() if family.grouped]
TITLES = " and ".join([", ".join(one.title for one in GROUPED[:-1]), GROUPED[-1].title])
WORD_PIECES = 600
"""Entries of a WordPiece tokenizer at least: each byte where a word begins and where it goes on,
special tokens, and some pieces."""
GROUPED_CEL = f"self.model.name in {[str(family.builtin) for family in GROUPED]}"


def _grouped(spec: JobSpec) -> bool:
    builtin = spec.model.builtin
    return builtin is None or BUILTIN[builtin].grouped


def _grouped_only(spec: JobSpec) -> str | None:
    if _grouped(spec) or spec.model.num_kv_heads is None:
        return None
    return f"numKvHeads is for {TITLES} models; remove it for {spec.model.name}"


def _tied_only(spec: JobSpec) -> str | None:
    if _grouped(spec) or not spec.model.tied_embeddings:
        return None
    return f"tiedEmbeddings is for {TITLES} models; remove it: {spec.model.name} always ties them"


def _word_pieces(spec: JobSpec) -> str | None:
    if spec.model.tokenizer_kind is not TokenizerKind.WORD_PIECE or spec.model.vocabulary >= WORD_PIECES:
        return None
    return (
        f"vocabSize {spec.model.vocabulary} is too small for tokenizerKind wordPiece, which has each byte "
        f"twice; use {WORD_PIECES} at least, or bpe"
    )


def _task(job: Sized) -> str | None:
    task, architecture = job.spec.task, job.shape.architecture
    can = FAMILIES[architecture].task
    if task is None or can in task.learners:
        return None
    return f"{job.spec.model.name} is a {architecture}, which learns task {can}; use that instead of {task}"


def _task_cel() -> str:
    fits = [
        f"(self.task == '{task}' && self.model.name == '{name}')"
        for name, family in BUILTIN.items()
        for task in Task
        if family.task in task.learners
    ]
    return f"!has(self.task) || {OWN_CEL} || {' || '.join(fits)}"


RULES: tuple[Rule, ...] = (
    Rule(
        f"!has(self.model.numKvHeads) || {GROUPED_CEL}",
        ".model.numKvHeads",
        f"numKvHeads is for {TITLES} models; remove it",
        _grouped_only,
    ),
    Rule(
        f"!has(self.model.tiedEmbeddings) || !self.model.tiedEmbeddings || {GROUPED_CEL}",
        ".model.tiedEmbeddings",
        f"tiedEmbeddings is for {TITLES} models; remove it: the others always tie them",
        _tied_only,
    ),
    Rule(
        "!has(self.model.tokenizerKind) || self.model.tokenizerKind != 'wordPiece' || "
        f"(has(self.model.vocabSize) ? self.model.vocabSize : {VOCABULARY}) >= {WORD_PIECES}",
        ".model.vocabSize",
        f"vocabSize is too small for tokenizerKind wordPiece; use {WORD_PIECES} at least, or bpe",
        _word_pieces,
    ),
    SizedRule(
        _task_cel(),
        ".task",
        "models of this architecture do not learn this task; remove task to take its usual one",
        _task,
    ),
)
