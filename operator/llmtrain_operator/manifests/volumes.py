"""What a URI of the spec means inside a pod."""

from __future__ import annotations

from dataclasses import dataclass

from llmtrain_api import DatasetSpec, ModelSpec
from llmtrain_api.names import (
    CACHE_MOUNT,
    DATASET_MOUNT,
    EVALUATION_MOUNT,
    MODEL_MOUNT,
    ORIGIN_MOUNT,
    OUTPUT_MOUNT,
    PAIRS_MOUNT,
    PENALTY_PAIRS_MOUNT,
    REWARD_MODEL_MOUNT,
    SCRATCH_MOUNT,
    TASKS_MOUNT,
)
from llmtrain_api.schema.evaluation import EvaluationSpec
from llmtrain_api.schema.training import TrainingSpec


@dataclass(frozen=True, slots=True)
class Location:
    """A folder as a worker sees it, and the claim it lies on (None: in the image)."""

    path: str
    claim: str | None = None


def locate(uri: str, mount: str) -> Location:
    """``pvc://CLAIM/FOLDER`` -> folder below ``mount``; ``file:///FOLDER`` -> that folder.

    Raises:
        ValueError: any other scheme.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "file":
        return Location(rest.rstrip("/"))
    if scheme == "pvc":
        claim, _, folder = rest.rstrip("/").partition("/")
        return Location(f"{mount}/{folder}".rstrip("/"), claim)
    raise ValueError(f"no folder behind {uri!r}")


def output_location(uri: str) -> Location:
    """Where results go; for an object store, the private folder in which a worker makes them."""
    return Location(f"{SCRATCH_MOUNT}/output") if uri.startswith("s3://") else locate(uri, OUTPUT_MOUNT)


def model_location(model: ModelSpec) -> Location | None:
    """Where a model lies that is a folder; None for a built-in one, and for one of a hub or a bucket."""
    if not model.name.startswith(("pvc://", "file://")):
        return None
    claim = model.name.removeprefix("pvc://").partition("/")[0]
    return locate(model.name, f"{MODEL_MOUNT}/{claim}")


def origin_location(uri: str, output: str) -> Location:
    """Where the output lies that a job begins with a step of.

    On the claim of its own output it is seen through that mount: only within one mount can a step be linked
    instead of copied. Any other claim is one more volume, which is read-only.

    Args:
        uri: of the other output.
        output: the job's own URI.
    """
    claim = uri.removeprefix("pvc://").partition("/")[0]
    if claim == output_location(output).claim and uri.startswith("pvc://"):
        return Location(locate(uri, OUTPUT_MOUNT).path)
    return locate(uri, f"{ORIGIN_MOUNT}/{claim}")


def cache_location(dataset: DatasetSpec) -> Location:
    """Where tokens are kept for all jobs; nowhere unless the job says so."""
    return locate(dataset.cache, CACHE_MOUNT) if dataset.cache else Location("")


def pairs_location(evaluation: EvaluationSpec) -> Location:
    """Where the pairs lie that a model compares; nowhere unless the job names some."""
    fairness = evaluation.fairness
    return locate(fairness.pairs, PAIRS_MOUNT) if fairness else Location("")


def tasks_location(evaluation: EvaluationSpec) -> Location:
    """Where the tasks lie that a model is measured on; nowhere unless the job names some."""
    return locate(evaluation.tasks.folder, TASKS_MOUNT) if evaluation.tasks else Location("")


def penalty_pairs_location(training: TrainingSpec) -> Location:
    """Where the pairs lie that a model is to find equally likely; nowhere unless the job names some."""
    fairness = training.fairness
    return locate(fairness.pairs, PENALTY_PAIRS_MOUNT) if fairness else Location("")


def reward_model_location(training: TrainingSpec) -> Location:
    """Where the model lies that gives answers a number; nowhere unless the job names one."""
    named = training.reinforcement.reward_model if training.reinforcement else None
    return locate(named, REWARD_MODEL_MOUNT) if named else Location("")


def set_folders(evaluation: EvaluationSpec) -> dict[str, str]:
    """Where each set lies that a model is measured on apart, by its source; only of those on a disk."""
    return {name: location.path for name, location in _set_locations(evaluation).items()}


def set_claims(evaluation: EvaluationSpec) -> list[TextClaim]:
    """The claims that these sets lie on, each once; they are mounted side by side."""
    claims = dict.fromkeys(found.claim for found in _set_locations(evaluation).values() if found.claim)
    return [
        TextClaim(f"evaluation-{n}", claim, f"{EVALUATION_MOUNT}/{claim}") for n, claim in enumerate(claims)
    ]


def _set_locations(evaluation: EvaluationSpec) -> dict[str, Location]:
    names = [one.source for one in evaluation.datasets if one.as_source.on_disk]
    return {name: locate(name, f"{EVALUATION_MOUNT}/{_claim_of(name)}") for name in names}


@dataclass(frozen=True, slots=True)
class TextClaim:
    """A claim that text lies on: its volume's name, and where a worker sees it."""

    volume: str
    claim: str
    mount: str


def dataset_folder(dataset: DatasetSpec) -> str | None:
    """Where the text of a dataset with a name lies; None for what lies on no disk, and for a mixture."""
    found = {} if dataset.mixture else _locations(dataset)
    return next((location.path for location in found.values()), None)


def source_folders(dataset: DatasetSpec) -> dict[str, str]:
    """Where the text of each source of a mixture lies, by the source's name; only of those on a disk."""
    found = _locations(dataset) if dataset.mixture else {}
    return {name: location.path for name, location in found.items()}


def text_claims(dataset: DatasetSpec) -> list[TextClaim]:
    """The claims that the text lies on, each once."""
    claims = dict.fromkeys(found.claim for found in _locations(dataset).values() if found.claim)
    if dataset.mixture is None:
        return [TextClaim("dataset", claim, DATASET_MOUNT) for claim in claims]
    # a claim's name may be longer than a volume's may
    return [TextClaim(f"dataset-{n}", claim, _mount(claim)) for n, claim in enumerate(claims)]


def _locations(dataset: DatasetSpec) -> dict[str, Location]:
    """The folders of the sources by name. The claims of a mixture are mounted side by side."""
    found = {}
    for name in (source.name for source in dataset.sources if source.on_disk):
        found[name] = locate(name, _mount(_claim_of(name)) if dataset.mixture else DATASET_MOUNT)
    return found


def _claim_of(name: str) -> str:
    return name.removeprefix("pvc://").partition("/")[0]


def _mount(claim: str) -> str:
    return f"{DATASET_MOUNT}/{claim}"
