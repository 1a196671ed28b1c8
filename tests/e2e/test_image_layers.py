"""What a node pulls when nothing but our code has changed: the last layers of the images, as built."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import pytest

from barecluster.images import TAGS
from barecluster.settings import settings_for
from barecluster.store import Store
from barecluster.transfer import Layout

MOST = 5_000_000
CODE = "app"
BLOCK = 1 << 20


def layers(image: str) -> list[Path]:
    """Files of the image's layers that `hack/cluster load` has sent, the lowest first."""
    cache = settings_for("default").cache
    store, layout = Store(cache), Layout(cache / "images" / "oci")
    with store.locked():
        _, _, *found = layout.paths(layout.take(store, image))
    return found


def has_code(layer: Path) -> bool:
    with tarfile.open(layer) as tar:
        return any(member.name.split("/")[0] == CODE for member in tar)


def packed(layer: Path) -> int:
    """Bytes of a layer as registries keep it."""
    packer, size = zlib.compressobj(), 0
    with layer.open("rb") as file:
        while block := file.read(BLOCK):
            size += len(packer.compress(block))
    return size + len(packer.flush())


@pytest.mark.parametrize("name", list(TAGS))
def test_a_change_of_our_code_is_a_pull_of_less_than_5_mb(name: str) -> None:
    """All that is above the lowest layer with our code is made anew with it."""
    found = layers(TAGS[name])
    ours = [number for number, layer in enumerate(found) if has_code(layer)]
    assert ours, "our code is in the image"
    again = found[ours[0] :]
    assert len(again) < len(found), "what pip installs lies below our code"
    size = sum(map(packed, again))
    print(f"{name}: {size:,} bytes in {len(again)} layers")
    assert size < MOST
