"""Which export is meant: of a job, in a folder that is here, or at a URI; and what is known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

import yaml

from llmtrain_api import (
    InvalidJob,
    Job,
    JobSpec,
    ModelShape,
    Precision,
    PublishedResult,
    Task,
    parse_spec,
    shape_of,
    task_of,
)
from llmtrain_api.job import MAX_NAME, NAME, NAME_MESSAGE
from llmtrain_api.schema.quantity import quantity

from .errors import Mistake
from .render.served import AdapterAlone, Served

EXPORT, CONFIG, CARD, ADAPTER = "export", "config.json", "README.md", "adapter"
GIB = 1 << 30
ROOM, LEAST = 1.3, 4
"""Memory for a model's weights: times their bytes, and GiB beside them for Python and its libraries."""
ENDS = {
    "ForCausalLM": Task.CAUSAL,
    "LMHeadModel": Task.CAUSAL,
    "ForMaskedLM": Task.MASKED,
    "ForConditionalGeneration": Task.TEXT2TEXT,
    "ForSequenceClassification": Task.CLASSIFICATION,
    "ForTokenClassification": Task.TOKENS,
    "ForQuestionAnswering": Task.QUESTIONS,
}
"""The task that an architecture's name tells."""
TASK_FIX = f"say it by --task: {', '.join(Task)}"


def of_job(job: Job, *, in_registry: bool = False) -> Served:
    """The export of a job.

    Args:
        job: the job.
        in_registry: the image of it that ``output.publish.oci`` has made, not the folder of the output.

    Raises:
        Mistake: it has none yet, or one that none of ours made; or it is in no registry.
    """
    name, results = job.metadata.name, job.status.results
    if results is None or results.export_uri is None:
        raise Mistake(f"{name} has no export yet (phase {job.status.phase or 'unknown'}); wait for its end")
    spec, shape = _known(job)
    width = 4 if spec.training.precision is Precision.FP32 else 2
    adapter = spec.model.adapter
    alone = None
    if adapter is not None and not spec.output.merged:
        facts = job.status.resolved.model if job.status.resolved else None
        base = spec.model.name
        if spec.model.builtin is not None or not spec.model.pretrained:
            base = f"{results.export_uri.rpartition('/')[0]}/data/step-0"
        revision = (facts.revision if facts else None) or spec.model.revision
        alone = AdapterAlone(base, revision, adapter.rank, spec.model.secret)
    return Served(
        name=name,
        namespace=job.metadata.namespace,
        task=task_of(spec, shape),
        uri=_image_of(name, results.published) if in_registry else results.export_uri,
        gpus=1 if spec.gpus_per_node else 0,
        memory=memory_for(shape.parameters * width),
        secret=None if in_registry else spec.output.secret,
        adapter=alone,
    )


def _image_of(name: str, published: PublishedResult | None) -> str:
    if published is None or published.oci is None:
        raise Mistake(f"{name} was not pushed to a registry; leave out --oci, or set output.publish.oci")
    if published.url is None:
        raise Mistake(f"{name} is in no registry, as the push failed: {published.error}")
    return published.url


def _known(job: Job) -> tuple[JobSpec, ModelShape]:
    """What a job says, and the model that it came to.

    Raises:
        Mistake: its spec is newer than this program, or it ran a program of one's own.
    """
    try:
        spec = parse_spec(job.spec, strict=False)
    except InvalidJob as invalid:
        raise Mistake(*(f"{job.metadata.name}: {one}" for one in invalid.mistakes)) from None
    if spec.entrypoint is not None:
        raise Mistake(
            f"{job.metadata.name} ran a program of its own, and nobody knows what it wrote; name the folder "
            f"by its URI, and {TASK_FIX}"
        )
    facts = job.status.resolved.model if job.status.resolved else None
    return spec, facts.shape if facts else shape_of(spec)


def of_folder(folder: Path, uri: str | None, task: Task | None, name: str | None = None) -> Served:
    """An export that is here, and in the cluster at a URI.

    Args:
        folder: the export, or the output of the job that made it.
        uri: where the cluster has it.
        task: that it learnt; None: as the folder tells.
        name: of what serves; None: the output's.

    Raises:
        Mistake: it is none, or nobody says where the cluster has it.
    """
    place = next((p for p in (folder, folder / EXPORT) if (p / CONFIG).is_file()), None)
    if place is None:
        adapters = [p for p in (folder, folder / EXPORT) if (p / ADAPTER).is_dir()]
        if adapters:
            raise Mistake(
                f"{adapters[0]} has an adapter alone, and does not tell where its base lies in a cluster; "
                "name the job, or export it with output.merged: true"
            )
        raise Mistake(f"{folder} has no {CONFIG}; name the export of a job, or the job's output")
    if uri is None:
        raise Mistake(f"no cluster sees {folder}; say where it has the export: --uri pvc://CLAIM/FOLDER")
    weights = sum(path.stat().st_size for path in place.glob("*.safetensors"))
    whole = place.resolve()
    output = whole.parent if whole.name == EXPORT else whole
    return Served(
        name=named(name or output.name), task=task or task_in(place), uri=uri, memory=memory_for(weights)
    )


def at_uri(uri: str, task: Task | None, name: str | None = None) -> Served:
    """An export that only the cluster sees.

    Args:
        uri: where it lies.
        task: that it learnt.
        name: of what serves; None: the last part of the URI that is not ``export``.

    Raises:
        Mistake: nobody says what it learnt.
    """
    if task is None:
        raise Mistake(f"what {uri} learnt is not known here; {TASK_FIX}")
    parts = [part for part in uri.partition("://")[2].rstrip("/").split("/") if part != EXPORT]
    # of an image without its digest or tag
    last = parts[-1].partition("@")[0].partition(":")[0] if parts else ""
    return Served(name=named(name or last), task=task, uri=uri.rstrip("/"))


def named(text: str) -> str:
    """A name for what serves.

    Raises:
        Mistake: the text is none.
    """
    if len(text) > MAX_NAME or not NAME.fullmatch(text):
        rule = NAME_MESSAGE.removeprefix("metadata.name must be ")
        raise Mistake(f"{text!r} is no name for what serves; use --name with {rule}")
    return text


def task_named(text: str) -> Task:
    """A task by its name.

    Raises:
        Mistake: there is none of that name.
    """
    try:
        return Task(text)
    except ValueError:
        raise Mistake(f"--task: there is no task {text!r}; use one of {', '.join(Task)}") from None


def quantity_named(option: str, text: str) -> str:
    """A quantity that a person wrote.

    Raises:
        Mistake: it is none.
    """
    try:
        quantity(text)
    except ValueError as error:
        raise Mistake(f"{option}: {error}; use one such as 500m, 4 or 16Gi") from None
    return text


def memory_for(weights: int) -> str:
    """Memory that serving takes, as a quantity.

    Args:
        weights: bytes of them.
    """
    return f"{ceil(weights * ROOM / GIB) + LEAST}Gi"


def task_in(place: Path) -> Task:
    """The task that an export learnt: by its card, else by its architecture.

    Raises:
        Mistake: neither tells it.
    """
    tags = _front(place / CARD).get("tags")
    for tag in tags if isinstance(tags, list) else []:
        if tag in list(Task):
            return Task(tag)
    try:
        config = json.loads((place / CONFIG).read_text())
        architectures = config.get("architectures") or [""]
        for end, task in ENDS.items():
            if str(architectures[0]).endswith(end):
                return task
    except (OSError, ValueError, AttributeError, TypeError, IndexError):
        pass
    raise Mistake(f"{place} does not tell what it learnt; {TASK_FIX}")


def _front(card: Path) -> Mapping[str, Any]:
    """The metadata of a card; nothing where it has none that can be read."""
    try:
        text = card.read_text(errors="replace")
        found = yaml.safe_load(text.split("---\n", 2)[1]) if text.startswith("---\n") else None
    except (OSError, yaml.YAMLError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}
