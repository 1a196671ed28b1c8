"""Adapters are where the contract counts them, begin alike on every rank, and are named as in peft."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.builders import job_file, unchecked_spec
from harness.layouts.rows import FAMILIES
from safetensors.torch import load_file
from transformers import BertModel

from llmtrain_api import JobSpec, Task, shape_of, task_of
from llmtrain_api.estimate.adapters import adapter_tensors
from llmtrain_api.estimate.flops import sequence_flops
from llmtrain_api.families import numbers_of
from llmtrain_api.families.t5 import lengths
from llmtrain_trainer.checkpoint.manifest import Manifest, require_same
from llmtrain_trainer.data.store import Marker, fingerprints, key_of
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.export.adapter import write_merged
from llmtrain_trainer.models import adapters
from llmtrain_trainer.models.build import HEADS, configuration, write_initial
from llmtrain_trainer.models.source import Source
from llmtrain_trainer.models.start import start_weights
from llmtrain_trainer.models.stream import write_tensors

NAMED = {
    "llama": ["q_proj", "down_proj"],
    "gpt2": ["mlp.c_proj", "c_attn"],
    "bert": ["dense", "query"],
    "t5": ["EncDecAttention.k", "wi"],
}


def spec(family: str, **adapter: Any) -> JobSpec:
    return unchecked_spec(
        model=FAMILIES[family] | {"adapter": {"rank": 4} | adapter},
        training={"sequenceLength": 32, "seed": 3},
    )


def built(asked: JobSpec, device: str = "meta", **options: Any) -> Any:
    assert asked.model.adapter is not None
    with torch.device(device):
        model = HEADS[task_of(asked, shape_of(asked))].from_config(
            configuration(shape_of(asked), 0), **options
        )
        adapters.add(model, asked, shape_of(asked), asked.model.adapter)
    return model


CASES = [*((family, None) for family in FAMILIES), *NAMED.items()]


@pytest.mark.parametrize(("family", "targets"), CASES)
def test_they_are_what_the_contract_counts_and_all_that_is_trained(
    family: str, targets: list[str] | None
) -> None:
    asked = spec(family, **({"targets": targets} if targets else {}))
    trained = {adapters.whole_name(name): p for name, p in built(asked).named_parameters() if p.requires_grad}
    assert asked.model.adapter is not None
    said = adapter_tensors(shape_of(asked), asked.model.adapter)
    assert sum(p.numel() for p in trained.values()) == numbers_of(said)
    assert len(trained) == sum(one.count for one in said)
    assert all(name.endswith((adapters.A, adapters.B)) for name in trained)


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_those_of_the_model_without_adapters(family: str) -> None:
    asked = spec(family)
    with torch.device("meta"):
        plain = HEADS[task_of(asked, shape_of(asked))].from_config(configuration(shape_of(asked), 0))
    named = [(adapters.whole_name(name), p) for name, p in built(asked).named_parameters()]
    assert {n: p.shape for n, p in named if not p.requires_grad} == {
        n: p.shape for n, p in plain.named_parameters()
    }
    assert all(adapters.whole_name(name) == name for name, _ in plain.named_parameters())


def test_a_matrix_kept_as_inputs_by_outputs_is_known() -> None:
    from transformers.pytorch_utils import Conv1D

    for family in FAMILIES:
        asked = spec(family)
        with torch.device("meta"):
            model = HEADS[task_of(asked, shape_of(asked))].from_config(configuration(shape_of(asked), 0))
        assert adapters.transposed(shape_of(asked)) == any(isinstance(one, Conv1D) for one in model.modules())


def test_each_begins_with_values_of_its_name_and_the_seed_whatever_was_drawn_before() -> None:
    name, shape = "model.layers.0.self_attn.q_proj.lora_A.weight", (4, 64)
    first = adapters.start_of(name, shape, 3)
    torch.rand(5)
    assert torch.equal(first, adapters.start_of(name, shape, 3))
    assert not torch.equal(first, adapters.start_of(name, shape, 4))
    assert not torch.equal(first, adapters.start_of(name.replace("0", "1"), shape, 3))
    assert first.abs().max() <= 1 / 8
    assert first.std() == pytest.approx(1 / 8 / 3**0.5, rel=0.15)
    assert not adapters.start_of(name.replace("lora_A", "lora_B"), (64, 4), 3).any()


def test_training_begins_at_the_base() -> None:
    asked = spec("gpt2")
    torch.manual_seed(0)
    plain = HEADS[task_of(asked, shape_of(asked))].from_config(configuration(shape_of(asked), 0)).eval()
    ids = torch.arange(20)[None]
    with torch.no_grad():
        before = plain(input_ids=ids).logits
        assert asked.model.adapter is not None
        adapters.add(plain, asked, shape_of(asked), asked.model.adapter)
        for name, p in plain.named_parameters():
            if p.requires_grad:
                p.copy_(adapters.start_of(adapters.whole_name(name), tuple(p.shape), 3))
        assert torch.equal(plain(input_ids=ids).logits, before)


@pytest.mark.parametrize(("family", "device"), [("llama", "cpu"), ("t5", "meta")])
def test_operations_are_what_torch_counts(family: str, device: str) -> None:
    """torch's own counter sees each product that is computed; the first layer's inputs need no gradient."""
    from torch.utils.flop_counter import FlopCounterMode

    sizes = {"hiddenSize": 256, "intermediateSize": 1024, "vocabSize": 2000, "numLayers": 3}
    asked = unchecked_spec(
        model=FAMILIES[family] | sizes | {"adapter": {"rank": 32}}, training={"sequenceLength": 40}
    )
    model = built(asked, device, attn_implementation="eager")
    model.enable_input_require_grads()  # so that the first layer's inputs do need one, as the formula says
    source, target = lengths(40) if family == "t5" else (40, 0)
    inputs = {"input_ids": torch.ones(1, source, dtype=torch.long, device=device)}
    if target:
        inputs["decoder_input_ids"] = torch.ones(1, target, dtype=torch.long, device=device)
    with FlopCounterMode(display=False) as counter:
        model(**inputs).logits.sum().backward()
    said = sequence_flops(shape_of(asked), 40, asked.model.adapter)
    assert said == pytest.approx(counter.get_total_flops(), rel=0.02)


@pytest.mark.parametrize("largest", [10**9, 150, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_streamed_files_are_what_safetensors_reads(tmp_path: Path, largest: int, dtype: torch.dtype) -> None:
    tensors = {f"layer.{n}.weight": torch.randn(n + 1, 7) for n in range(6)} | {"bias": torch.randn(3)}
    asked: list[str] = []

    def read(name: str) -> torch.Tensor:
        asked.append(name)
        return tensors[name].T.contiguous().T if name.startswith("layer") else tensors[name]

    shapes = {name: tuple(one.shape) for name, one in tensors.items()}
    write_tensors(tmp_path, shapes, read, dtype, largest)
    assert asked == list(tensors)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert (len(files) == 1) == (largest == 10**9)
    assert max(file.stat().st_size for file in files) <= max(largest, 7 * 6 * 4) + 1000
    found = Source(tmp_path)
    assert found.names() == sorted(tensors)
    assert {name: found.shape(name) for name in tensors} == shapes
    assert all(torch.equal(found.read(name), one.to(dtype)) for name, one in tensors.items())
    whole: dict[str, torch.Tensor] = {}
    for file in files:
        whole |= load_file(file)
    assert whole.keys() == tensors.keys()


def test_a_tensor_of_another_shape_is_not_written_as_if_it_fitted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a has shape \(2, 3\) instead of \(3, 2\)"):
        write_tensors(tmp_path, {"a": (3, 2)}, lambda _: torch.zeros(2, 3), torch.float32)


def _marker(base: str) -> Marker:
    entry = {"size": 1, "sha256": "0"}
    files = dict.fromkeys(("train.bin", "heldout.npy", "tokenizer/tokenizer.json"), entry)
    files |= {"step-0/model.safetensors": {"size": 1, "sha256": base}}
    return Marker({}, "uint16", 9, 2, 1.0, 0, files, {})


def test_a_checkpoint_of_adapters_belongs_to_its_base_and_one_of_all_weights_does_not() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapted, plain = job_file(spec("llama")), job_file(unchecked_spec(model=FAMILIES["llama"]))
    saved = Manifest(step=5, fingerprints=fingerprints(adapted, _marker("a")))
    require_same(saved, fingerprints(adapted, _marker("a")))
    with pytest.raises(ConfigError, match="the weights that the adapter was trained beside"):
        require_same(saved, fingerprints(adapted, _marker("b")))
    assert fingerprints(plain, _marker("a")) == fingerprints(plain, _marker("b"))
    with pytest.raises(ConfigError, match=r"the adapter \(spec.model.adapter\)"):
        require_same(saved, fingerprints(job_file(spec("llama", rank=5)), _marker("a")))


def test_prepared_data_serve_jobs_with_any_adapter_or_none() -> None:
    asked = [spec("llama"), spec("llama", rank=2), unchecked_spec(model=FAMILIES["llama"])]
    keys = [key_of(job_file(one.model_copy(update={"training": asked[0].training}))) for one in asked]
    assert keys[0] == keys[1] == keys[2]


def test_a_base_without_the_head_is_refused_as_adapters_would_leave_it_as_noise(tmp_path: Path) -> None:
    BertModel(configuration(shape_of(spec("bert")), 0)).save_pretrained(tmp_path)
    assert start_weights(tmp_path, Task.MASKED, 0).fresh
    with pytest.raises(
        ConfigError, match=r"has no cls\.predictions.*; remove model.adapter, or name a model"
    ):
        start_weights(tmp_path, Task.MASKED, 0, adapted=True)


def test_an_adapter_beside_a_weight_that_the_base_lacks_is_not_left_out(tmp_path: Path) -> None:
    asked = spec("llama")
    base, last = tmp_path / "base", tmp_path / "last"
    write_initial(asked, shape_of(asked), 0, base)
    last.mkdir()
    stem = "model.layers.7.self_attn.q_proj."
    shapes: dict[str, tuple[int, ...]] = {stem + adapters.A: (4, 32), stem + adapters.B: (32, 4)}
    write_tensors(last, shapes, lambda name: torch.ones(shapes[name]), torch.float32)
    assert asked.model.adapter is not None
    with pytest.raises(ValueError, match=r"has no model.layers.7.self_attn.q_proj.weight"):
        write_merged(job_file(asked), asked.model.adapter, Source(last), base, tmp_path / "merged")
