"""The version, said once, in pyproject.toml; ``python -m releasing.version`` writes it to other places."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from .errors import ReleaseError

ROOT = Path(__file__).resolve().parents[2]
_FORM = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
COPIES = {
    "crds/llmtrain_api/version.py": (r'(?m)^(VERSION = ")[^"]*(")$',),
    "helm/llm-training-operator/Chart.yaml": (r"(?m)^(version: )\S+()$", r"(?m)^(appVersion: )\S+()$"),
}
"""Files that say it too, each with what stands before and after it."""


def version_of(root: Path) -> str:
    """The version of a checkout.

    Raises:
        ReleaseError: it is none that pip and Helm read alike.
    """
    found = str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])
    if not _FORM.fullmatch(found):
        raise ReleaseError(
            f"version {found!r} of pyproject.toml is not MAJOR.MINOR.PATCH: use a form like 0.2.0"
        )
    return found


def with_version(text: str, patterns: tuple[str, ...], version: str) -> str:
    """A file's text with the version at each of its places.

    Raises:
        ReleaseError: a place is not there.
    """
    for pattern in patterns:
        text, count = re.subn(pattern, rf"\g<1>{version}\g<2>", text)
        if count != 1:
            raise ReleaseError(
                f"{pattern} stands {count} times in a file that says the version: once is right"
            )
    return text


def copies(root: Path) -> dict[Path, str]:
    """Each file that says the version, as it should be."""
    version = version_of(root)
    return {
        root / name: with_version((root / name).read_text(), patterns, version)
        for name, patterns in COPIES.items()
    }


def check(root: Path) -> None:
    """See that all of them agree.

    Raises:
        ReleaseError: one does not.
    """
    for path, text in copies(root).items():
        if path.read_text() != text:
            name = path.relative_to(root)
            raise ReleaseError(f"{name} has another version than pyproject.toml: run `make generate`")


def main() -> None:
    """Write them and say so."""
    for path, text in copies(ROOT).items():
        path.write_text(text)
        print(f"version {version_of(ROOT)}: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
