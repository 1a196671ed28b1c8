"""Jobs that cut the model over two real nodes: each succeeds, and its export computes what it reported."""

from __future__ import annotations

from typing import Any

import pytest
from harness.cluster import Namespace, shared_volume
from harness.jobs import manifest
from harness.reader import perplexity_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
CUTS: dict[str, tuple[dict[str, Any], str]] = {
    "tensor": ({"parallelism": {"tensor": 2}}, "dp1 tp2 zero1 fp32"),
    "pipeline": ({"parallelism": {"pipeline": 2}}, "dp1 pp2 zero1 fp32"),
    "zero-3": ({"training": {"zeroStage": 3}}, "dp2 zero3 fp32"),
}


@pytest.mark.proof
@pytest.mark.parametrize("name", CUTS)
def test_a_cut_model_trains_over_two_nodes_and_its_export_reloads(namespace: Namespace, name: str) -> None:
    asked, layout = CUTS[name]
    sizes = {"hiddenSize": 32, "numLayers": 2, "numKvHeads": 2, "vocabSize": 512}
    lengths = {"maxSteps": 30, "globalBatchSize": 5, "microBatchSize": 2, "sequenceLength": 32}
    namespace.apply(
        manifest(
            name,
            model={"name": "builtin://tiny-llama", **sizes},
            dataset={"name": "builtin://python-stdlib", "maxBytes": 500_000},
            evaluation={"everySteps": 0, "maxSequences": 32},
            **asked | {"training": lengths | asked.get("training", {})},
        )
    )
    status = namespace.wait_phase(name, "Succeeded", 0, 500)
    assert status["resolved"]["layout"].startswith(layout)
    assert status["workers"]["desired"] == 2
    output = shared_volume(namespace.cluster) / namespace.name / name
    again = perplexity_of(output / "export", output / "data" / "heldout.npy")
    assert again == pytest.approx(status["results"]["perplexity"], rel=1e-4)
    namespace.cluster.call("DELETE", namespace.jobs_path(name))
