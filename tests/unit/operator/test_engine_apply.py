"""Which answers of the API server to a create are refusals, and of what kind."""

from __future__ import annotations

import pytest

from llmtrain_operator.engine.apply import as_refusal
from llmtrain_operator.kube.api import ApiError
from llmtrain_operator.types import RefusalKind


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (403, "pods is forbidden: exceeded quota: q", RefusalKind.QUOTA),
        (403, "violates PodSecurity restricted", RefusalKind.REJECTED),
        (422, "Pod is invalid", RefusalKind.REJECTED),
        (403, "namespace x because it is being terminated", RefusalKind.NAME_CONFLICT),
        (403, "failed quota: limits: must specify limits.cpu for: trainer", RefusalKind.REJECTED),
        (403, "maximum memory usage per Container is 2Gi, but limit is 4Gi", RefusalKind.REJECTED),
        (403, 'User "x" cannot create resource "pods" in API group ""', RefusalKind.FORBIDDEN),
        (403, "status unknown for quota: q", RefusalKind.FORBIDDEN),
        (403, "error looking up service account team/default", RefusalKind.FORBIDDEN),
        (403, "unable to validate against any security context constraint", RefusalKind.FORBIDDEN),
        (400, 'admission webhook "x" denied the request: no', RefusalKind.FORBIDDEN),
        (500, "failed calling webhook", RefusalKind.UNAVAILABLE),
        (0, "connection refused", None),
        (429, "slow down", RefusalKind.UNAVAILABLE),
        (409, "please apply your changes to the latest version and try again", None),
        (413, "Request entity too large", RefusalKind.UNAVAILABLE),
    ],
)
def test_which_refusals_are_told(status: int, message: str, kind: RefusalKind | None) -> None:
    refusal = as_refusal(ApiError(status, "", message))
    assert (refusal.kind if refusal else None) is kind
