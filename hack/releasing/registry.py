"""Where a release's chart looks for the images: in a registry, under the release's version. Pure."""

from __future__ import annotations

import re

from barecluster.images import NAMES, TAGS

from .errors import ReleaseError

_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REGISTRY = re.compile(rf"[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{{1,5}})?(?:/{_PART})*")
"""A host, a port, and folders below it, as the distribution specification has them."""


def checked(registry: str) -> str:
    """A registry as images are named with it.

    Raises:
        ReleaseError: no image can be named so.
    """
    found = registry.rstrip("/")
    if not _REGISTRY.fullmatch(found):
        raise ReleaseError(
            f"--registry {registry!r} is not HOST[:PORT][/FOLDER...], such as registry.example.com/ml"
        )
    return found


def images(registry: str, version: str) -> dict[str, str]:
    """The names of a release's images in a registry, by those that they are built under."""
    return {TAGS[name]: f"{registry}/llmtrain-{name}:{version}" for name in NAMES}


def named(values: str, registry: str, version: str) -> str:
    """The chart's values with the images of a registry, and everything else as it is.

    Args:
        values: the text of values.yaml.
        registry: as `checked` gives it.
        version: of the release, which is the images' tag.

    Raises:
        ReleaseError: a value is not there once, so that the chart would go on naming an image of nobody's.
    """
    pushed = images(registry, version)
    built, operator = (name.rpartition(":") for name in (TAGS["operator"], pushed[TAGS["operator"]]))
    for old, new in (
        (f"  repository: {built[0]}\n", f"  repository: {operator[0]}\n"),
        (f"  tag: {built[2]}\n", f'  tag: "{operator[2]}"\n'),
        (f"  image: {TAGS['trainer']}\n", f"  image: {pushed[TAGS['trainer']]}\n"),
    ):
        if values.count(old) != 1:
            raise ReleaseError(f"values.yaml has not one line {old.strip()!r}, which names the registry")
        values = values.replace(old, new)
    return values
