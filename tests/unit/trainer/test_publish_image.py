"""How an export is cut into layers, who may push, and what may be told of an error: without a registry."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from llmtrain_trainer.export.publish.masking import told
from llmtrain_trainer.export.publish.oci.credentials import credentials_for
from llmtrain_trainer.export.publish.oci.image import MOST_LAYERS, layers_of
from llmtrain_trainer.export.publish.oci.reference import Reference, private

AUTH = base64.b64encode(b"robot:pa:ss").decode()
OTHER = {"username": "a", "password": "b"}


def test_a_file_of_more_than_eight_gigabytes_keeps_its_size(tmp_path: Path) -> None:
    """The plain form of tar has no room for the number."""
    size = 9 << 30
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(size)
    [layer] = layers_of(tmp_path)
    beginning = b"".join(chunk for chunk, _ in zip(layer.chunks(), range(3), strict=False))
    with tarfile.open(fileobj=io.BytesIO(beginning)) as tar:
        members = [tar.next(), tar.next()]
    assert [(one.name, one.size) for one in members if one] == [
        ("models", 0),
        ("models/model.safetensors", size),
    ]
    assert layer.size > size


def test_no_library_is_loaded_before_it_can_be_told_its_settings() -> None:
    """The hub's reads when it is loaded that ranks are offline."""
    loaded = "{'huggingface_hub', 'mlflow', 'torch'} & set(sys.modules)"
    code = f"import sys, llmtrain_trainer.export.publish; print({loaded} or 'none')"
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout == "none\n"


def test_many_files_of_weights_share_layers(tmp_path: Path) -> None:
    names = [f"model-{number:05}-of-00150.safetensors" for number in range(150)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "config.json").write_text("{}")
    layers = layers_of(tmp_path)
    assert len(layers) <= MOST_LAYERS + 1
    text = b"".join(b"".join(layer.chunks()) for layer in layers)
    assert all(text.count(f"models/{name}\0".encode()) == 1 for name in names)
    assert all(layer.size == len(b"".join(layer.chunks())) for layer in layers)


@pytest.mark.parametrize(
    ("auths", "user"),
    [
        ({"registry.example.com": {"auth": AUTH}}, "robot"),
        ({"https://registry.example.com/v2/": {"auth": AUTH}}, "robot"),
        ({"registry.example.com": OTHER, "registry.example.com/team": {"auth": AUTH}}, "robot"),
        ({"registry.example.com/team": OTHER, "registry.example.com/team/model": {"auth": AUTH}}, "robot"),
        ({"registry.example.com/other": {"auth": AUTH}}, None),
        ({"other.example.com": {"auth": AUTH}}, None),
        ({"registry.example.com": {}}, None),
        ({"registry.example.com": {"auth": "no base64"}}, None),
    ],
)  # fmt: skip
def test_the_entry_of_a_configuration_that_is_most_about_the_repository(
    auths: dict[str, Any], user: str | None
) -> None:
    environ = {"PUBLISH_DOCKERCONFIGJSON": json.dumps({"auths": auths})}
    found = credentials_for(Reference.of("registry.example.com/team/model"), environ)
    assert (found.user if found else None) == user
    if found:
        assert found.password == "pa:ss"
        assert "pa:ss" not in repr(found)


def test_who_is_logged_in_on_a_laptop_and_the_hub_of_docker(tmp_path: Path) -> None:
    auths = {"https://index.docker.io/v1/": {"auth": AUTH}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths, "credsStore": "x"}))
    reference = Reference.of("docker.io/team/model")
    found = credentials_for(reference, {"DOCKER_CONFIG": str(tmp_path)})
    assert found is not None
    assert found.user == "robot"
    assert reference.server == "https://registry-1.docker.io"


@pytest.mark.parametrize(
    ("url", "alone"),
    [
        ("https://registry.example.com/x", True),
        ("http://registry.example.com/x", False),
        ("http://127.0.0.1:5000/x", True),
        ("http://localhost/x", True),
        ("http://127.0.0.1.example.com/x", False),
        ("ftp://localhost/x", False),
    ],
)
def test_where_a_password_may_be_said(url: str, alone: bool) -> None:
    assert private(url) is alone


def test_what_is_told_of_an_error_has_no_secret_in_it() -> None:
    error = ValueError(
        "at https://u:p@r.example.com/x?_state=signed: Basic d3I6cGE= Bearer abc own-pass\nmore"
    )
    said = told(error, ["own-pass", None, ""])
    assert said == "ValueError: at https://***@r.example.com/x *** *** ***"
