"""Two jobs train adapters over one model in a folder, which none of them changes or copies."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from harness.builders import QUICK, job_file
from harness.ports import free_port
from harness.trainer.cards import run_snippet
from harness.trainer.launches import Launch

from llmtrain_api import parse_spec
from llmtrain_trainer.data.store import INITIAL

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    import transformers
    from harness.models.tiny import facts_of, folder_of_llama
    from peft import PeftModel
    from safetensors.torch import load_file

# peft's own, of transformers
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
ALL_LINEAR, SOME = {"rank": 8, "alpha": 12}, {"rank": 4, "targets": ["q_proj", "v_proj"]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_llama(tmp_path_factory.mktemp("base") / "model", shard="20KB")


@pytest.fixture(scope="module")
def launches(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Launch]:
    before = {path.name: path.read_bytes() for path in base.iterdir()}
    found = [
        launched(base, tmp_path_factory.mktemp("all"), ALL_LINEAR, {"zeroStage": 2}, merged=True),
        launched(base, tmp_path_factory.mktemp("some"), SOME, {"zeroStage": 3}, merged=False),
    ]
    assert {path.name: path.read_bytes() for path in base.iterdir()} == before
    return found


def launched(
    base: Path, work: Path, adapter: dict[str, Any], training: dict[str, Any], *, merged: bool
) -> Launch:
    sections: dict[str, Any] = {
        "model": {"name": f"file://{base}", "adapter": adapter},
        "training": QUICK["training"] | {"maxSteps": 8, "learningRate": 2e-2} | training,
        "output": QUICK["output"] | {"merged": merged},
    }
    asked, facts = parse_spec(QUICK | sections, strict=True), facts_of(base)
    job = job_file(asked, work / "output", port=free_port(), shape=facts.shape, model=facts, base=str(base))
    launch = Launch(work, job)
    assert launch.wait() == 0, launch.text()
    return launch


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(torch.arange(3, 23)[None]).logits
    return found


def of_base(base: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def test_each_adapter_opens_over_the_base_and_is_its_own(launches: list[Launch], base: Path) -> None:
    plain = logits(of_base(base))
    seen = [
        logits(PeftModel.from_pretrained(of_base(base), one.output.export / "adapter")) for one in launches
    ]
    for one in seen:
        assert (one - plain).abs().max() > 1e-2
    assert (seen[0] - seen[1]).abs().max() > 1e-2


def test_both_are_served_by_one_copy_of_the_base(launches: list[Launch], base: Path) -> None:
    """As the documentation tells: one model, each adapter by a name."""
    first, other = (one.output.export / "adapter" for one in launches)
    alone = [logits(PeftModel.from_pretrained(of_base(base), folder)) for folder in (first, other)]
    model = PeftModel.from_pretrained(of_base(base), first, adapter_name="a")
    model.load_adapter(other, "b")
    for name, expected in zip(("a", "b"), alone, strict=True):
        model.set_adapter(name)
        assert torch.allclose(logits(model), expected, atol=1e-6)


def test_the_merged_model_is_the_base_and_the_adapter(launches: list[Launch], base: Path) -> None:
    export = launches[0].output.export
    merged = logits(transformers.AutoModelForCausalLM.from_pretrained(export, dtype=torch.float32))
    beside = logits(PeftModel.from_pretrained(of_base(base), export / "adapter"))
    assert (merged - beside).abs().max() <= 1e-5
    config, start = (json.loads((folder / "config.json").read_text()) for folder in (export, base))
    assert {**config, "dtype": 0} == {**start, "dtype": 0}
    assert (export / "generation_config.json").read_bytes() == (base / "generation_config.json").read_bytes()
    assert (export / "chat_template.jinja").read_bytes() == (base / "chat_template.jinja").read_bytes()


def test_the_adapter_names_its_base_and_nothing_copies_it(launches: list[Launch], base: Path) -> None:
    for one in launches:
        config = json.loads((one.output.export / "adapter" / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == f"file://{base}"
        assert not (one.output.data / INITIAL).exists()
        state = one.output.step(one.output.committed()[0]) / "weights"
        names = [name for file in state.glob("*.safetensors") for name in load_file(file)]
        assert names
        assert all("lora_" in name for name in names)
    assert not list(launches[1].output.export.glob("*.safetensors"))


def test_the_programs_of_their_cards_run(launches: list[Launch], base: Path) -> None:
    written = [run_snippet(one.output.export, base).strip() for one in launches]
    assert all(written)
    assert written[0] != written[1]
