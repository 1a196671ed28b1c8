"""Two nodes that share no folder, and an object store: killed, started again elsewhere, and exact."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.objectstore import Server, server
from harness.reader import perplexity_of
from harness.trainer.launches import DEADLINE, Launch, alive
from safetensors.numpy import load_file

from llmtrain_api import JobFile, Layout
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.checkpoint.manifest import StepFacts
from llmtrain_trainer.checkpoint.ownership import claim_private
from llmtrain_trainer.output import Output
from llmtrain_trainer.storage.objectstore import record, steps
from llmtrain_trainer.storage.objectstore.bucket import Bucket
from llmtrain_trainer.storage.objectstore.ledger import Ledger
from llmtrain_trainer.storage.objectstore.steps import Readers

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    from harness.saves.small import SmallEngine, as_engine, content_is_whole, save, text_of_one

    from llmtrain_trainer import distributed
    from llmtrain_trainer.checkpoint.save import Checkpointer
    from llmtrain_trainer.distributed import Ranks
    from llmtrain_trainer.storage.objectstore.checkpoints import ObjectCheckpointStore
    from llmtrain_trainer.storage.objectstore.parts import DamagedPart

FOLDER = "team/run"
STEPS = {"maxSteps": 40, "zeroStage": 1}
OTHER = "22222222-aaaa-4bbb-8ccc-000000000000"
DAMAGED = "zero_pp_rank_1_mp_rank_00_optim_states.pt"
"""Of the newest checkpoint: only node 1 reads it."""


def wanted(folder: Path, *, store: bool = True, **changes: Any) -> JobFile:
    changes = {"nodes": 2, "processesPerNode": 1, "training": STEPS, **changes}
    if store:
        changes["output"] = {"uri": f"s3://{Server.bucket}/{FOLDER}", **changes.get("output", {})}
    return job(folder, **changes)


@dataclass
class Store:
    """The bucket, and all launchers that used it."""

    server: Server
    work: Path
    launched: list[Launch] = field(default_factory=list)

    def start(self, **changes: Any) -> list[Launch]:
        """A gang, each node with a new private folder."""
        asked = wanted(self.work / "unused", **changes)
        nodes = []
        for node in range(asked.spec.nodes):
            private = self.work / f"{len(self.launched)}-node{node}"
            told = asked.model_copy(update={"output": str(private / "output")})
            nodes.append(Launch(private, told, node=node, more=self.server.environment))
            self.launched.append(nodes[-1])
        return nodes

    def damage(self, save: str, name: str) -> None:
        """Change a bit of the first state whose name ends so."""
        state = sorted(self.server.files.glob(f"{Server.bucket}/{FOLDER}/{save}/state/*{name}"))[0]
        content = bytearray(self.server.files.cat_file(state))
        content[len(content) // 2] ^= 1
        self.server.files.pipe_file(state, bytes(content))

    def record(self) -> dict[str, Any]:
        """The newest record, read without our code."""
        names = sorted(self.server.names(f"{FOLDER}/log"))
        if not names:
            return {"steps": {}}
        path = f"{Server.bucket}/{FOLDER}/log/{names[-1]}"
        found: dict[str, Any] = json.loads(self.server.files.cat_file(path))
        return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with server() as running:
        made = Store(running, tmp_path_factory.mktemp("store"))
        try:
            yield made
        finally:
            for launch in made.launched:
                launch.end()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    """The same two ranks in one shared folder."""
    work = tmp_path_factory.mktemp("shared")
    launch = Launch(work, wanted(work / "output", store=False, nodes=1, processesPerNode=2))
    try:
        assert launch.wait() == 0, launch.text()
        yield launch
    finally:
        launch.end()


def test_an_object_is_created_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ledger stands on, asked of a server."""
    for name, value in store.server.environment.items():
        monkeypatch.setenv(name, value)
    one, other = (Bucket(f"s3://{Server.bucket}/once") for _ in range(2))
    assert one.create("log/1.json", b"one")
    assert not other.create("log/1.json", b"other")
    assert other.read("log/1.json") == b"one"
    assert other.sizes("log") == {"1.json": 3}
    other.delete("log")
    assert one.sizes("log") == {}


@pytest.fixture
def store_of_node(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], ObjectCheckpointStore]:
    """Nodes of one attempt by their folder's name, each as its first rank sees the store."""
    for name, value in store.server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "all_gather_text", text_of_one)
    asked, url = job(tmp_path / "unused"), f"s3://{Server.bucket}/{tmp_path.name}"

    def of_node(node: str) -> ObjectCheckpointStore:
        output, ledger = Output(tmp_path / node), Ledger(Bucket(url))
        claim_private(output, asked)
        fence = raise_fence(output, asked, "pod")
        ledger.append(record.claim(asked))
        ledger.append(record.fence(fence))
        readers, ranks = Readers([0], Layout()), Ranks(0, 1, 0, torch.device("cpu"))
        return ObjectCheckpointStore(ledger, fence, ranks, 2, readers)

    return of_node


def saver(store: ObjectCheckpointStore) -> Checkpointer:
    return Checkpointer(store.fence, store.ranks, Layout(), {"seed": 0}, store)


@pytest.mark.parametrize("background", [False, True])
def test_going_back_within_an_attempt(
    store_of_node: Callable[[str], ObjectCheckpointStore], background: bool
) -> None:
    one, other = store_of_node("one"), store_of_node("other")
    files = saver(one)
    for step in (5, 10, 15):
        assert save(files, step, background=background, whole=step == 15) is None
    assert one.fence.output.committed() == [], "the store has them"
    assert one.ledger.read().committed == [15, 10]
    assert one.newest() == 15
    assert content_is_whole(one.fetch(15), 15)
    assert content_is_whole(other.fetch(15), 15)
    one.bucket.delete(f"{one.ledger.newest.steps['15']}/state")
    one.clear(one.fence.folder / "nothing")
    assert one.newest() == 10, "what a rank of this node has read before is gone with the next save"
    assert content_is_whole(other.fetch(10), 10)
    with pytest.raises(OSError, match="step 15: "):
        store_of_node("third").fetch(15)


def test_all_ranks_go_back_to_a_step_that_each_of_them_can_read(
    store_of_node: Callable[[str], ObjectCheckpointStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = store_of_node("one")
    files = saver(one)
    for step in (5, 10):
        assert save(files, step, background=False) is None
    others = iter([1, 0])  # another node's part of the newest is damaged
    monkeypatch.setattr(distributed, "all_reduce_sum", lambda _, own: [own + next(others)])
    assert one.newest() == 5


def test_what_a_rank_finds_damaged_is_on_record_and_a_store_that_is_sick_is_not(
    store_of_node: Callable[[str], ObjectCheckpointStore],
) -> None:
    one = store_of_node("one")
    files = saver(one)
    for step in (5, 10):
        assert save(files, step, background=False) is None
    one.tell_damaged(10, OSError(5, "Connection reset"))
    assert one.newest() == 10
    one.tell_damaged(10, DamagedPart("x has another sha256"))
    assert one.newest() == 5
    assert list(one.ledger.read().torn.values()) == ["it was read in another layout: x has another sha256"]


def test_a_step_that_is_saved_once_more_takes_the_place_of_the_first(
    store_of_node: Callable[[str], ObjectCheckpointStore],
) -> None:
    store = store_of_node("one")
    files = saver(store)
    assert save(files, 5, background=True) is None
    first = store.ledger.read().steps["5"]
    assert not files.save(as_engine(SmallEngine(5)), StepFacts(step=5)).written
    assert save(files, 5, background=False, whole=True) is None
    second = store.ledger.read().steps["5"]
    assert first != second
    assert store.bucket.sizes(first) == {}
    assert "weights/model.safetensors.index.json" in store.bucket.sizes(second)


@dataclass
class Story:
    """What was seen of a job that lost both its nodes, and a bit of what one of them reads of its newest
    checkpoint."""

    newest: int
    before: int
    second: list[Launch]
    record: dict[str, Any]


def lose(launch: Launch) -> None:
    """A node and all that was on it."""
    gone = launch.descendants()
    for pid in [launch.process.pid, *gone]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    launch.process.wait()
    until = time.monotonic() + DEADLINE
    while any(alive(pid) for pid in gone):
        assert time.monotonic() < until, "a rank lives on"
        time.sleep(0.01)
    shutil.rmtree(launch.output.root)


@pytest.fixture(scope="module")
def story(store: Store) -> Story:
    first = store.start(attempt=0)
    first[0].until(lambda: len(store.record()["steps"]) == 2, "two checkpoints")
    for launch in first:
        lose(launch)
    steps = store.record()["steps"]
    newest, before = sorted(map(int, steps), reverse=True)
    store.damage(steps[str(newest)], DAMAGED)
    second = store.start(attempt=1)
    for launch in second:
        assert launch.wait() == 0, launch.text()
    return Story(newest, before, second, store.record())


def test_it_goes_on_from_the_newest_checkpoint_that_is_whole(story: Story) -> None:
    message = story.second[0].message()
    assert message["outcome"] == "Complete"
    assert (message["resumedStep"], message["checkpointStep"]) == (story.before, 40)
    assert f'"step": {story.newest}' in story.second[0].text().replace('"step":', '"step": ').replace(
        "  ", " "
    )
    assert "checkpoint is torn and passed over" in story.second[0].text()


def test_all_nodes_go_on_from_the_step_before_for_what_one_of_them_found(story: Story) -> None:
    assert f"node 1: state/{DAMAGED} has another sha256" in story.second[0].text()
    for launch in story.second:
        started = json.loads(launch.output.ready(1).read_text())
        assert started["resume"]["step"] == story.before
        assert launch.message()["resumedStep"] == story.before
        # of 16 bytes a weight 4 are everybody's, and 6 of each rank
        part = downloaded(launch, story.before)
        assert part["bytes"] / part["of_bytes"] == pytest.approx(10 / 16, abs=0.05)


def downloaded(launch: Launch, step: int) -> dict[str, Any]:
    """What a node's launcher says of a checkpoint that it has its part of."""
    lines = [line for line in launch.text().splitlines() if '"checkpoint downloaded"' in line]
    told = [json.loads(line[line.index("{") :]) for line in lines]
    [found] = [one for one in told if one["step"] == step]
    assert isinstance(found, dict)
    return found


def test_the_weights_are_those_of_one_shared_folder(story: Story, store: Store, undisturbed: Launch) -> None:
    export = store.work / "export"
    store.server.files.get(f"{Server.bucket}/{FOLDER}/export", str(export), recursive=True)
    ours = load_file(export / "model.safetensors")
    theirs = load_file(undisturbed.output.export / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)
    results = story.record["results"]
    assert results["exportUri"] == f"s3://{Server.bucket}/{FOLDER}/export"
    said = perplexity_of(export, undisturbed.output.data / "heldout.npy")
    assert results["perplexity"] == pytest.approx(said, rel=1e-4)


def test_data_are_prepared_once(story: Story) -> None:
    texts = [launch.text() for launch in story.second]
    assert all("downloading prepared data" in text for text in texts)
    assert not any("preparing data" in text for text in texts)


def test_only_what_is_kept_is_there(story: Story, store: Store) -> None:
    assert sorted(map(int, story.record["steps"])) == [30, 40]
    prefixes = {name.partition("/")[0] for name in store.server.names(f"{FOLDER}/checkpoints")}
    assert {f"checkpoints/{prefix}" for prefix in prefixes} == set(story.record["steps"].values())
    assert set(store.server.names(FOLDER)) >= {"results.json", "logs/attempt-1/rank-1.log"}


def test_nodes_keep_no_checkpoint_that_the_store_has(story: Story) -> None:
    other = story.second[1].output
    assert list(other.checkpoints.rglob("*.pt")) == []
    assert not other.export.exists()


def test_a_finished_job_is_complete_already(story: Story, store: Store) -> None:
    before = store.record()
    [again] = store.start(attempt=2)[:1]
    assert again.wait() == 0, again.text()
    assert again.message()["results"] == story.record["results"]
    assert store.record() == before


def test_another_job_is_refused_or_gets_its_own_folder(story: Story, store: Store) -> None:
    one = {"nodes": 1, "uid": OTHER, "name": "other", "training": {"maxSteps": 10}}
    [refused] = store.start(**one)
    assert refused.wait() == 78, refused.text()
    assert "belongs to job default/run" in refused.message()["message"]
    [beside] = store.start(**one, output={"ifExists": "new"})
    assert beside.wait() == 0, beside.text()
    uri = beside.message()["results"]["exportUri"]
    assert uri == f"s3://{Server.bucket}/{FOLDER}-22222222/export"
    assert store.record() == story.record


@pytest.mark.usefixtures("story")
def test_another_layout_takes_over_and_the_old_job_ends(store: Store) -> None:
    uid = OTHER.replace("2", "3")
    taken = {"nodes": 1, "uid": uid, "name": "third", "training": {"maxSteps": 44}}
    [third] = store.start(**taken, output={"ifExists": "resume"})
    assert third.wait() == 0, third.text()
    assert third.message()["resumedStep"] == 40
    [line] = [
        json.loads(line)
        for line in third.output.rank_log(0, 0).read_text().splitlines()
        if '"state read in another layout"' in line
    ]
    assert line["read_bytes"] <= line["downloaded_bytes"] <= line["of_bytes"], "its rank got it for itself"
    assert third.message()["results"]["steps"] == 44
    [late] = store.start(attempt=3, nodes=2)[:1]
    assert late.wait() == 78, late.text()
    assert "taken over by job default/third" in late.message()["message"]


@pytest.mark.usefixtures("story")
def test_a_part_that_is_damaged_fails_one_attempt_and_the_next_passes_over_the_step(store: Store) -> None:
    """A layout that nothing was saved in: ranks find it, when they read their parts."""
    steps = store.record()["steps"]
    newest, before = sorted(map(int, steps), reverse=True)
    store.damage(steps[str(newest)], ".pt")
    asked = {
        "uid": OTHER.replace("2", "4"),
        "name": "fourth",
        "training": {"maxSteps": newest + 4, "zeroStage": 2},
        "output": {"ifExists": "resume"},
    }
    first = store.start(**asked)
    assert [launch.wait() for launch in first] == [1, 1], first[0].text()
    assert any("has another sha256" in launch.message()["message"] for launch in first)
    [how] = store.record()["torn"].values()
    assert "has another sha256" in how
    second = store.start(attempt=1, **asked)
    for launch in second:
        assert launch.wait() == 0, launch.text()
        assert launch.message()["resumedStep"] == before
    assert how in second[0].text()


def test_a_store_that_goes_away_fails_the_attempt_with_its_name(tmp_path: Path) -> None:
    with server() as running:
        gone = Store(running, tmp_path)
        try:
            running.environment["AWS_MAX_ATTEMPTS"] = "1"  # each with a pause that doubles
            [launch] = gone.start(nodes=1, processesPerNode=2, training={"maxSteps": 100_000})
            launch.until(lambda: gone.record()["steps"], "a checkpoint")
            running.kill()
            assert launch.wait() == 1, launch.text()
        finally:
            for launch in gone.launched:
                launch.end()
    message = launch.message()
    assert "3 checkpoints in a row failed" in message["message"]
    assert f"s3://{Server.bucket}/{FOLDER}" in message["message"]


def test_a_bucket_that_is_not_there_is_a_mistake_in_the_job(store: Store, tmp_path: Path) -> None:
    asked = job(tmp_path / "output", output={"uri": "s3://no-such-bucket/run"})
    launch = Launch(tmp_path, asked, more=store.server.environment)
    assert launch.wait() == 78, launch.text()
    assert "s3://no-such-bucket/run" in launch.message()["message"]
    assert "output.secret" in launch.message()["hint"]


def test_a_manifest_in_the_bucket_writes_nothing_outside(
    store_of_node: Callable[[str], ObjectCheckpointStore], store: Store, tmp_path: Path
) -> None:
    one, evil = store_of_node("one"), tmp_path / "evil.py"
    prefix = "checkpoints/step-5.evil"
    key = f"{Server.bucket}/{tmp_path.name}/{prefix}"
    entry = {"size": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}
    store.server.files.pipe_file(f"{key}/manifest.json", json.dumps({"files": {str(evil): entry}}).encode())
    store.server.files.pipe_file(f"{key}/{evil}", b"evil")
    reason = steps.fetch_step(one.bucket, prefix, one.fence, 5)
    assert reason
    assert "inside of the step" in reason
    assert not evil.exists()
    assert not one.fence.output.step(5).exists()
