"""What `llmtrain check` says of a manifest, without the trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.bad_manifests import BAD
from harness.jobs import manifest

from llmtrain.cli.app import main
from llmtrain_api import InvalidJob, ModelFacts, parse_manifest
from llmtrain_operator.local import check as checks


def checked(folder: Path, document: dict[str, Any], *options: str) -> int:
    path = folder / "job.yaml"
    path.write_text(json.dumps(document))
    return main(["check", str(path), "--runs", str(folder / "runs"), *options])


def test_a_good_manifest_is_told_with_its_layout_batch_and_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(tmp_path, manifest(nodes=4, training={"maxSteps": 20, "globalBatchSize": 128})) == 0
    told = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert told["tiny:"] == "nothing is wrong with the manifest"
    assert told["gang"] == "4 nodes x 1 CPU process, 4 ranks", "that of the cluster, not of this machine"
    assert told["layout"].startswith("dp4 zero0 fp32 (")
    assert "8 at once, 4 times" in told["batch"]
    assert told["memory"].startswith("a rank needs about ")
    assert "1,574,016 parameters" in told["model"]
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"], "nothing was written"


@pytest.mark.parametrize("name", [*BAD][::7])
def test_a_mistake_is_told_as_at_apply(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    bad = BAD[name].manifest
    with pytest.raises(InvalidJob) as told:
        parse_manifest(bad)
    assert checked(tmp_path, bad) == 2
    where = tmp_path / "job.yaml"
    assert capsys.readouterr().err == "".join(f"{where}: {one}\n" for one in told.value.mistakes)


def test_a_job_on_an_object_store_can_be_checked(tmp_path: Path) -> None:
    assert checked(tmp_path, manifest(output={"uri": "s3://models/run"})) == 0


def test_what_only_a_cluster_refuses_is_told_beside_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(tmp_path, manifest(output={"uri": "file:///data/run"}, hostNetwork=True)) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("in a cluster  ")]
    assert ["spec.output.uri" in told[0], "spec.hostNetwork" in told[1]] == [True, True]


def test_what_needs_the_trainer_says_so_where_it_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda _: None)
    assert checked(tmp_path, manifest()) == 0
    assert checked(tmp_path, manifest(), "--data") == 2
    assert "pip install" in capsys.readouterr().err


def test_without_a_hub_a_known_model_is_checked_by_the_catalogue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_: object) -> ModelFacts:
        raise checks.Unreachable("the hub does not answer")

    monkeypatch.setattr(checks._Look, "_facts", unreachable)
    asked: dict[str, Any] = {
        "gpusPerNode": 8,
        "resources": {"memory": "900Gi"},
        "training": {"globalBatchSize": 64},
    }
    document = manifest(model={"name": "Qwen/Qwen2.5-7B"}, **asked)
    assert checked(tmp_path, document) == 0
    told = capsys.readouterr()
    assert "7,615,616,512 parameters" in told.out
    assert "by the catalogue" in told.err
    assert checked(tmp_path, document, "--data") == 1, "the tokenizer is not in the catalogue"
    assert checked(tmp_path, manifest(model={"name": "somebody/else"}, **asked)) == 1
    assert "does not answer" in capsys.readouterr().err
    long = asked | {"training": {"globalBatchSize": 64, "sequenceLength": 1_000_000}}
    assert checked(tmp_path, manifest(model={"name": "Qwen/Qwen2.5-7B"}, **long)) == 2
    assert "131072 positions" in capsys.readouterr().err


def test_what_it_says_is_there_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, manifest(nodes=4, training={"globalBatchSize": 128}), "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["accepted"], found["mistakes"]) == ("tiny", True, [])
    assert (found["nodes"], found["ranks"]) == (4, 4)
    assert found["resolved"]["microBatch"] == 8
    assert found["model"]["parameters"] == 1_574_016
    bytes_of = found["rankBytes"]
    parts = sum(size for name, size in bytes_of.items() if name not in ("peak", "limit"))
    assert parts == bytes_of["peak"] <= bytes_of["limit"]

    bad = BAD[next(iter(BAD))].manifest
    with pytest.raises(InvalidJob) as told:
        parse_manifest(bad)
    assert checked(tmp_path, bad, "-o", "yaml") == 2
    said = capsys.readouterr()
    assert yaml.safe_load(said.out) == {"accepted": False, "mistakes": list(told.value.mistakes)}
    assert said.err == ""
    assert checked(tmp_path, manifest(), "--data", "-o", "json") == 2
    assert "--data prints samples for people" in capsys.readouterr().err
