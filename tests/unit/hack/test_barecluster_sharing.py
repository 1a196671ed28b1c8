"""Layers of images become one set of files, and nothing that differs is ever taken for the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from barecluster import sharing
from barecluster.settings import settings_for
from barecluster.store import chain

OLD = 1_700_000_000
SIZE = sharing.WORTH_BYTES


def file(path: Path, text: str, mode: int = 0o644, time: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text * SIZE)
    path.chmod(mode)
    os.utime(path, (time, time))
    return path


def are_one(one: Path, other: Path) -> bool:
    return one.stat().st_ino == other.stat().st_ino


def test_equal_layers_share_their_files_at_any_depth(tmp_path: Path) -> None:
    stacks = [[tmp_path / place / layer for layer in ("top", "base")] for place in ("store", "n1", "n2")]
    for top, base in stacks:
        file(top / "app/main.py", "main")
        file(base / "usr/lib/x.so", "library")
    assert sharing.share_layers(stacks) == 2 * SIZE * len("main" + "library")
    for top, base in stacks[1:]:
        assert are_one(top / "app/main.py", stacks[0][0] / "app/main.py")
        assert are_one(base / "usr/lib/x.so", stacks[0][1] / "usr/lib/x.so")
    assert sharing.share_layers(stacks) == 0, "once more changes nothing"
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(
    "other", [{"text": "aa"}, {"mode": 0o755}, {"time": OLD + 1}], ids=lambda x: next(iter(x))
)
def test_files_that_differ_stay_two(tmp_path: Path, other: dict[str, object]) -> None:
    one = file(tmp_path / "n1/f", "a")
    two = file(tmp_path / "n2/f", **{"text": "a", **other})  # type: ignore[arg-type]
    before = two.read_text()
    sharing.share_layers([[tmp_path / "n1"], [tmp_path / "n2"]])
    assert not are_one(one, two)
    assert two.read_text() == before


def test_fractions_of_a_second_are_lost_in_archives_and_do_not_count(tmp_path: Path) -> None:
    one, two = file(tmp_path / "n1/f", "a", time=OLD + 0.5), file(tmp_path / "n2/f", "a")
    sharing.share_layers([[tmp_path / "n1"], [tmp_path / "n2"]])
    assert are_one(one, two)


def test_links_and_small_files_are_left_alone(tmp_path: Path) -> None:
    for place in ("n1", "n2"):
        file(tmp_path / place / "small", "a").write_bytes(b"a" * (SIZE - 1))
        os.utime(tmp_path / place / "small", (OLD, OLD))
        (tmp_path / place / "link").symlink_to("small")
    assert sharing.share_layers([[tmp_path / "n1"], [tmp_path / "n2"]]) == 0
    assert (tmp_path / "n2/link").is_symlink()


def test_stacks_of_another_height_are_not_compared(tmp_path: Path) -> None:
    one, two = file(tmp_path / "n1/f", "a"), file(tmp_path / "n2/f", "a")
    assert sharing.share_layers([[tmp_path / "n1"], [tmp_path / "n2", tmp_path / "n1"]]) == 0
    assert sharing.share_layers([[tmp_path / "n1"], []]) == 0
    assert not are_one(one, two)


def test_archives_are_shared_by_name_and_size(tmp_path: Path) -> None:
    settings = settings_for("demo", {"LLMTRAIN_STATE": str(tmp_path)})
    nodes = [settings.node(1), settings.node(2)]
    blob = file(tmp_path / "oci" / "abc", "archive")
    content = "root/io.containerd.content.v1.content/blobs/sha256/abc"
    whole = file(nodes[0].home / content, "archive", mode=0o444)
    part = file(nodes[1].home / content, "archi")
    assert sharing.share_blobs([blob, tmp_path / "oci" / "absent"], nodes) == SIZE * len("archive")
    assert are_one(blob, whole)
    assert part.read_text() == "archi" * SIZE


def test_a_chain_of_layers_is_named_as_containerd_names_it() -> None:
    one, two = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
    assert sharing.chain_id([one]) == one
    assert sharing.chain_id([one, two]) == (
        "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c"
    )


@pytest.mark.parametrize(
    ("command", "folders"),
    [
        ("mount -t bind /r/snapshots/1/fs /nowhere -o ro,rbind", ["/r/snapshots/1/fs"]),
        ("mount -t overlay overlay /nowhere -o index=off,lowerdir=/r/2/fs:/r/1/fs", ["/r/2/fs", "/r/1/fs"]),
        ("mount -t overlay overlay /nowhere -o ro", []),
        ("", []),
    ],
)
def test_a_views_mount_tells_its_layers(command: str, folders: list[str]) -> None:
    assert [str(folder) for folder in sharing.layer_folders(command)] == folders


def test_a_layer_is_followed_by_those_below_it() -> None:
    assert list(chain("c", {"a": None, "b": "a", "c": "b"})) == ["c", "b", "a"]
    assert list(chain(None, {})) == []
