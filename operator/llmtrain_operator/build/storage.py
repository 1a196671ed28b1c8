"""What a URI of the spec means inside a pod."""

from __future__ import annotations

from dataclasses import dataclass

from llmtrain_api.names import DATASET_MOUNT, OUTPUT_MOUNT, SCRATCH_MOUNT


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


def dataset_location(name: str) -> Location | None:
    """Where the text lies; None for built-in data."""
    return None if name.startswith("builtin://") else locate(name, DATASET_MOUNT)
