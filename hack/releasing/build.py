"""All files of a release, one function a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

import chartreadme
from requirements import requirements

from . import archives, images, notes, registry, sbom, source, version, wheel
from .errors import ReleaseError
from .source import Source

CHART = "llm-training-operator"
PACKAGES = ("crds", "operator", "trainer_image")


@dataclass(frozen=True)
class Release:
    """What the files are made of, and where they go.

    Attributes:
        version: of the project.
        source: the commit, unpacked.
        folder: where the files go.
        registry: whose images the chart names; empty for those of this machine.
        images: identities and digests of both images, as JSON; empty where none were asked for.
    """

    version: str
    source: Source
    folder: Path
    registry: str = ""
    images: str = ""

    def write(self, name: str, data: bytes | str) -> None:
        """One file."""
        (self.folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


@dataclass(frozen=True)
class File:
    """One file of a release: its name, what it is, and how it is made."""

    name: str
    about: str
    make: Callable[[Release, str], None]


def files(number: str, *, with_images: bool, with_site: bool) -> list[File]:
    """The files of a release, in the order in which they are made."""
    found = [
        File(
            f"llm_training_operator-{number}-py3-none-any.whl", "the Python packages: `pip install`", _wheel
        ),
        File(f"{CHART}-{number}.tgz", "the chart: `helm install`", _chart),
        File("crds.yaml", "the CRDs alone: `kubectl apply --server-side`", _crds),
        File("llmtrainingjob.schema.json", "JSON Schema of a manifest, for editors", _schema),
        File(
            "sbom-operator.cdx.json",
            "what the operator's image has of Python and npm, CycloneDX",
            _operator_bill,
        ),
        File("sbom-trainer.cdx.json", "what the trainer's image has of Python, CycloneDX", _trainer_bill),
        File(f"{CHART}-{number}-source.tar.gz", "the commit", _source),
    ]
    if with_images:
        found.append(File("images.json", "identities and digests of both images", _images))
    if with_site:
        found.append(File(f"{CHART}-{number}-docs.tar.gz", "the documents as a site, offline", _site))
    return found


def make(
    root: Path, target: Path, *, with_images: bool = False, with_site: bool = True, in_registry: str = ""
) -> Path:
    """Make a release of a checkout's newest commit.

    Args:
        root: the checkout.
        target: the folder of releases; this one is a folder in it by its version, whole or not there.
        with_images: build the images, too, and name their digests.
        with_site: build the documents' site, too.
        in_registry: the registry whose images the chart is to name; empty for those of this machine.

    Raises:
        ReleaseError: it cannot be made.
    """
    in_registry = registry.checked(in_registry) if in_registry else ""
    number = version.version_of(root)
    source.check(root, number)
    version.check(root)
    changelog = (root / "CHANGELOG.md").read_text()
    notes.section(changelog, number)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".") as place:
        found = source.export(root, Path(place, "source"))
        # at once: another checkout may build its own under the same names
        built = images.built(root) if with_images else ""
        release = Release(number, found, Path(place, "files"), in_registry, built)
        release.folder.mkdir(mode=0o755)
        made = files(number, with_images=with_images, with_site=with_site)
        for one in made:
            one.make(release, one.name)
        about = {one.name: one.about for one in made}
        pushed = registry.images(in_registry, number) if in_registry else {}
        release.write("RELEASE_NOTES.md", notes.release_notes(changelog, number, found.commit, about, pushed))
        release.write(archives.SUMS, archives.sums(release.folder))
        final = target / number
        shutil.rmtree(final, ignore_errors=True)
        release.folder.rename(final)
    return final


def _wheel(release: Release, name: str) -> None:
    built = wheel.build(release.source, release.folder)
    if built.name != name:
        raise ReleaseError(f"pip built {built.name}, not {name}: the version is read from another place")


def _chart(release: Release, name: str) -> None:
    folder = release.source.folder / "helm" / CHART
    if release.registry:
        folder = shutil.copytree(folder, release.folder.with_name("chart"))
        values = folder / "values.yaml"
        values.write_text(registry.named(values.read_text(), release.registry, release.version))
        (folder / "README.md").write_text(chartreadme.page(folder))
    release.write(name, archives.packed(folder, CHART, release.source.epoch, first="Chart.yaml"))


def _crds(release: Release, name: str) -> None:
    found = sorted((release.source.folder / "crds").glob("*.yaml"))
    release.write(name, "---\n".join(path.read_text() for path in found))


def _schema(release: Release, name: str) -> None:
    release.write(name, _run(release, sys.executable, "-m", "llmtrain", "schema"))


def _operator_bill(release: Release, name: str) -> None:
    lock = (release.source.folder / "web" / "package-lock.json").read_text()
    page = sbom.page_parts(lock)
    release.write(name, _bill(release, "operator", page))


def _trainer_bill(release: Release, name: str) -> None:
    release.write(name, _bill(release, "trainer", []))


def _bill(release: Release, image: str, more: list[sbom.Part]) -> str:
    folder = release.source.folder
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    wanted = requirements(project, [image])
    parts = [*sbom.python_parts(wanted, sbom.pins((folder / "constraints.txt").read_text())), *more]
    direct = [Requirement(text).name for text in wanted] + [part.name for part in more]
    return sbom.document(image, release.version, release.source.epoch, parts, direct)


def _source(release: Release, name: str) -> None:
    packed = source.archive(release.source.root, release.source.commit, f"{CHART}-{release.version}/")
    release.write(name, archives.compressed(packed, release.source.epoch))


def _images(release: Release, name: str) -> None:
    release.write(name, release.images)


def _site(release: Release, name: str) -> None:
    _run(release, "hack/docs")
    site = release.source.folder / "build" / "site"
    release.write(name, archives.packed(site, f"{CHART}-{release.version}-docs", release.source.epoch))


def _run(release: Release, *words: str) -> str:
    folder = release.source.folder
    path = os.pathsep.join(str(folder / one) for one in PACKAGES)
    dated = {
        "PYTHONPATH": path,
        "SOURCE_DATE_EPOCH": str(release.source.epoch),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        words, cwd=folder, env=os.environ | dated, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise ReleaseError(f"{' '.join(words[-2:])} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout
