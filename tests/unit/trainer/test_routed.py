"""An adapter by its name: found by the router file, or refused with what can be done."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.inference.routed import Routed, routed

WEIGHTS = b"weights"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "personal"
    (place / "ann/export/adapter").mkdir(parents=True)
    (place / "ann/export/adapter/adapter_model.safetensors").write_bytes(WEIGHTS)
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text("{}")
    write(place)
    return place


def write(place: Path, adapter: str = "ann/export/adapter", **base: Any) -> None:
    ann = {"name": "ann", "path": adapter, "rank": 8, "alpha": 8, "data": "d" * 64}
    router = {
        "version": 1,
        "sweep": "all",
        "folder": "pvc://checkpoints/personal",
        "base": {"name": "pvc://checkpoints/base", "path": "../base", **base},
        "adapters": [{**ann, "sha256": sha256(WEIGHTS).hexdigest()}],
        "failed": [{"name": "bob", "reason": "no text in it"}],
        "waiting": ["cy"],
    }
    (place / "router.json").write_text(json.dumps(router))


def test_an_adapter_its_base_and_its_tokenizer_are_found(folder: Path) -> None:
    found = routed(folder, "ann", None)
    assert found == Routed(folder / "../base", folder / "ann/export/adapter", folder / "ann/export")
    assert routed(folder, "ann", Path("/elsewhere")).base == Path("/elsewhere")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bob", "adapter bob was not trained: no text in it"),
        ("cy", "adapter cy is not trained yet"),
        ("dan", "has no adapter dan.*there are: ann"),
    ],
)
def test_one_that_may_not_be_used_is_refused(folder: Path, name: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        routed(folder, name, None)
    assert all(word in str(refused.value) + str(refused.value.hint) for word in words.split(".*"))


def test_other_weights_than_those_on_record_are_refused(folder: Path) -> None:
    (folder / "ann/export/adapter/adapter_model.safetensors").write_bytes(b"others")
    with pytest.raises(ConfigError, match=r"is not the file that .*router\.json was written for"):
        routed(folder, "ann", None)


@pytest.mark.parametrize("path", ["s3://bucket/ann/export/adapter", "elsewhere"])
def test_one_that_lies_elsewhere_is_refused(folder: Path, path: str) -> None:
    write(folder, path)
    with pytest.raises(ConfigError, match="which is not in"):
        routed(folder, "ann", None)


@pytest.mark.parametrize("path", [None, "../nowhere"])
def test_a_base_that_is_not_here_is_asked_for(folder: Path, path: str | None) -> None:
    write(folder, name="acme/base", revision="c0ffee", path=path)
    with pytest.raises(ConfigError, match="acme/base at revision c0ffee is not beside") as refused:
        routed(folder, "ann", None)
    assert "--base FOLDER" in str(refused.value.hint)


@pytest.mark.parametrize("text", ["{", "{}", '{"version": 2}'])
def test_what_is_no_router_file_is_refused(folder: Path, text: str) -> None:
    (folder / "router.json").write_text(text)
    with pytest.raises(ConfigError, match=r"router\.json that can be read"):
        routed(folder, "ann", None)
    (folder / "router.json").unlink()
    with pytest.raises(ConfigError, match=r"router\.json that can be read"):
        routed(folder, "ann", None)
