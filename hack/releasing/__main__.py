"""``python -m releasing``: make a release of the newest commit into build/release/VERSION."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import notes
from .build import make
from .errors import ReleaseError
from .version import ROOT


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser("make release", description="Make a release of the newest commit.")
    top.add_argument("--images", action="store_true", help="build the images, too, and name their digests")
    top.add_argument(
        "--registry",
        default="",
        metavar="HOST[:PORT][/FOLDER]",
        help="have the chart name this registry's images, with the version as their tag",
    )
    top.add_argument("--no-site", action="store_true", help="without the documents' site (half a minute)")
    top.add_argument("--out", type=Path, default=ROOT / "build" / "release", help="the folder of releases")
    return top


def main() -> int:
    """Make it; the exit code."""
    options = parser().parse_args()
    try:
        made = make(
            ROOT,
            options.out,
            with_images=options.images,
            with_site=not options.no_site,
            in_registry=options.registry,
        )
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    if notes.unreleased((ROOT / "CHANGELOG.md").read_text()):
        print(
            f"release: CHANGELOG.md has changes under Unreleased that the notes of {made.name} do not tell: "
            "give them a version before this is published",
            file=sys.stderr,
        )
    if not options.registry:
        print(
            "release: the chart names images of this machine, localhost/llmtrain-...:dev; "
            "--registry HOST/FOLDER has it name yours",
            file=sys.stderr,
        )
    for path in sorted(made.iterdir()):
        print(f"{path.stat().st_size:>10} {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
