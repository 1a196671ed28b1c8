"""`llmtrain run` of a sweep of adapters: three kinds of text over one base, and a folder without text."""

from __future__ import annotations

import encodings
import json
import signal
import sysconfig
import warnings
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from harness.trainer.laptop import LaptopRun
from harness.trainer.launches import run_verb

from llmtrain_api.sweeps import job_of, read_sweep, trials_of
from llmtrain_api.sweeps.router import Router
from llmtrain_trainer.data.loader import open_held_out
from llmtrain_trainer.output import Output

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    import transformers
    from peft import PeftModel

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]
NAMES = ("code", "manual", "tables")
TRAINING = {"maxSteps": 40, "globalBatchSize": 8, "sequenceLength": 64}
SPEC: dict[str, Any] = {
    "parallel": 1,
    "adapters": [
        {"name": "code", "dataset": {"name": "pvc://data/code"}},
        {"name": "broken", "dataset": {"name": "pvc://data/broken"}},
        {"name": "manual", "dataset": {"name": "pvc://data/manual"}},
        {"name": "tables", "dataset": {"name": "pvc://data/tables"}, "training": {"maxSteps": 44}},
    ],
    "job": {
        "model": {"name": "pvc://checkpoints/base/export", "adapter": {"rank": 8, "alpha": 16}},
        "training": {**TRAINING, "learningRate": 1e-2},
        "nodes": 1,
        "output": {"uri": "pvc://checkpoints/personal"},
    },
}
BASE = {
    "model": {"name": "builtin://tiny-llama", "hiddenSize": 64, "numLayers": 2, "vocabSize": 768},
    "dataset": {"mixture": [{"name": f"pvc://data/{name}", "weight": 1} for name in NAMES]},
    "training": {**TRAINING, "maxSteps": 120, "learningRate": 5e-3},
    "nodes": 1,
    "output": {"uri": "pvc://checkpoints/base"},
}


def write_texts(data: Path) -> None:
    """Programs, a manual in English, and tables of characters, of the Python that runs this."""
    library = Path(sysconfig.get_paths()["stdlib"])
    code = [library / f"{name}.py" for name in ("argparse", "ast", "bdb", "calendar", "cmd", "configparser")]
    tables = sorted(Path(encodings.__path__[0]).glob("cp12*.py"))
    texts = {
        "code": [path.read_text() for path in code],
        "manual": [topic for _, topic in sorted(_topics().items())],
        "tables": [path.read_text() for path in tables],
    }
    for name, found in texts.items():
        (data / name).mkdir(parents=True)
        for number, text in enumerate(found):
            (data / name / f"{number:03}.txt").write_text(text)
    (data / "broken").mkdir()
    (data / "broken" / "empty.txt").write_text("")


def _topics() -> dict[str, str]:
    from pydoc_data.topics import topics

    return {name: str(text) for name, text in topics.items()}


def ran(folder: Path, name: str, spec: dict[str, Any]) -> None:
    job = LaptopRun(folder, name, 300.0)
    job.ask(spec)
    job.to_the_end()
    assert job.codes == [0], job.text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the base and then the adapters were trained; the program was killed when the first was there."""
    found = tmp_path_factory.mktemp("laptop")
    write_texts(found / "data")
    ran(found, "base", BASE)
    told = LaptopRun(found, "personal", 400.0)
    head = {"apiVersion": "llmtrain.dev/v1alpha1", "kind": "LLMTrainingSweep", "metadata": {"name": "all"}}
    told.write(head | {"spec": SPEC})
    try:
        told.start()
        told.until((found / "checkpoints/personal/router.json").exists, "router file")
        told.end(signal.SIGKILL)
        told.start()
        told.end()
        text = told.text()
        assert told.codes[1] == 1, text
        assert "adapter all-code" not in text, "what is trained is not trained again"
        assert "3 of 4 adapters can be served" in text
    finally:
        told.close()
    return found


@pytest.fixture(scope="module")
def router(folder: Path) -> Router:
    found = json.loads((folder / "checkpoints/personal/router.json").read_text())
    return Router.model_validate(found, extra="forbid")


def sequences(folder: Path, name: str) -> torch.Tensor:
    rows = open_held_out(Output(folder / "checkpoints/personal" / name).data)
    return torch.tensor([list(map(int, row)) for row in rows])


def loss(model: Any, rows: torch.Tensor) -> float:
    with torch.no_grad():
        return float(model.eval()(rows, labels=rows).loss)


@pytest.fixture(scope="module")
def losses(folder: Path, router: Router) -> Iterator[dict[tuple[str, str], float]]:
    """Of each adapter, and of the base alone, on the held-out text of each."""
    place = folder / "checkpoints/personal"
    assert router.base is not None
    assert router.base.path is not None
    base = transformers.AutoModelForCausalLM.from_pretrained(place / router.base.path, dtype=torch.float32)
    rows = {name: sequences(folder, name) for name in NAMES}
    found = {("base", data): loss(base, rows[data]) for data in NAMES}
    first, *others = router.adapters
    model = PeftModel.from_pretrained(base, place / first.path, adapter_name=first.name)
    for one in others:
        model.load_adapter(place / one.path, one.name)
    for name in NAMES:
        model.set_adapter(name)
        found |= {(name, data): loss(model, rows[data]) for data in NAMES}
    yield found
    print("\n".join(f"{who:8} on {data:8} {value:.3f}" for (who, data), value in sorted(found.items())))


def test_each_is_the_best_on_its_own_text(losses: dict[tuple[str, str], float], router: Router) -> None:
    for data in NAMES:
        own = losses[data, data]
        others = {who: losses[who, data] for who in ("base", *NAMES) if who != data}
        assert own < min(others.values()) - 0.02, (data, own, others)
        [told] = [one for one in router.adapters if one.name == data]
        assert told.eval_loss == pytest.approx(own, abs=2e-3)


def test_the_one_without_text_fails_alone_and_says_why(router: Router) -> None:
    assert [one.name for one in router.adapters] == list(NAMES)
    [broken] = router.failed
    assert broken.name == "broken"
    assert "pvc://data/broken" in broken.reason or "no text" in broken.reason, broken.reason
    assert router.waiting == []


def test_no_adapter_copies_the_base(router: Router, folder: Path) -> None:
    place = folder / "checkpoints/personal"
    for one in router.adapters:
        assert not list((place / one.path).parent.glob("*.safetensors")), "the adapter is exported alone"
        weights = (place / one.path / "adapter_model.safetensors").read_bytes()
        assert sha256(weights).hexdigest() == one.sha256
        assert (one.rank, one.alpha) == (8, 16)
    assert len({one.data for one in router.adapters}) == len({one.sha256 for one in router.adapters}) == 3


def test_an_adapter_is_bit_for_bit_what_a_job_alone_trains(router: Router, folder: Path) -> None:
    spec = read_sweep("all", SPEC, strict=True)
    [trial] = [one for one in trials_of(spec) if one.adapter == "tables"]
    job = job_of("all", spec, trial, 0)
    job["output"]["uri"] = "pvc://checkpoints/alone"
    del job["dataset"]["cache"]
    ran(folder, "alone", job)
    weights = (folder / "checkpoints/alone/export/adapter/adapter_model.safetensors").read_bytes()
    [found] = [one for one in router.adapters if one.name == "tables"]
    assert sha256(weights).hexdigest() == found.sha256


def test_text_is_written_by_the_adapter_that_is_named(folder: Path, tmp_path: Path) -> None:
    place = str(folder / "checkpoints/personal")
    greedy = ("--temperature", "0", "--tokens", "24", "--device", "cpu")
    said = {name: run_verb(tmp_path, "generate", place, "    ", "--adapter", name, *greedy) for name in NAMES}
    assert [one.returncode for one in said.values()] == [0, 0, 0], said
    assert len({one.stdout for one in said.values()}) == 3, said
    for name, words in {
        "broken": "adapter broken was not trained: ",
        "nobody": "there are: code, manual, tables",
    }.items():
        refused = run_verb(tmp_path, "generate", place, "x", "--adapter", name)
        assert refused.returncode == 2
        assert words in refused.stderr
