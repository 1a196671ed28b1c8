"""Rules of task imageChat: where images may lie, and which layouts are proven for them."""

from __future__ import annotations

from ..families import BUILTIN, task_of
from ..schema.base import Rule
from ..schema.task import Task
from ..schema.training import Packing
from .cel import UNCUT
from .parallelism import WAYS
from .sized import Sized, SizedRule

CUT = (
    "what sees images has no parts that ranks could share, and dialogues with images are proven equal to one "
    "process for data parallelism with ZeRO only"
)
ALONE = "dialogues with images are never packed, as images of two would be told apart by their order alone"
MANY = "batches have other numbers of images each, and layers would be compiled for each number"
LORA = "adapters beside what sees images are not proven"
SAID = "images have places in a text, which cleaning would part from them"
LOOKED = "only models that read text alone are explained"
MEASURED = "evaluation.only measures models that read text alone"
SEES = [str(name) for name, family in BUILTIN.items() if family.task is Task.IMAGE_CHAT]
_SEES = f"self.model.name in {SEES}"


def _with_images(job: Sized) -> bool:
    return task_of(job.spec, job.shape) is Task.IMAGE_CHAT


def _data_parallel_only(job: Sized) -> str | None:
    cut = [way for way in WAYS if getattr(job.spec.parallelism, way) > 1]
    return f"{cut[0]} with task imageChat: {CUT}; use {cut[0]} 1" if cut and _with_images(job) else None


def _not_packed(job: Sized) -> str | None:
    if not _with_images(job) or job.spec.training.packing is Packing.CONCAT:
        return None
    return f"packing documents with task imageChat: {ALONE}; remove it"


def _not_compiled(job: Sized) -> str | None:
    if not _with_images(job) or not job.spec.training.compile:
        return None
    return f"compile with task imageChat: {MANY}; set compile to false"


def _no_adapter(job: Sized) -> str | None:
    if not _with_images(job) or job.spec.model.adapter is None:
        return None
    return f"{LORA}; remove model.adapter"


def _not_cleaned(job: Sized) -> str | None:
    if not _with_images(job) or job.spec.dataset.cleaning is None:
        return None
    return f"cleaning with task imageChat: {SAID}; remove it"


def _rows_to_read(job: Sized) -> str | None:
    builtin = [source.name for source in job.spec.dataset.sources if source.name.startswith("builtin://")]
    if not _with_images(job) or not builtin:
        return None
    return (
        f"{builtin[0]} has no dialogues with images, which {job.spec.model.name} learns from; name a folder"
    )


def _not_explained(job: Sized) -> str | None:
    if not _with_images(job) or job.spec.evaluation.explain is None:
        return None
    return f"explain with task imageChat: {LOOKED}; remove it"


def _not_measured(job: Sized) -> str | None:
    return f"{MEASURED}; remove it" if _with_images(job) and job.spec.evaluation.only else None


def _room(job: Sized) -> str | None:
    vision, length = job.shape.vision, job.spec.training.sequence_length
    if vision is None or vision.tokens < length:
        return None
    return (
        f"sequenceLength {length} has no room for an image, which takes {vision.tokens} tokens, and a word; "
        f"use more than {vision.tokens}"
    )


RULES: tuple[Rule, ...] = (
    SizedRule(
        f"!({_SEES}) || {UNCUT}",
        ".parallelism",
        f"{CUT}; use tensor, pipeline and sequence 1",
        _data_parallel_only,
    ),
    SizedRule(
        f"!({_SEES}) || self.training.packing == 'concat'",
        ".training.packing",
        f"{ALONE}; remove packing",
        _not_packed,
    ),
    SizedRule(
        f"!({_SEES}) || !self.training.compile",
        ".training.compile",
        f"{MANY}; set compile to false",
        _not_compiled,
    ),
    SizedRule(f"!({_SEES}) || !has(self.model.adapter)", ".model.adapter", f"{LORA}; remove it", _no_adapter),
    SizedRule(
        f"!({_SEES}) || !has(self.dataset.cleaning)", ".dataset.cleaning", f"{SAID}; remove it", _not_cleaned
    ),
    SizedRule(None, ".dataset", "built-in data has no images", _rows_to_read),
    SizedRule(
        f"!({_SEES}) || !has(self.evaluation.explain)",
        ".evaluation.explain",
        f"{LOOKED}; remove it",
        _not_explained,
    ),
    SizedRule(None, ".evaluation.only", MEASURED, _not_measured),
    SizedRule(None, ".training.sequenceLength", "an image must have room", _room),
)
