"""The pause image: what every pod's sandbox runs, as no registry can be asked for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from barecluster import oci
from barecluster.console import step
from barecluster.node_config import PAUSE_IMAGE
from barecluster.shell import run

_SOURCE = Path(__file__).with_name("pause.c")


def archive(cache: Path) -> Path:
    """An OCI archive of the image, made once."""
    key = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    target = cache / "images" / f"pause-{key}.tar"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with step("pause image"):
            program = target.with_suffix(".program")
            run("gcc", "-Os", "-static", "-s", "-o", program, _SOURCE)
            top, blobs = oci.single_program(PAUSE_IMAGE, program.read_bytes(), "pause")
            partial = target.with_suffix(".partial")
            with partial.open("wb") as stream:
                oci.write_archive(stream, top, blobs)
            partial.rename(target)
            program.unlink()
    return target
