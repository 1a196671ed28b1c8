"""Files of weights are read where they say they lie, and nothing that they say is believed unchecked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.models.raw import POINTER, header, tensor, write
from safetensors.torch import save_file

from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.models import headers
from llmtrain_trainer.models.headers import INDEX, SINGLE, LocalFiles, read_headers
from llmtrain_trainer.models.source import Source

TWO = {"a": tensor(0, 16, [2, 2]), "b": tensor(16, 24, [2])}
WHERE = "spec.model.name pvc://models/mine"


def with_index(folder: Path, weight_map: Any) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def raw(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / SINGLE).write_bytes(content)


def one(tensors: dict[str, Any], data: int | bytes = 24) -> Callable[[Path], object]:
    return lambda folder: write(folder / SINGLE, tensors, data)


def index(weight_map: Any) -> Callable[[Path], object]:
    return lambda folder: with_index(folder, weight_map)


def shard_and_index(weight_map: dict[str, str]) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        write(folder / "x.safetensors", TWO, 24)
        with_index(folder, weight_map)

    return make


def long_header(folder: Path) -> None:
    with (folder / SINGLE).open("wb") as file:
        file.write((150 << 20).to_bytes(8, "little"))
        file.truncate(200 << 20)


def named(*names: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / name).write_bytes(b"x") for name in names]


BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "nothing": (named(), "has neither model.safetensors nor", "name the folder"),
    "a pickle": (named("pytorch_model.bin"), "pytorch_model.bin: pickles can run code", "save_pretrained"),
    "a pickle by index": (index({"a": "x.bin"}), "x.bin: pickles can run code", "save_pretrained"),
    "gguf": (named("q4.gguf"), "q4.gguf alone", "safetensors"),
    "an adapter": (named("adapter_config.json", "adapter_model.safetensors"), "is an adapter", "merge it"),
    "an empty file": (raw(b""), "ends within its header", "copy or download"),
    "a pointer": (raw(POINTER), "model.safetensors is a pointer of Git LFS", "run `git lfs pull`"),
    "half a header": (raw(header(TWO)[:20]), "ends within its header", "copy or download"),
    "a page of HTML": (raw(b"<html><body>404</body></html>"), "ends within its header", "copy or download"),
    "no JSON": (raw((5).to_bytes(8, "little") + b"{{{{{"), "is not readable", "copy or download"),
    "deep JSON": (raw((200_000).to_bytes(8, "little") + b"[" * 200_000), "is not readable", "copy"),
    "a list": (raw((2).to_bytes(8, "little") + b"[]"), "is no JSON object", "copy or download"),
    "a header without end": (
        long_header,
        "header of 157286400 bytes",
        "not trusted",
    ),
    "cut in its data": (one(TWO, 23), "its tensors need", "copy or download"),
    "overlapping": (one({"a": tensor(0, 16, [4]), "b": tensor(12, 24, [3])}), "over another tensor", "trust"),
    "the same place": (one({"a": tensor(0, 16, [4]), "b": tensor(0, 16, [4])}), "over another", "trust"),
    "a wrong size": (one({"a": tensor(0, 24, [2, 2])}), "24 bytes, and its shape needs 16", "copy"),
    "backwards": (one({"a": tensor(16, 0, [4])}), "-16 bytes", "copy"),
    "negative": (one({"a": tensor(-16, 0, [4])}), "does not say where a lies", "copy"),
    "a negative shape": (one({"a": tensor(0, 16, [-2, -2])}), "does not say where a lies", "copy"),
    "a huge shape": (one({"a": tensor(0, 16, [1 << 62, 1 << 62])}), "its shape needs", "copy"),
    "a float as shape": (one({"a": tensor(0, 16, [4.0])}), "does not say where a lies", "copy"),
    "true as shape": (one({"a": tensor(0, 4, [True])}), "does not say where a lies", "copy"),
    "many dimensions": (one({"a": tensor(0, 4, [1] * 9)}), "does not say where a lies", "copy"),
    "no place": (one({"a": {"dtype": "F32", "shape": [1]}}), "does not say where a lies", "copy"),
    "a word as entry": (one({"a": "here"}), "does not say where a lies", "copy"),
    "an unknown dtype": (one({"a": tensor(0, 4, [1], "Q4_0")}), "stored as Q4_0", "BF16, F16, F32"),
    "a name of a page": (one({"x" * 600: tensor(0, 4, [1])}), "whose name is no name", "trust"),
    "a name that turns text": (one({"a\u202eb": tensor(0, 4, [1])}), "whose name is no name", "trust"),
    "twice": (
        raw((len(b'{"a":{},"a":{}}')).to_bytes(8, "little") + b'{"a":{},"a":{}}'),
        "a name is there twice",
        "",
    ),
    "an index of nothing": (index({}), "has no weight_map", "copy or download"),
    "an index that is a list": (index(["a"]), "has no weight_map", "copy or download"),
    "an index of numbers": (index({"a": 5}), "names 5, no file inside", "trust"),
    "an index above": (index({"a": "../x.safetensors"}), "no file inside of the folder", "trust"),
    "an index below": (index({"a": "sub/x.safetensors"}), "no file inside of the folder", "trust"),
    "a shard that is not there": (index({"a": "y.safetensors"}), "y.safetensors, which is not there", "copy"),
    "a wrong index": (shard_and_index({"c": "x.safetensors"}), "places c in x.safetensors, which", "copy"),
}


@pytest.mark.parametrize(("make", "says", "fix"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said_with_the_way_out(
    tmp_path: Path, make: Callable[[Path], object], says: str, fix: str
) -> None:
    make(tmp_path)
    with pytest.raises(ConfigError) as caught:
        read_headers(LocalFiles(tmp_path, WHERE))
    text = str(caught.value)
    assert text.startswith(WHERE), text
    assert says in text
    assert fix in caught.value.hint
    assert "\n" not in text
    assert len(text) < 600


def test_too_many_tensors_are_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "MAX_TENSORS", 1)
    write(tmp_path / SINGLE, TWO, 24)
    with pytest.raises(ConfigError, match="more than 1 tensors"):
        read_headers(LocalFiles(tmp_path, WHERE))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{WHERE} is no folder that can be read: No such file"):
        Source(tmp_path / "nothing", WHERE)


STORED = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@pytest.mark.parametrize("dtype", STORED.values(), ids=STORED)
def test_any_range_of_any_tensor_is_what_was_saved(tmp_path: Path, dtype: torch.dtype) -> None:
    saved = {name: torch.randn(shape).to(dtype) for name, shape in (("a", (3, 5)), ("b", (7,)), ("c", ()))}
    save_file(saved, tmp_path / SINGLE)
    source = Source(tmp_path)
    assert source.names() == ["a", "b", "c"]
    for name, tensor_saved in saved.items():
        assert torch.equal(source.read(name), tensor_saved)
        assert source.shape(name) == tuple(tensor_saved.shape)
    flat = saved["a"].flatten()
    for start in range(16):
        for stop in range(start, 16):
            assert torch.equal(source.flat("a", start, stop), flat[start:stop])


def test_a_tensor_may_be_changed_and_the_file_stays(tmp_path: Path) -> None:
    save_file({"a": torch.ones(4)}, tmp_path / SINGLE)
    Source(tmp_path).read("a").zero_()
    assert torch.equal(Source(tmp_path).read("a"), torch.ones(4))


def test_a_header_of_an_odd_length_is_read(tmp_path: Path) -> None:
    for pad in range(4):
        numbers = torch.arange(4, dtype=torch.float32)
        write(tmp_path / SINGLE, {"a": tensor(0, 16, [4])}, numbers.numpy().tobytes(), pad=pad)
        assert torch.equal(Source(tmp_path).flat("a", 1, 4), numbers[1:])


def test_shards_are_one_model(tmp_path: Path) -> None:
    parts = {"one.safetensors": {"a": torch.ones(2)}, "two.safetensors": {"b": torch.zeros(3)}}
    for file, tensors in parts.items():
        save_file(tensors, tmp_path / file)
    with_index(tmp_path, {"a": "one.safetensors", "b": "two.safetensors"})
    source = Source(tmp_path)
    assert source.names() == ["a", "b"]
    assert torch.equal(source.read("b"), torch.zeros(3))


def test_only_what_is_asked_for_is_counted(tmp_path: Path) -> None:
    save_file({"a": torch.ones(100, dtype=torch.bfloat16)}, tmp_path / SINGLE)
    source = Source(tmp_path)
    source.flat("a", 10, 20)
    assert source.asked == 20


def test_numbers_that_are_no_weights_are_refused_when_they_are_asked_for(tmp_path: Path) -> None:
    save_file({"a": torch.ones(4, dtype=torch.int8)}, tmp_path / SINGLE)
    source = Source(tmp_path, WHERE)
    with pytest.raises(ConfigError, match="a is stored as I8, which cannot be trained"):
        source.read("a")
    with pytest.raises(KeyError, match="has no tensor b"):
        source.read("b")
    with pytest.raises(IndexError, match="a has 4 numbers, not 2 to 5"):
        source.flat("a", 2, 5)


def test_a_model_larger_than_the_memory_is_read_at_once(tmp_path: Path) -> None:
    """A hole of 1 TB: only its headers and the numbers that are asked for are read."""
    side = 1 << 19
    write(tmp_path / SINGLE, {"a": tensor(0, side * side * 4, [side, side])}, side * side * 4)
    source = Source(tmp_path)
    assert math.prod(source.shape("a")) * 4 == 1 << 40
    assert source.flat("a", (1 << 38) - 3, 1 << 38).tolist() == [0.0, 0.0, 0.0]
