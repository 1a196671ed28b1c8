"""Models on a hub over HTTP: pinned to a commit, looked at by ranges, copied whole, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.hub import Hub, hub
from harness.models.raw import header, tensor

from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.models.headers import read_headers, read_json
from llmtrain_trainer.pretrained.fetch import fetch
from llmtrain_trainer.pretrained.remote import HubFiles

NAME, WHERE = "owner/model", "spec.model.name owner/model"
TWO = header({"a": tensor(0, 16, [2, 2]), "b": tensor(16, 24, [2])})
CONFIG: dict[str, Any] = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "tokenizer.json": b"{}",
    "model.safetensors": TWO + bytes(24),
    "modeling_own.py": b"raise SystemExit",
    "pytorch_model.bin": b"pickle",
    "onnx/model.onnx": b"other",
}


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hub() as made:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", made.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        yield made


def test_a_model_is_looked_at_by_ranges_and_copied_whole(online: Hub, tmp_path: Path) -> None:
    online.repository("models/owner/model", FILES)
    files = HubFiles(NAME, None, WHERE)
    assert read_headers(files)["b"].shape == (2,)
    assert read_json(files, "config.json") == CONFIG
    folder = tmp_path / "scratch" / str(files.commit)
    fetch(files, folder)
    copied = sorted(path.name for path in folder.iterdir() if path.is_file())
    assert copied == ["config.json", "model.safetensors", "tokenizer.json"]
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_branch_that_moves_does_not_move_the_job(online: Hub, tmp_path: Path) -> None:
    repository = online.repository("models/owner/model", FILES)
    first = HubFiles(NAME, "main", WHERE)
    moved = {**FILES, "config.json": b'{"other": true}'}
    second = repository.push(moved)
    assert second != first.commit
    again = HubFiles(NAME, first.commit, WHERE)
    assert again.commit == first.commit
    fetch(again, tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / "config.json").read_text()) == CONFIG
    assert HubFiles(NAME, "main", WHERE).commit == second


def test_what_was_copied_is_not_copied_again(online: Hub, tmp_path: Path) -> None:
    online.repository("models/owner/model", FILES)
    files = HubFiles(NAME, None, WHERE)
    fetch(files, tmp_path / "copy")
    sent = online.sent
    fetch(files, tmp_path / "copy")
    assert online.sent == sent


def test_data_are_prepared_from_kilobytes_and_the_gang_gets_the_rest(online: Hub, tmp_path: Path) -> None:
    weights = TWO + bytes(24) + bytes(1 << 20)
    online.repository("models/owner/model", {**FILES, "model.safetensors": weights})
    files, folder = HubFiles(NAME, None, WHERE), tmp_path / "model"
    (tmp_path / "model.partial").mkdir()
    (tmp_path / "model.partial" / "model.safetensors").write_bytes(weights[:99])  # of a pod that was killed
    fetch(files, folder, weights=False)
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "config.json",
        "tokenizer.json",
    ]
    assert online.sent < 1 << 16
    fetch(files, folder, weights=False)
    fetch(files, folder)
    assert (folder / "model.safetensors").read_bytes() == weights
    assert (folder / "tokenizer.json").exists()
    sent = online.sent
    fetch(files, folder, weights=False)
    assert online.sent == sent


def without(*names: str) -> dict[str, bytes]:
    return {name: data for name, data in FILES.items() if name not in names}


REFUSED: dict[str, tuple[Callable[[Hub], object], str | None, str, str]] = {
    "missing": (lambda _: None, None, "is not there, or is private", "check its name"),
    "gated": (
        lambda server: server.repository("models/owner/model", FILES, token="secret-token"),
        None,
        "is not there, or is private|may not be read",
        "HF_TOKEN",
    ),
    "no such revision": (
        lambda server: server.repository("models/owner/model", FILES), "v9", "has no such revision",
        "spec.model.revision",
    ),
    "pickles alone": (
        lambda server: server.repository("models/owner/model", without("model.safetensors")), None,
        "pytorch_model.bin: pickles can run code", "save_pretrained",
    ),
    "a truncated file": (
        lambda server: server.repository("models/owner/model", {**FILES, "model.safetensors": TWO + b"x"}),
        None, "its tensors need", "download the model again",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "revision", "says", "fix"), REFUSED.values(), ids=REFUSED)
def test_what_a_hub_refuses_is_one_sentence(
    online: Hub, make: Callable[[Hub], object], revision: str | None, says: str, fix: str
) -> None:
    make(online)
    with pytest.raises(ConfigError, match=says) as caught:
        read_headers(HubFiles(NAME, revision, WHERE))
    assert str(caught.value).startswith(WHERE)
    assert fix in caught.value.hint
    assert "secret-token" not in str(caught.value)


def test_a_hub_that_is_not_reached_is_no_mistake_of_the_job(online: Hub) -> None:
    online.stop()
    with pytest.raises(OSError, match=WHERE):
        HubFiles(NAME, None, WHERE)
