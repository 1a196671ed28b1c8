"""Bills of materials, CycloneDX 1.6 as JSON: an image's Python packages, who asks for each, and its licence.

Versions are those of constraints.txt, names and licences those of what is installed; where the two differ
nothing is written. What the image's base brings, such as Debian's packages, is not in them.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement

from .errors import ReleaseError

NAME = "llm-training-operator"
_LONGEST_LICENCE = 80
"""Some packages put the whole text into the field that names it."""


@dataclass(frozen=True)
class Part:
    """One package.

    Attributes:
        licence: in words; empty where the package does not say.
        expression: whether these words are an SPDX expression.
        needs: references of the packages that it asks for.
    """

    ref: str
    name: str
    version: str
    licence: str = ""
    expression: bool = False
    needs: tuple[str, ...] = ()

    def component(self) -> dict[str, Any]:
        """As CycloneDX has it."""
        told: dict[str, Any] = {
            "type": "library",
            "bom-ref": self.ref,
            "name": self.name,
            "version": self.version,
        }
        if self.licence:
            named = {"expression": self.licence} if self.expression else {"license": {"name": self.licence}}
            told["licenses"] = [named]
        return told | {"purl": self.ref}


def normal(name: str) -> str:
    """The name by which pip compares packages."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(constraints: str) -> dict[str, str]:
    """The versions of constraints.txt."""
    rows = (line.split(";")[0].strip() for line in constraints.splitlines() if "==" in line)
    return {normal(name): version for name, _, version in (row.partition("==") for row in rows)}


def python_parts(wanted: Iterable[str], pinned: Mapping[str, str]) -> list[Part]:
    """What requirements come to in the environment that runs this, with all that they ask for.

    Raises:
        ReleaseError: something is not installed, not pinned, or installed in another version.
    """
    queue = [Requirement(text) for text in wanted]
    extras: dict[str, set[str]] = {}
    while queue:
        asked = queue.pop()
        name = normal(asked.name)
        if name in extras and asked.extras <= extras[name]:
            continue
        extras[name] = extras.get(name, set()) | asked.extras
        queue += _needs(_installed(name), extras[name])
    return [_part(name, extras[name], pinned) for name in sorted(extras)]


def _installed(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise ReleaseError(f"{name} is required and not installed: run `make venv`") from None


def _needs(found: metadata.Distribution, extras: set[str]) -> Iterator[Requirement]:
    for text in found.requires or ():
        asked = Requirement(text)
        if asked.marker is None or any(asked.marker.evaluate({"extra": one}) for one in ("", *extras)):
            yield asked


def _part(name: str, extras: set[str], pinned: Mapping[str, str]) -> Part:
    found = _installed(name)
    version = found.version.partition("+")[0]
    if pinned.get(name) != version:
        told = pinned.get(name, "no version")
        raise ReleaseError(
            f"constraints.txt pins {told} of {name}, and {version} is installed: run `make venv`"
        )
    expression = _field(found, "License-Expression")
    needs = {_purl(one.name, _installed(normal(one.name)).version) for one in _needs(found, extras)}
    return Part(
        _purl(name, version),
        name,
        version,
        expression or _licence(found),
        bool(expression),
        tuple(sorted(needs)),
    )


def _field(found: metadata.Distribution, name: str) -> str:
    return str((found.metadata.get_all(name) or [""])[0]).strip()


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{normal(name)}@{version.partition('+')[0]}"


def _licence(found: metadata.Distribution) -> str:
    said = _field(found, "License")
    if said and len(said) <= _LONGEST_LICENCE and "\n" not in said:
        return said
    classifiers = found.metadata.get_all("Classifier") or []
    named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License ::")]
    return " or ".join(named)


def page_parts(lock: str) -> list[Part]:
    """What is built into the web page, from the text of package-lock.json."""
    packages: dict[str, Any] = json.loads(lock)["packages"]
    return [
        Part(
            f"pkg:npm/{name}@{packages[f'node_modules/{name}']['version']}",
            name,
            packages[f"node_modules/{name}"]["version"],
            packages[f"node_modules/{name}"].get("license", ""),
            expression=True,
        )
        for name in sorted(packages[""]["dependencies"])
    ]


def document(image: str, version: str, epoch: int, parts: list[Part], direct: Iterable[str]) -> str:
    """The whole bill.

    Args:
        image: whose.
        version: of the project.
        epoch: the commit's second.
        parts: all packages.
        direct: names of those that our own code asks for.
    """
    own = f"pkg:pypi/{NAME}@{version}"
    root = {"type": "application", "bom-ref": own, "name": f"{NAME}/{image}", "version": version}
    licensed = root | {"licenses": [{"expression": "Apache-2.0"}], "purl": own}
    asked = {normal(name) for name in direct}
    edges = [{"ref": own, "dependsOn": sorted(part.ref for part in parts if part.name in asked)}]
    edges += [{"ref": part.ref, "dependsOn": list(part.needs)} for part in parts]
    body = {
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": licensed,
        },
        "components": [part.component() for part in parts],
        "dependencies": edges,
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(body, sort_keys=True))
    head = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
    }
    return json.dumps(head | body, indent=2, ensure_ascii=False) + "\n"
