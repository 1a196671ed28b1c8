"""What CHANGELOG.md says of a version. Pure."""

from __future__ import annotations

import re

from .errors import ReleaseError

_HEADING = re.compile(r"^## \[?([^\]\s]+)\]?(?: .*)?$", re.MULTILINE)


def section(changelog: str, version: str) -> str:
    """The text below a version's heading.

    Raises:
        ReleaseError: there is none, or nothing stands there.
    """
    parts = _HEADING.split(changelog)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    if version not in found:
        raise ReleaseError(
            f"CHANGELOG.md has no section {version}: write '## {version}' above what it brings"
        )
    text = found[version].strip()
    if not text:
        raise ReleaseError(f"section {version} of CHANGELOG.md is empty: write what the version brings")
    return text


def unreleased(changelog: str) -> bool:
    """Whether it tells of changes that no version has yet."""
    try:
        return bool(section(changelog, "Unreleased"))
    except ReleaseError:
        return False


def release_notes(
    changelog: str, version: str, commit: str, files: dict[str, str], pushed: dict[str, str]
) -> str:
    """The page of a release.

    Args:
        changelog: the text of CHANGELOG.md.
        version: which.
        commit: what it is made of.
        files: the release's files, each with what it is.
        pushed: what the images are called in the registry that the chart names, by what they are built as.
    """
    rows = "\n".join(f"| `{name}` | {about} |" for name, about in files.items())
    return (
        f"# LLM training operator {version}\n\n{section(changelog, version)}\n\n"
        f"{_images(pushed)}## Files\n\n| file | |\n|---|---|\n{rows}\n\n"
        f"`sha256sum -c SHA256SUMS` checks them. Made of commit {commit} by `make release`;\n"
        "the same commit makes the same bytes with the same Python, pip, setuptools and zlib.\n"
    )


def _images(pushed: dict[str, str]) -> str:
    """What has to be in the registry before the chart is installed."""
    if not pushed:
        return ""
    rows = "\n".join(f"| `{built}` | `{name}` |" for built, name in pushed.items())
    return (
        "## Images\n\nThe chart names them so; push them before it is installed.\n\n"
        f"| built as | name |\n|---|---|\n{rows}\n\n"
    )
