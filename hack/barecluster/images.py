"""Building the project's images from the Dockerfiles that also build with Docker, here with buildah."""

from __future__ import annotations

import configparser
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from barecluster import base_image
from barecluster.console import ClusterError, say, step
from barecluster.settings import REPOSITORY
from barecluster.shell import run_logged
from barecluster.store import Store

_DOCKERFILES = {"operator": "operator/Dockerfile", "trainer": "trainer_image/Dockerfile"}
NAMES = tuple(_DOCKERFILES)
TAGS = {name: f"localhost/llmtrain-{name}:dev" for name in NAMES}

_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_WHEELS = Path("/media")  # there in every image: mounting on it leaves nothing behind
_CARRIED = ("index-url", "extra-index-url", "trusted-host", "proxy", "retries", "timeout", "default-timeout")
NO_CPU_TORCH = (
    "no wheel of torch's CPU build in LLMTRAIN_WHEELS, ../shared/wheels or PIP_FIND_LINKS: unless the index "
    "offers it, pip takes the CUDA build, with 2 GB more to download and 6 GB more on the disk"
)
_NOT_SOURCES = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")


def build_images(names: Iterable[str], cache: Path) -> None:
    """Build each image unless nothing that goes into it changed since its last build."""
    for name in names:
        if name not in _DOCKERFILES:
            raise ClusterError(f"no image {name!r}: {', '.join(NAMES)}")
        if not (REPOSITORY / _DOCKERFILES[name]).exists():
            raise ClusterError(f"{_DOCKERFILES[name]} does not exist")
    store = Store(cache)
    with store.locked():
        base = base_image.ensure(cache, store)
        for name in names:
            _build_if_changed(name, base, cache, store)


def _build_if_changed(name: str, base: str, cache: Path, store: Store) -> None:
    wheels = wheels_folder(os.environ)
    inputs = input_hash(REPOSITORY, REPOSITORY / _DOCKERFILES[name], base, wheels)
    record = cache / "images" / f"{name}.built"
    current = store.image_id(TAGS[name])
    if current and record.exists() and record.read_text() == f"{inputs} {current}":
        say(f"image {TAGS[name]}: nothing changed")
        return
    if name == "trainer" and not has_cpu_torch(wheels):
        say(NO_CPU_TORCH)
    with step(f"image {TAGS[name]}"), tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "pip.conf")
        config.write_text(pip_config(os.environ, Path("/etc/pip.conf"), has_wheels=wheels is not None))
        log = cache / "logs" / f"image-{name}.log"
        run_logged(_build_words(name, store, config, wheels), log, cwd=REPOSITORY, timeout=3600)
    record.write_text(f"{inputs} {store.image_id(TAGS[name])}")


def _build_words(name: str, store: Store, config: Path, wheels: Path | None) -> list[str | Path]:
    # What the build needs of this machine is mounted, so that no layer can keep it: all that may stay is
    # an empty /etc/pip.conf.
    mounts = {_CA_BUNDLE: _CA_BUNDLE, config: Path("/etc/pip.conf")}
    if wheels:
        mounts[wheels] = _WHEELS
    volumes = [word for source, target in mounts.items() for word in ("-v", f"{source}:{target}:ro")]
    return [
        "nice",
        "-n",
        "5",
        *store.buildah,
        "build",
        "--isolation=chroot",
        "--layers",
        "--pull-never",
        "--format=oci",
        f"--build-arg=BASE_IMAGE={base_image.TAG}",
        "--build-arg=ACCELERATOR=cpu",  # the nodes have no device plugin
        "--build-arg=COMPILER=",  # 250 MB from Debian's archive, which need not be reachable from a build
        *volumes,
        f"--tag={TAGS[name]}",
        f"--file={_DOCKERFILES[name]}",
        ".",
    ]


def wheels_folder(environ: Mapping[str, str]) -> Path | None:
    """A folder of wheels for pip to prefer, if there is one."""
    places = [environ.get("LLMTRAIN_WHEELS"), str(REPOSITORY.parent / "shared" / "wheels")]
    places += environ.get("PIP_FIND_LINKS", "").split()
    return next((Path(place).resolve() for place in places if place and Path(place).is_dir()), None)


def has_cpu_torch(wheels: Path | None) -> bool:
    """Whether the folder holds torch's CPU build."""
    return wheels is not None and any(wheels.glob("torch-*+cpu-*.whl"))


def pip_config(environ: Mapping[str, str], machine: Path, *, has_wheels: bool) -> str:
    """The pip.conf for builds: which index to ask is the caller's setting, or the machine's."""
    read = configparser.RawConfigParser()
    read.read(machine)
    own = dict(read["global"]) if read.has_section("global") else {}
    carried = {key: own[key] for key in _CARRIED if key in own}
    for key in _CARRIED:
        if value := environ.get("PIP_" + key.upper().replace("-", "_")):
            carried[key] = value
    if "default-timeout" in carried:
        carried["timeout"] = carried.pop("default-timeout")
    fixed = {"cert": str(_CA_BUNDLE), "break-system-packages": "true", "root-user-action": "ignore"}
    fixed["disable-pip-version-check"] = "true"
    if has_wheels:
        fixed["find-links"] = str(_WHEELS)
    written = configparser.RawConfigParser()
    written["global"] = {"timeout": "180", **carried, **fixed}
    text = io.StringIO()
    written.write(text)
    return text.getvalue()


def copied_sources(dockerfile: str) -> list[str]:
    """The paths that COPY and ADD take from the build context."""
    joined = re.sub(r"\\\n\s*", " ", dockerfile)
    sources: list[str] = []
    for line in joined.splitlines():
        words = line.split()
        if words and words[0].upper() in ("COPY", "ADD"):
            options = [word for word in words[1:] if word.startswith("--")]
            if not any(word.startswith("--from=") for word in options):
                sources += [word for word in words[1:-1] if not word.startswith("--")]
    return sources


def input_hash(context: Path, dockerfile: Path, base: str, wheels: Path | None) -> str:
    """Changes when anything does that decides the image, as far as the repository and this machine say."""
    text = dockerfile.read_text()
    digest = hashlib.sha256(f"{base}\0{text}".encode())
    for source in copied_sources(text):
        found = [
            path for match in sorted(context.glob(source)) for path in [match, *sorted(match.rglob("*"))]
        ]
        for path in found:
            if path.is_file() and not set(path.parts) & set(_NOT_SOURCES):
                digest.update(f"\0{path.relative_to(context)}\0{path.stat().st_mode}\0".encode())
                digest.update(path.read_bytes())
    for wheel in sorted(wheels.glob("*.whl")) if wheels else ():
        digest.update(f"\0{wheel.name}\0{wheel.stat().st_size}".encode())
    return digest.hexdigest()
