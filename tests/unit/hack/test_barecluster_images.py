"""Image builds: what they depend on, what they are given; and the archives that nodes take in."""

from __future__ import annotations

import configparser
import io
import json
import tarfile
from pathlib import Path

import cpu_only
from barecluster import images, oci

DOCKERFILE = """\
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE} AS one
COPY --chown=1000:1000 app \\
     lib.txt /app/
FROM one
COPY --from=one /x /y
ADD more/*.py /more/
RUN COPY nothing here
"""


def context(folder: Path) -> Path:
    (folder / "app" / "__pycache__").mkdir(parents=True)
    (folder / "app" / "main.py").write_text("1")
    (folder / "lib.txt").write_text("1")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


def hash_of(folder: Path, base: str = "base") -> str:
    return images.input_hash(folder, folder / "Dockerfile", base, None)


def test_sources_are_what_the_dockerfile_copies_from_the_repository() -> None:
    assert images.copied_sources(DOCKERFILE) == ["app", "lib.txt", "more/*.py"]


def test_an_image_is_rebuilt_for_what_goes_into_it_and_for_nothing_else(tmp_path: Path) -> None:
    folder = context(tmp_path)
    before = hash_of(folder)
    (folder / "README.md").write_text("not copied")
    (folder / "app" / "__pycache__" / "main.pyc").write_text("compiled")
    assert hash_of(folder) == before
    (folder / "app" / "main.py").write_text("2")
    assert hash_of(folder) != before
    assert hash_of(folder, "another base") != hash_of(folder)


def test_builds_ask_the_index_that_the_caller_asks(tmp_path: Path) -> None:
    machine = tmp_path / "pip.conf"
    machine.write_text("[global]\nindex-url = https://index.invalid/machine\nno-color = true\n")
    environ = {"PIP_INDEX_URL": "https://index.invalid/own", "PIP_DEFAULT_TIMEOUT": "7", "PIP_CERT": "/gone"}
    read = configparser.ConfigParser()
    read.read_string(images.pip_config(environ, machine, has_wheels=True))
    found = dict(read["global"])
    assert found["index-url"] == "https://index.invalid/own"
    assert found["timeout"] == "7"
    assert found["cert"] == "/etc/ssl/certs/ca-certificates.crt"
    assert found["find-links"] == "/media"
    assert "no-color" not in found
    without = images.pip_config({}, tmp_path / "absent", has_wheels=False)
    assert "find-links" not in without


def test_wheels_come_from_the_named_folder(tmp_path: Path) -> None:
    assert images.wheels_folder({"LLMTRAIN_WHEELS": str(tmp_path)}) == tmp_path


def test_torchs_cpu_build_is_known_by_its_wheels_name(tmp_path: Path) -> None:
    assert not images.has_cpu_torch(None)
    (tmp_path / "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    assert not images.has_cpu_torch(tmp_path)
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    assert images.has_cpu_torch(tmp_path)


def test_without_a_gpu_only_what_is_loaded_stays(tmp_path: Path) -> None:
    used, unused, module = (
        tmp_path / name for name in ("libcublas.so.13", "libcudnn_adv.so.9", "__init__.py")
    )
    for path in (used, unused, module):
        path.write_text(path.name)
    (tmp_path / "libcublas.so").symlink_to(used)
    assert cpu_only.unneeded(sorted(tmp_path.iterdir()), {used.resolve()}) == [unused]


def test_an_archive_holds_exactly_the_blobs_that_it_is_given(tmp_path: Path) -> None:
    blob = tmp_path / "abc"
    blob.write_bytes(b"layer")
    stream = io.BytesIO()
    oci.write_archive(stream, oci.index("localhost/x:dev", {"digest": "sha256:abc"}), [blob])
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue())) as tar:
        assert tar.getnames() == ["oci-layout", "index.json", "blobs/sha256/abc"]
        found = tar.extractfile("index.json")
        assert found is not None
        (manifest,) = json.loads(found.read())["manifests"]
    assert manifest["annotations"]["io.containerd.image.name"] == "localhost/x:dev"


def test_the_pause_image_is_one_program_and_always_the_same() -> None:
    top, blobs = oci.single_program("localhost/pause:1", b"program", "pause")
    assert (top, blobs) == oci.single_program("localhost/pause:1", b"program", "pause")
    manifest, config, layer = blobs
    described = json.loads(manifest)
    assert described["config"]["digest"] == oci.digest(config)
    assert (
        described["layers"][0]["digest"] == oci.digest(layer) == json.loads(config)["rootfs"]["diff_ids"][0]
    )
