"""The image that others start from, where no registry offers one: Debian with Python, made by debootstrap."""

from __future__ import annotations

import shutil
from pathlib import Path

from barecluster.console import step
from barecluster.shell import run, run_logged
from barecluster.store import Store

TAG = "localhost/llmtrain-base:bookworm"
_SUITE = "bookworm"
_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
_NOT_NEEDED = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/log",
)


def ensure(cache: Path, store: Store) -> str:
    """Have the base image in the store; its identity."""
    found = store.image_id(TAG)
    if found is None:
        archive = _archive(cache)
        with step(f"image {TAG}"):
            _import(archive, store)
        found = store.image_id(TAG)
    return found or ""


def _archive(cache: Path) -> Path:
    target = cache / "images" / f"base-{_SUITE}.tar"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    tree = target.with_suffix(".tree")
    with step("debootstrap (once a machine)"):
        shutil.rmtree(tree, ignore_errors=True)
        words = ("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, tree)
        run_logged(words, cache / "logs" / "debootstrap.log", timeout=1800)
        _trim(tree)
        partial = target.with_suffix(".partial")
        run("tar", "-C", tree, "--numeric-owner", "-cf", partial, ".", timeout=600)
        partial.rename(target)
        shutil.rmtree(tree)
    return target


def _trim(tree: Path) -> None:
    for name in _NOT_NEEDED:
        shutil.rmtree(tree / name, ignore_errors=True)
        (tree / name).mkdir()
    (tree / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for name in ("etc/resolv.conf", "etc/hostname"):  # the building machine's, not the image's
        (tree / name).unlink(missing_ok=True)


def _import(archive: Path, store: Store) -> None:
    container = run(*store.buildah, "from", "scratch").strip()
    try:
        run(*store.buildah, "add", "-q", container, archive, "/", timeout=600)
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        run(*store.buildah, "config", "--env", path, "--env", "LANG=C.UTF-8", "--cmd", "python3", container)
        run(*store.buildah, "commit", "-q", container, TAG, timeout=600)
    finally:
        run(*store.buildah, "rm", container)
