"""Which images belong to a release, by digests of the store that `hack/cluster images` fills."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from barecluster.images import NAMES, TAGS
from barecluster.settings import cache_root
from barecluster.store import Store

from .errors import ReleaseError


def built(root: Path) -> str:
    """Build what changed; each image with its identity, which stays wherever it is pushed to, and its
    manifest's digest here, as JSON.

    Raises:
        ReleaseError: that failed; it has told why.
    """
    if subprocess.run(["hack/cluster", "images"], cwd=root, check=False).returncode:
        raise ReleaseError("hack/cluster images failed: see above")
    store = Store(cache_root())
    with store.locked():
        listing = store.listing()
    return document(listing)


def document(listing: dict[str, tuple[str, str]]) -> str:
    """The same as JSON.

    Args:
        listing: identity and digest of each image by its tag.

    Raises:
        ReleaseError: an image is not there.
    """
    told = []
    for name in NAMES:
        if TAGS[name] not in listing:
            raise ReleaseError(f"there is no image {TAGS[name]}: run `make images`")
        identity, digest = listing[TAGS[name]]
        told.append({"name": f"llmtrain-{name}", "built": TAGS[name], "imageId": identity, "digest": digest})
    return json.dumps({"images": told}, indent=2) + "\n"
