"""Token sets: killed at any moment, made by any number of processes, used by many jobs."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.builders import job
from harness.children import environment
from harness.hub import hub
from harness.sizes.anonymous import tree_peak
from harness.trainer.launches import alive

from llmtrain_trainer.data.loader import open_held_out, open_train
from llmtrain_trainer.data.store import key_of, read_marker, reusable, tokens_folder
from llmtrain_trainer.data.units import pool, work
from llmtrain_trainer.data.units.token_set import read_set
from llmtrain_trainer.errors import ConfigError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    from llmtrain_trainer.data.prepare import prepare

WORDS = [
    "the",
    "clerk",
    "paints",
    "a",
    "lamp",
    "under",
    "the",
    "bridge",
    "while",
    "the",
    "song",
    "of",
    "the",
    "river",
    "weighs",
    "more",
    "than",
    "bread",
]

SERVER = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from llmtrain_api import JobFile
from llmtrain_trainer.data import tokenizer
from llmtrain_trainer.data.prepare import prepare
from llmtrain_trainer.data.units import plan, pool

def life(path, into, workers, unit):
    os.setsid()
    log = os.open(into + ".log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)  # answers have a pipe of their own: a log would come between a number and its line's end
    os.dup2(log, 2)
    pool.cores = lambda: workers
    plan.UNIT = unit
    prepare(JobFile.model_validate_json(Path(path).read_text()), Path(into))

tokenizer.TRAINING_BYTES, pool.WORTH = 1 << 18, 0
if __name__ == "__main__":
    assert "torch" not in sys.modules, "it is loaded when the processes that prepare text have ended"
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            life(*json.loads(line))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
"""Forks a preparation for each line: imports cost it nothing."""


def corpus(folder: Path, size: int) -> Path:
    folder.mkdir(parents=True)
    chosen = random.Random(1)
    for part in range(3):
        with (folder / f"{part}.jsonl").open("w") as file:
            while file.tell() < size // 3:
                file.write(json.dumps({"text": " ".join(chosen.choices(WORDS, k=120))}) + "\n")
    return folder


def asked(folder: Path, texts: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    dataset = {"name": f"file://{texts}", "maxBytes": None}
    path = folder / "job.json"
    path.write_text(job(folder / "output", dataset=dataset, **changes).model_dump_json(by_alias=True))
    return path


class Preparations:
    """Preparations one after another, each with a session of its own that can be killed."""

    def __init__(self, script: Path) -> None:
        script.write_text(SERVER)
        self._server = subprocess.Popen(
            [sys.executable, str(script)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._server.stdin
        assert self._server.stdout
        self._ask, self._answers = self._server.stdin, self._server.stdout

    def start(self, folder: Path, into: Path, workers: int, unit: int) -> int:
        """Begin one; its process."""
        self._ask.write(json.dumps([str(folder / "job.json"), str(into), workers, unit]) + "\n")
        self._ask.flush()
        pid = self._next()
        assert pid > 1, "whoever signals the group 0 signals the tests"
        return pid

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._next()

    def _next(self) -> int:
        line = self._answers.readline()
        assert line, "the server has ended"
        return int(line)

    def close(self) -> None:
        self._ask.close()
        self._server.wait(60)
        self._answers.close()


@pytest.fixture
def preparations(tmp_path: Path) -> Iterator[Preparations]:
    made = Preparations(tmp_path / "server.py")
    yield made
    made.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def units(tokens: Path) -> dict[str, int]:
    """When each unit was done."""
    return {path.name: path.stat().st_mtime_ns for path in tokens.glob("*/unit-*.json")}


KILLS = 20
UNIT = 50_000
MOST = 400 << 20
"""Bytes of their own that a preparation with two other processes may have, whatever it reads."""


@pytest.mark.proof
def test_killed_at_any_moment_only_units_in_flight_are_made_again(
    tmp_path: Path, preparations: Preparations
) -> None:
    texts = corpus(tmp_path / "texts", 2_000_000)
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    for folder in (alone, killed):
        asked(folder, texts)
    preparations.start(alone, alone / "data", 1, UNIT)
    assert preparations.wait() == 0
    chosen, tokens = random.Random(7), killed / "tokens"
    before: dict[str, int] = {}
    for kill in range(KILLS):
        pid = preparations.start(killed, killed / f"data-{kill}", 1 + kill % 3, UNIT)
        wanted, until = len(before) + chosen.randint(0, 2), time.monotonic() + 120
        while len(units(tokens)) < wanted and alive(pid):
            assert time.monotonic() < until
            time.sleep(0.002)
        time.sleep(chosen.uniform(0, 0.02))  # anywhere between two units
        while alive(pid):  # it may not lead a group yet
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        if preparations.wait() == 0:
            # a busy machine kills late, and there is less to do
            assert kill >= KILLS // 2, "it had not ended"
            break
        there = units(tokens)
        assert before.items() <= there.items(), "what was done is not done again"
        before = there
    pid = preparations.start(killed, killed / "data", 2, UNIT)
    peak = tree_peak(pid, lambda: alive(pid), 0.005)
    assert preparations.wait() == 0
    assert 0 < peak.value <= MOST, f"{peak.value >> 20} MiB"
    assert before.items() <= units(tokens).items()
    assert contents(tokens) == contents(alone / "tokens")
    assert contents(killed / "data") == contents(alone / "data")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("corpus") / "texts", 400_000)


def data(work: Path, texts: Path, name: str, cache: Path | None = None, **changes: Any) -> Any:
    dataset = {"name": f"file://{texts}", "maxBytes": None, **changes.pop("dataset", {})}
    made = job(work / name / "output", dataset=dataset, **changes)
    if cache:
        made = made.model_copy(update={"cache": str(cache)})
    (work / name).mkdir()
    return made, prepare(made, work / name / "data")


def test_one_set_serves_jobs_of_other_lengths_and_sizes(
    tmp_path: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    made: list[str] = []
    make = pool.make

    def counted(*told: Any) -> None:
        made.append(told[1].name)
        make(*told)

    monkeypatch.setattr(pool, "make", counted)
    first, one = data(tmp_path, texts, "first", cache)
    assert made == ["00-000000"]
    changes: dict[str, Any] = {"training": {"sequenceLength": 64, "seed": 5}, "model": {"hiddenSize": 64}}
    _, two = data(tmp_path, texts, "second", cache, **changes)
    assert made == ["00-000000"]
    assert one.stream == two.stream
    short, long = (
        np.asarray(open_train(tmp_path / name / "data", marker, str(cache)))
        for name, marker in (("first", one), ("second", two))
    )
    assert short.shape[1] == 32
    assert long.shape[1] == 64
    assert short.ravel()[: long.size].tolist() == long.ravel().tolist()
    assert reusable(tmp_path / "first" / "data", first, has_checkpoints=True) == (one, "")
    data(tmp_path, texts, "third", cache, dataset={"heldOutFraction": 0.4})
    assert len(made) == 2
    without = first.model_copy(update={"cache": None})
    with pytest.raises(ConfigError, match="lie in a cache that this job does not name"):
        reusable(tmp_path / "first" / "data", without, has_checkpoints=True)


def test_a_torn_token_set_is_seen_and_made_again_to_the_same_digest(tmp_path: Path, texts: Path) -> None:
    asked, marker = data(tmp_path, texts, "run")
    folder = tokens_folder(tmp_path / "run" / "data", marker, None)
    assert folder == tmp_path / "run" / "tokens" / marker.token_set.name
    assert reusable(tmp_path / "run" / "data", asked, has_checkpoints=False)[1] == ""
    before = contents(folder)
    (folder / "unit-00-000000.train").write_bytes(b"")
    said = reusable(tmp_path / "run" / "data", asked, has_checkpoints=False)[1]
    assert "unit-00-000000.train has 0 bytes instead of" in said
    again = prepare(asked, tmp_path / "run" / "data-2")
    assert again == marker
    assert contents(folder) == before
    (folder / "set.json").unlink()
    assert "has no readable set.json" in reusable(tmp_path / "run" / "data", asked, has_checkpoints=False)[1]


def test_rows_of_an_older_folder_are_read_as_they_were(tmp_path: Path, texts: Path) -> None:
    """A folder with ``train.bin``, as versions before token sets made it, whose checkpoints go on."""
    asked, marker = data(tmp_path, texts, "run")
    folder = tmp_path / "run" / "data"
    rows = np.asarray(open_train(folder, marker))
    rows.tofile(folder / "train.bin")
    files = {
        **marker.files,
        "train.bin": {"size": rows.nbytes, "sha256": work.hashlib.sha256(rows.tobytes()).hexdigest()},
    }
    older = marker.__class__(
        **{**marker.__dict__, "files": files, "stream": None, "key": {**key_of(asked), "rules": 2}}
    )
    older.write(folder)
    assert reusable(folder, asked, has_checkpoints=True) == (older, "")
    assert np.asarray(open_train(folder, older)).tolist() == rows.tolist()
    assert reusable(folder, asked, has_checkpoints=False)[1] == "rules was 2 and is 3"


def test_a_dataset_of_the_hub_is_prepared_where_all_else_is_offline(tmp_path: Path, texts: Path) -> None:
    """As in the image."""
    with hub() as web:
        web.repository("datasets/owner/talk", {path.name: path.read_bytes() for path in texts.iterdir()})
        dataset = {"name": "owner/talk", "maxBytes": None}
        made = job(tmp_path / "output", dataset=dataset)
        (tmp_path / "job.json").write_text(made.model_dump_json(by_alias=True))
        env = {**environment(), "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": web.endpoint}
        command = [sys.executable, "-W", "ignore", "-m", "llmtrain_trainer", "prepare"]
        command += [str(tmp_path / "job.json"), "--into", str(tmp_path / "data")]
        done = subprocess.run(command, env=env, stderr=subprocess.PIPE, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert read_marker(tmp_path / "data") is not None
    assert len(units(tmp_path / "tokens")) == 1


def test_held_out_rows_are_of_other_documents(tmp_path: Path, texts: Path) -> None:
    _, marker = data(tmp_path, texts, "run", dataset={"heldOutFraction": 0.3})
    folder = tmp_path / "run" / "data"
    found = read_set(tokens_folder(folder, marker, None))
    assert found is not None
    train, held_out = (
        sum(unit.documents[side] for units in found.sources for unit in units) for side in (0, 1)
    )
    assert marker.report["documents"] == {"train": train, "heldOut": held_out}
    assert 0.2 < held_out / (train + held_out) < 0.4
    lines = {bytes(row) for row in np.asarray(open_train(folder, marker))}
    assert not lines & {bytes(row) for row in open_held_out(folder)}
