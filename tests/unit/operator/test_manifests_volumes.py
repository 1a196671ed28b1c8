"""Where a URI lies in a pod."""

from __future__ import annotations

import pytest

from llmtrain_operator.manifests.volumes import locate


def test_locations() -> None:
    assert locate("pvc://claim/a/b/", "/m").path == "/m/a/b"
    assert locate("pvc://claim", "/m").path == "/m"
    assert locate("file:///a/b", "/m").claim is None
    with pytest.raises(ValueError, match="s3"):
        locate("s3://b", "/m")
