"""An example of each task on the two-node cluster, for a few steps: it succeeds, and its export opens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import transformers
from harness.cluster import Namespace, shared_volume
from harness.namespaces import add_volume, namespace_with_volume
from harness.short_examples import STEPS, TASKS, ShortExample

from llmtrain_api import Task

pytestmark = pytest.mark.timeout(900)
PATIENCE = 600.0


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Namespace, Path]]:
    """A namespace with the claims `checkpoints` and `data`, and the folder of all volumes."""
    with namespace_with_volume() as namespace:
        volume = f"{namespace.name}-data"
        add_volume(namespace.cluster, namespace.name, volume, claim="data")
        try:
            yield namespace, shared_volume(namespace.cluster)
        finally:
            namespace.cluster.call("DELETE", f"/api/v1/persistentvolumes/{volume}")


@pytest.mark.parametrize("one", TASKS, ids=[one.name for one in TASKS])
def test_an_example_trains_on_the_cluster(
    one: ShortExample, place: tuple[Namespace, Path], tmp_path: Path
) -> None:
    namespace, volumes = place
    data, manifest = volumes / f"{namespace.name}-data", one.manifest
    for old in data.iterdir():
        shutil.rmtree(old)
    one.put_data(tmp_path)
    if (tmp_path / "data").is_dir():  # some text is in the image
        shutil.copytree(tmp_path / "data", data, dirs_exist_ok=True)
    name, spec = manifest["metadata"]["name"], manifest["spec"]
    namespace.apply(manifest)
    results = namespace.wait_phase(name, "Succeeded", attempt=0, seconds=PATIENCE)["results"]
    assert results["steps"] == STEPS
    export = volumes / namespace.name / spec["output"]["uri"].removeprefix("pvc://checkpoints/") / "export"
    opened = getattr(transformers, Task(spec.get("task", Task.CAUSAL)).auto_class)
    model = opened.from_pretrained(export, local_files_only=True)
    assert [type(model).__name__] == model.config.architectures
