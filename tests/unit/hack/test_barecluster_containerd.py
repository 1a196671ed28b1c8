"""What `ctr` may answer while containerd removes an image's layers, played by a program of that name."""

from __future__ import annotations

from pathlib import Path

import pytest

from barecluster.console import ClusterError
from barecluster.containerd import UNPACK_ATTEMPTS, Containerd
from barecluster.settings import Node, Settings

CTR = """#!/bin/sh
echo "$@" >> {calls}
test $(grep -c unpack {calls}) -ge {good} && exit 0
echo 'ctr: {message}' >&2
exit 1
"""
RACE = "apply layer error: parent snapshot sha256:71b4 does not exist: not found"


def containerd(folder: Path, good: int, message: str) -> tuple[Containerd, Path]:
    """A client whose `ctr snapshots unpack` succeeds from the attempt with that number on."""
    settings = Settings("test", folder, folder)
    settings.bin.mkdir(parents=True)
    calls = folder / "calls"
    program = settings.bin / "ctr"
    program.write_text(CTR.format(calls=calls, good=good, message=message))
    program.chmod(0o755)
    return Containerd(settings, Node(1, folder, "group")), calls


def test_layers_that_went_while_they_were_needed_are_unpacked_anew(tmp_path: Path) -> None:
    client, calls = containerd(tmp_path, 3, RACE)
    client.unpack("sha256:m")
    assert len(calls.read_text().splitlines()) == 3


@pytest.mark.parametrize(("message", "attempts"), [(RACE, UNPACK_ATTEMPTS), ("no space left on device", 1)])
def test_what_stays_wrong_ends_with_the_answer(tmp_path: Path, message: str, attempts: int) -> None:
    client, calls = containerd(tmp_path, 100, message)
    with pytest.raises(ClusterError, match=message):
        client.unpack("sha256:m")
    assert len(calls.read_text().splitlines()) == attempts
