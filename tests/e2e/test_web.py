"""The web page as a platform team turns it on: our image, in a pod, ready once it has listed the jobs."""

from __future__ import annotations

import pytest
from harness.cluster import Namespace
from harness.web_install import web_page

pytestmark = [pytest.mark.e2e, pytest.mark.proof, pytest.mark.timeout(400)]
PODS = (
    "/api/v1/namespaces/llmtrain-system/pods?labelSelector=app.kubernetes.io/name=llm-training-operator-web"
)


def test_the_page_is_ready_beside_the_operator(namespace: Namespace) -> None:
    with web_page():
        [pod] = namespace.cluster.call("GET", PODS)["items"]
        ready = [c for c in pod["status"]["conditions"] if c["type"] == "Ready"]
        assert [c["status"] for c in ready] == ["True"]
