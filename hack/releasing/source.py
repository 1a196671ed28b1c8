"""What a release is made of: a commit, and nothing that lies about beside it."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from .errors import ReleaseError


@dataclass(frozen=True)
class Source:
    """A commit in a folder of its own.

    Attributes:
        root: the checkout that has it.
        folder: its files.
        commit: its hash.
        epoch: the second that all that is made of it is dated by.
    """

    root: Path
    folder: Path
    commit: str
    epoch: int


def git(root: Path, *words: str) -> bytes:
    """Run git; what it printed.

    Raises:
        ReleaseError: it failed.
    """
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ReleaseError(f"git {words[0]} failed in the checkout: {said[-1] if said else done.returncode}")
    return done.stdout


def check(root: Path, version: str) -> None:
    """See that the tree is that of its commit, and that no other commit has this version.

    Raises:
        ReleaseError: it is not.
    """
    changed = git(root, "status", "--porcelain").decode().splitlines()
    if changed:
        first = changed[0][3:]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise ReleaseError(f"the tree has changes that no commit has ({first}{more}): commit or remove them")
    tag = f"v{version}"
    if git(root, "tag", "--list", tag):
        tagged = git(root, "rev-parse", f"{tag}^{{commit}}").decode().strip()
        if tagged != git(root, "rev-parse", "HEAD").decode().strip():
            raise ReleaseError(f"{tag} is another commit, {tagged[:12]}: raise the version in pyproject.toml")


def export(root: Path, target: Path) -> Source:
    """Unpack the newest commit."""
    commit = git(root, "rev-parse", "HEAD").decode().strip()
    with tarfile.open(fileobj=io.BytesIO(archive(root, commit))) as tar:
        tar.extractall(target, filter="tar")
    told = os.environ.get("SOURCE_DATE_EPOCH") or git(root, "log", "-1", "--format=%ct").decode().strip()
    return Source(root, target, commit, int(told))


def archive(root: Path, commit: str, prefix: str = "") -> bytes:
    """A commit as a tar, whatever git is set to."""
    return git(root, "-c", "tar.umask=0022", "archive", "--format=tar", f"--prefix={prefix}", commit)
