"""``llmtrain run`` with a model in a bucket, and with a model of which only the configuration is taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.cluster import restarts
from harness.models.tiny import folder_of_llama
from harness.objectstore import Server, server
from harness.trainer.laptop import LaptopRun
from safetensors.torch import load_file

from llmtrain_trainer.output import Output

WEIGHTS = "model.safetensors"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_llama(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., LaptopRun]]:
    """Two steps so small that they move no weight by a thousandth."""
    made = LaptopRun(tmp_path)

    def go(model: dict[str, Any], **variables: str) -> LaptopRun:
        spec = {
            "model": model,
            "dataset": {"name": "builtin://python-stdlib", "maxBytes": 400_000, "heldOutFraction": 0.2},
            "nodes": 2,
            "training": {"maxSteps": 2, "learningRate": 1e-5, "sequenceLength": 32, "globalBatchSize": 8},
            "evaluation": {"maxSequences": 8},
            "output": {"uri": "pvc://checkpoints/tiny"},
        }
        made.ask(spec)
        made.start(**variables)
        made.end()
        return made

    yield go
    made.close()


def difference(output: Output, base: Path) -> float:
    """The largest between a trained weight and the base's."""
    trained, begun = load_file(output.export / WEIGHTS), load_file(base / WEIGHTS)
    assert set(trained) == set(begun)
    return max(float((trained[name] - begun[name]).abs().max()) for name in begun)


def test_a_model_in_a_bucket_is_trained(base: Path, run: Callable[..., LaptopRun]) -> None:
    with server() as made:
        for path in base.iterdir():
            made.files.put(str(path), f"{Server.bucket}/some/llama/{path.name}")
        ran = run({"name": f"s3://{Server.bucket}/some/llama"}, **made.environment)
        assert ran.codes == [0], ran.text()
        assert made.names("some/llama") == sorted(path.name for path in base.iterdir())
    status = ran.object()["status"]
    assert status["resolved"]["model"]["shape"]["hidden"] == 32
    assert restarts(status) == (0, 0, 0)
    assert difference(ran.output, base) < 1e-3
    assert made.environment["AWS_SECRET_ACCESS_KEY"] not in json.dumps(ran.object())
    copies = [path for path in ran.folder.rglob("*.safetensors") if ran.output.root not in path.parents]
    assert not copies, "a node's copy of the model outlives its pod"


def test_a_bucket_without_the_model_is_a_mistake_of_the_manifest(run: Callable[..., LaptopRun]) -> None:
    with server() as made:
        ran = run({"name": f"s3://{Server.bucket}/nothing"}, **made.environment)
    assert ran.codes == [2], ran.text()
    assert f"spec.model.name s3://{Server.bucket}/nothing" in ran.text()
    assert not ran.object()["status"].get("attempts")


@pytest.mark.proof
def test_random_weights_take_the_configuration_and_the_tokenizer_alone(
    base: Path, run: Callable[..., LaptopRun], tmp_path: Path
) -> None:
    """The folder has no weights at all: none are looked for."""
    bare = tmp_path / "models" / "bare"
    bare.mkdir(parents=True)
    for path in base.iterdir():
        if path.name != WEIGHTS:
            (bare / path.name).write_bytes(path.read_bytes())
    ran = run({"name": "pvc://models/bare", "weights": "random"})
    assert ran.codes == [0], ran.text()
    assert difference(ran.output, base) > 0.1
    weights = load_file(ran.output.export / WEIGHTS)
    # drawn as config.json asks, whose 0.1 is five times what is usual
    drawn = weights["model.layers.0.mlp.up_proj.weight"]
    assert float(drawn.std()) == pytest.approx(0.1, rel=0.1)
    assert torch.isfinite(drawn).all()
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (ran.output.export / name).read_bytes() == (base / name).read_bytes()
