"""A pod as the API server sends it, decoded."""

from __future__ import annotations

import json

from harness.jobs import T0, UID

from llmtrain_operator.kube.pods import decode_pod


def test_pod_decoding_reads_the_scheduler_and_the_kubelet() -> None:
    raw = {
        "metadata": {
            "name": "tiny-0-1",
            "namespace": "d",
            "uid": "u",
            "resourceVersion": "12",
            "ownerReferences": [
                {
                    "apiVersion": "llmtrain.dev/v1alpha1",
                    "kind": "LLMTrainingJob",
                    "name": "tiny",
                    "uid": UID,
                    "controller": True,
                }
            ],
            "labels": {
                "llmtrain.dev/job": "tiny",
                "llmtrain.dev/job-uid": UID,
                "llmtrain.dev/attempt": "0",
                "llmtrain.dev/rank": "1",
            },
        },
        "spec": {"nodeName": "n"},
        "status": {
            "phase": "Failed",
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "True",
                    "lastProbeTime": None,
                    "lastTransitionTime": "2026-01-02T03:04:05Z",
                },
                {"type": "Ready", "status": "False", "reason": "PodFailed", "lastTransitionTime": None},
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByTaintManager",
                    "message": "m",
                },
            ],
            "containerStatuses": [
                {
                    "name": "trainer",
                    "state": {
                        "terminated": {"exitCode": 3, "message": "x", "finishedAt": "2026-01-02T03:04:05Z"}
                    },
                }
            ],
        },
    }
    decoded = decode_pod(json.dumps(raw).encode())
    assert (decoded.rank, decoded.resource_version) == (1, 12)
    assert decoded.disruption == "DeletionByTaintManager: m"
    assert decoded.scheduled_at == T0
    assert decoded.termination is not None
    assert decoded.termination.finished_at == T0
