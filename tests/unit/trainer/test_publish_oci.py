"""`output.publish.oci` over real HTTP: an image, once, whole, bounded, and never a word of a password."""

from __future__ import annotations

import io
import json
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.builders import UID, job
from harness.pushes import OTHER, REPOSITORY, WEIGHTS, asked_of, push, registry_for_its_user, start_of
from harness.registry import BEFORE, CUT, MIDDLE, SILENT, Registry

from llmtrain_trainer.export import publish as publishing
from llmtrain_trainer.export.publish import tries
from llmtrain_trainer.output import Output


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    with registry_for_its_user(tmp_path, monkeypatch) as made:
        yield made


def files_of(server: Registry, manifest: dict[str, Any]) -> dict[str, bytes]:
    """What a runtime that mounts the image has."""
    found: dict[str, bytes] = {}
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(server.blob(layer["digest"])), mode="r:") as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
                assert member.mode == (0o755 if member.isdir() else 0o644)
                if (file := tar.extractfile(member)) is not None:
                    found[member.name] = file.read()
    return found


def test_the_export_is_an_image_with_its_files_below_models(server: Registry, tmp_path: Path) -> None:
    found = push(server, tmp_path / "o")
    manifest = server.manifest(REPOSITORY, "latest")
    assert found.error is None
    assert (found.oci, found.revision) == (f"{server.host}/{REPOSITORY}", "latest")
    assert found.url == f"oci://{server.host}/{REPOSITORY}@{found.digest}"
    assert server.manifests[REPOSITORY, found.digest or ""] == server.manifests[REPOSITORY, "latest"]
    assert files_of(server, manifest) == {
        "models/model.safetensors": WEIGHTS,
        "models/adapter/adapter_model.safetensors": b"adapter",
        "models/config.json": b"{}",
        "models/README.md": b"# A model\n",
    }
    config = json.loads(server.blob(manifest["config"]["digest"]))
    # tar files that are not compressed are their own contents, which runtimes check
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    assert len(manifest["layers"]) == 3


def test_the_image_tells_where_the_model_comes_from(server: Registry, tmp_path: Path) -> None:
    push(server, tmp_path / "o")
    manifest = server.manifest(REPOSITORY, "latest")
    said = manifest["annotations"]
    assert said["dev.llmtrain.job-uid"] == UID
    assert said["dev.llmtrain.step"] == "30"
    assert said["dev.llmtrain.data-digest"] == "ab" * 32
    assert said["org.opencontainers.image.title"] == asked_of(server, tmp_path / "o").job.name
    assert json.loads(server.blob(manifest["config"]["digest"]))["config"]["Labels"] == said


def test_the_same_export_is_the_same_digest_and_nothing_is_sent_again(
    server: Registry, tmp_path: Path
) -> None:
    first = push(server, tmp_path / "o")
    second = push(server, tmp_path / "p", tag="v2")
    assert second.digest == first.digest
    assert second.revision == "v2"
    assert set(server.uploads.values()) == {1}


def test_a_restart_pushes_nothing_and_tells_the_same_image(server: Registry, tmp_path: Path) -> None:
    first, requests = push(server, tmp_path / "o"), len(server.asked)
    assert push(server, tmp_path / "o") == first
    assert len(server.asked) == requests


def test_a_restart_without_its_record_finds_the_image_by_the_job(server: Registry, tmp_path: Path) -> None:
    first = push(server, tmp_path / "o")
    sent = server.uploads.total()
    Output(tmp_path / "o").published.unlink()
    start = start_of(tmp_path / "o", asked_of(server, tmp_path / "o"))
    (start.output.export / "README.md").write_text("another card")
    assert publishing.publish(asked_of(server, tmp_path / "o"), start, lambda _: None) == first
    assert server.uploads.total() == sent


def test_a_tag_of_another_job_is_moved(server: Registry, tmp_path: Path) -> None:
    push(server, tmp_path / "o")
    found = push(server, tmp_path / "p", uid=OTHER)
    assert server.manifest(REPOSITORY, "latest")["annotations"]["dev.llmtrain.job-uid"] == OTHER
    assert server.manifests[REPOSITORY, found.digest or ""] == server.manifests[REPOSITORY, "latest"]


@pytest.mark.parametrize(
    "place",
    ["GET .*/manifests", "HEAD .*/blobs", "POST .*/uploads", "PUT .*/uploads", "PUT .*/manifests", "/token"],
)
@pytest.mark.parametrize("fault", [503, 429, BEFORE])
def test_what_passes_is_tried_again(place: str, fault: int, server: Registry, tmp_path: Path) -> None:
    server.failures[place] = [fault, fault]
    waits: list[float] = []
    found = push(server, tmp_path / "o", waits)
    assert found.error is None
    assert waits == [5.0, 10.0]
    assert set(server.uploads.values()) == {1}


def test_a_connection_that_is_cut_in_the_middle_of_a_layer(server: Registry, tmp_path: Path) -> None:
    server.failures["PUT .*/uploads"] = [MIDDLE]
    assert push(server, tmp_path / "o").error is None
    assert files_of(server, server.manifest(REPOSITORY, "latest"))["models/model.safetensors"] == WEIGHTS


def test_an_answer_that_was_lost_makes_no_second_image(server: Registry, tmp_path: Path) -> None:
    server.failures["PUT .*/manifests"] = [CUT]
    found = push(server, tmp_path / "o")
    assert found.error is None
    assert len([line for line in server.asked if line.startswith("PUT") and "manifests" in line]) == 1


def test_an_upload_that_the_registry_has_forgotten_is_begun_again(server: Registry, tmp_path: Path) -> None:
    server.failures["PUT .*/uploads"] = [404]
    assert push(server, tmp_path / "o").error is None


def test_a_registry_that_is_away_is_given_up_after_a_few_tries(server: Registry, tmp_path: Path) -> None:
    server.failures["PUT .*/uploads"], server.stays = [503], True
    waits: list[float] = []
    found = push(server, tmp_path / "o", waits)
    assert (found.digest, found.url) == (None, None)
    assert (found.error or "").startswith("the registry answers 503 to a layer of")
    assert "FROM scratch" in (found.error or "")
    assert waits == [5.0, 10.0, 20.0, 40.0]
    assert server.manifests == {}


def test_a_registry_that_nobody_runs(tmp_path: Path) -> None:
    asked = job(tmp_path / "o", output={"publish": {"oci": f"127.0.0.1:1/{REPOSITORY}"}})
    waits: list[float] = []
    found = publishing.publish(asked, start_of(tmp_path / "o", asked), waits.append)
    assert "ConnectError" in (found.error or "")
    assert len(waits) == tries.TRIES - 1


def test_a_registry_that_never_answers_is_no_end_of_the_world(
    server: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(tries, "TRIES", 2)
    server.failures["PUT .*/uploads"], server.stays = [SILENT], True
    found = push(server, tmp_path / "o")
    assert "Timeout" in (found.error or "")


@pytest.mark.parametrize(
    ("place", "status", "fix"),
    [
        ("POST .*/uploads", 403, "kubernetes.io/basic-auth"),
        ("PUT .*/uploads", 413, "client_max_body_size"),
        ("PUT .*/manifests", 400, "FROM scratch"),
    ],
)
def test_what_the_registry_refuses_for_good_is_told_at_once(
    place: str, status: int, fix: str, server: Registry, tmp_path: Path
) -> None:
    server.failures[place] = [status]
    waits: list[float] = []
    found = push(server, tmp_path / "o", waits)
    assert f"the registry answers {status}" in (found.error or "")
    assert "because of FAULT" in (found.error or "")
    assert fix in (found.error or "")
    assert waits == []
    assert server.manifests == {}


def test_a_large_file_is_never_kept_whole(server: Registry, tmp_path: Path) -> None:
    asked = asked_of(server, tmp_path / "o")
    start = start_of(tmp_path / "o", asked)
    with (start.output.export / "model.safetensors").open("wb") as file:
        file.truncate(96 << 20)
    tracemalloc.start()
    try:
        assert publishing.publish(asked, start, lambda _: None).error is None
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_changes_meanwhile_is_no_image(server: Registry, tmp_path: Path) -> None:
    asked = asked_of(server, tmp_path / "o")
    start = start_of(tmp_path / "o", asked)
    provider = publishing.provider_of(asked, start)
    assert provider.image.layers  # type: ignore[attr-defined]
    (start.output.export / "model.safetensors").write_bytes(WEIGHTS + b"more")
    waits: list[float] = []
    found = tries.pushed(provider, waits.append)
    assert "has changed while it was read" in (found.error or "")
    assert server.manifests == {}
