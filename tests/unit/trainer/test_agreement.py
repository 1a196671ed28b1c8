"""Nodes that share no folder agree on a checkpoint, and each downloads what its own ranks read alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import pytest
from harness.builders import job
from typing_extensions import override

from llmtrain_api import JobFile, Layout, changed
from llmtrain_api.names import ENV_HOLDER
from llmtrain_trainer.checkpoint.fence import Fence
from llmtrain_trainer.checkpoint.manifest import Manifest
from llmtrain_trainer.checkpoint.resume import Resume
from llmtrain_trainer.errors import Fenced
from llmtrain_trainer.output import Output
from llmtrain_trainer.storage.base import Joined
from llmtrain_trainer.storage.objectstore import output as objectstore
from llmtrain_trainer.storage.objectstore import record
from llmtrain_trainer.storage.objectstore.bucket import Bucket
from llmtrain_trainer.storage.objectstore.ledger import Ledger
from llmtrain_trainer.storage.objectstore.output import ObjectOutputStore
from llmtrain_trainer.storage.start_marker import Start

NODES = 3
LAYOUT = Layout(data=NODES)
COMMON, WHOLE = "state/mp_rank_00_model_states.pt", "weights/model.safetensors"
SIZE = 50_000


def shard(rank: int) -> str:
    return f"state/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"


NAMES = (COMMON, WHOLE, *map(shard, range(NODES)))


class Counted(Bucket):
    """Counts the bytes of files that were really got."""

    got = 0

    @override
    def download(self, prefix: str, names: Iterable[str], folder: Path) -> None:
        names = list(names)
        super().download(prefix, names, folder)
        self.got += sum((folder / name).stat().st_size for name in names)


@dataclass
class Gang:
    """A store with two saves of all ranks, and the launchers of an attempt, each with a folder of its own."""

    root: Path
    attempt: int = 0
    torn: list[tuple[int, str]] = field(default_factory=list)
    waited_for: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.buckets = [Counted(str(self.root / "store")) for _ in range(NODES)]
        self.nodes = []
        for node in range(NODES):
            asked = job(
                self.root / f"node{node}-{self.attempt}",
                nodes=NODES,
                processesPerNode=1,
                attempt=self.attempt,
                training={"zeroStage": 1},
                output={"uri": "s3://models/run"},
            )
            assert asked.layout == LAYOUT
            self.nodes.append(ObjectOutputStore(asked))

    def choose(self, answer: Callable[[Sequence[int]], None] | None = None) -> tuple[Fence, Resume | None]:
        """Node 0 chooses; the others look whenever it waits for them."""
        claimed = self.nodes[0].claim()
        fence = claimed.raise_fence()

        def pause(absent: Sequence[int]) -> None:
            self.waited_for.append(list(absent))
            (answer or self.answer)(absent)

        found = claimed.choose(fence, {}, lambda step, reason: self.torn.append((step, reason)), pause)
        if found:
            claimed.publish_start(Start(fence, found, {}))
        return fence, found

    def answer(self, nodes: Sequence[int]) -> None:
        for node in nodes:
            assert self.join(node) is None

    def join(self, node: int) -> Joined | None:
        return self.nodes[node].read_start(node)

    def got(self) -> list[int]:
        return [bucket.got for bucket in self.buckets]


@pytest.fixture
def gang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gang:
    made = Gang(tmp_path)

    def ledger_of(_: JobFile, output: Output) -> Ledger:
        return Ledger(made.buckets[int(output.root.name.removeprefix("node")[0])])

    monkeypatch.setattr(objectstore, "ledger_of", ledger_of)
    fence = made.nodes[0].claim().raise_fence()
    for step in (5, 10):
        folder, files, noise = tmp_path / f"saved-{step}", {}, Random(step)
        for name in NAMES:
            content = noise.randbytes(SIZE)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            files[name] = {"size": SIZE, "sha256": hashlib.sha256(content).hexdigest()}
        saved = Manifest.model_validate({"step": step, "layout": asdict(LAYOUT), "files": files})
        (folder / "manifest.json").write_text(saved.model_dump_json(by_alias=True))
        made.buckets[0].upload(folder, [*NAMES, "manifest.json"], f"checkpoints/step-{step}.x")
        ledger = Ledger(Bucket(str(tmp_path / "store")))
        ledger.append(record.commit(fence, step, f"checkpoints/step-{step}.x", []))
    return made


def damage(gang: Gang, step: int, name: str) -> None:
    """One bit of it."""
    path = gang.root / f"store/checkpoints/step-{step}.x" / name
    content = bytearray(path.read_bytes())
    content[SIZE // 2] ^= 1
    path.write_bytes(content)


def read(gang: Gang, node: int) -> set[str]:
    """Files of checkpoints that lie on a node."""
    folder = gang.nodes[node].job.output + "/checkpoints"
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*.pt")}


def test_each_node_downloads_its_own_part_and_nobody_another_one(gang: Gang) -> None:
    _, resume = gang.choose()
    assert resume == Resume(10, LAYOUT)
    for node in range(1, NODES):
        joined = gang.join(node)
        assert joined
        assert joined.start.resume == resume
    for node, got in enumerate(gang.got()):
        assert read(gang, node) == {f"step-10/{COMMON}", f"step-10/{shard(node)}"}
        assert 2 * SIZE <= got <= 2 * SIZE * 1.05


@pytest.mark.parametrize("name", [COMMON, *map(shard, range(NODES))])
def test_a_fault_that_one_node_finds_leads_all_to_the_step_before(gang: Gang, name: str) -> None:
    damage(gang, 10, name)
    _, resume = gang.choose()
    assert resume == Resume(5, LAYOUT)
    [(step, reason)] = gang.torn
    assert step == 10
    assert f"{name} has another sha256 than its manifest says" in reason
    assert reason.startswith("node ") == (name in (shard(1), shard(2)))
    for node in range(1, NODES):
        joined = gang.join(node)
        assert joined
        assert joined.start.done == 5
    for node in range(NODES):
        assert read(gang, node) == {f"step-5/{COMMON}", f"step-5/{shard(node)}"}, "and nothing of the other"


def test_where_no_step_is_whole_for_all_there_is_none_to_go_on_from(gang: Gang) -> None:
    damage(gang, 10, shard(1))
    damage(gang, 5, shard(2))
    assert gang.choose()[1] is None
    assert [step for step, _ in gang.torn] == [10, 5]


def test_what_the_export_alone_reads_is_not_looked_at(gang: Gang) -> None:
    """The last save writes it anew in each attempt."""
    damage(gang, 10, WHOLE)
    assert gang.choose()[1] == Resume(10, LAYOUT)


def test_nobody_goes_on_before_all_have_answered(gang: Gang) -> None:
    order = [2, 1]

    def one_at_a_time(absent: Sequence[int]) -> None:
        node = order.pop(0)
        assert node in absent
        gang.answer([node])

    gang.choose(one_at_a_time)
    assert gang.waited_for == [[1, 2], [1]]


def test_a_newer_attempt_ends_the_wait(gang: Gang) -> None:
    later = Gang(gang.root, attempt=1)

    def overtake(_: Sequence[int]) -> None:
        later.nodes[0].claim().raise_fence()

    with pytest.raises(Fenced, match="attempt 1 of job"):
        gang.choose(overtake)


def test_what_was_asked_in_an_earlier_attempt_is_not_answered_in_this_one(gang: Gang) -> None:
    with pytest.raises(InterruptedError):
        gang.choose(_interrupt)
    later = Gang(gang.root, attempt=1)
    later.nodes[0].claim().raise_fence()
    before = gang.got()
    later.answer([1, 2])
    assert gang.got() == before


def test_another_pod_of_node_0_asks_again_and_nothing_is_downloaded_twice(
    gang: Gang, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer_and_die(_: Sequence[int]) -> None:
        gang.answer([1, 2])
        raise InterruptedError

    monkeypatch.setenv(ENV_HOLDER, "the first pod")
    with pytest.raises(InterruptedError):
        gang.choose(answer_and_die)
    before = gang.got()
    monkeypatch.setenv(ENV_HOLDER, "another pod")
    assert gang.choose()[1] == Resume(10, LAYOUT)
    assert gang.waited_for == [[1, 2], [1, 2]]
    for node in (1, 2):
        assert gang.join(node)
        assert gang.got()[node] == before[node]


def lay_out_anew(gang: Gang) -> None:
    """The steps are those of two ranks."""
    for path in (gang.root / "store/checkpoints").glob("*/manifest.json"):
        other = Manifest.model_validate_json(path.read_text())
        path.write_text(
            changed(other, layout=asdict(Layout(data=2)), world_size=2).model_dump_json(by_alias=True)
        )


def test_of_a_step_of_another_layout_launchers_download_nothing(gang: Gang) -> None:
    """Ranks get what they read of it."""
    lay_out_anew(gang)
    _, resume = gang.choose()
    assert resume == Resume(10, Layout(data=2))
    for node in range(1, NODES):
        assert gang.join(node)
    for node in range(NODES):
        assert read(gang, node) == set()
        assert (Path(gang.nodes[node].job.output) / "checkpoints/step-10/manifest.json").exists()
    assert max(gang.got()) < SIZE


@pytest.mark.parametrize("content", [b"short", None], ids=["short", "gone"])
def test_a_step_of_another_layout_that_lacks_something_is_passed_over(
    gang: Gang, content: bytes | None
) -> None:
    lay_out_anew(gang)
    path = gang.root / "store/checkpoints/step-10.x" / shard(1)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert gang.choose()[1] == Resume(5, Layout(data=2))
    assert gang.torn == [(10, f"{shard(1)} has {len(content or b'')} bytes instead of {SIZE}")]


def test_what_a_rank_found_damaged_the_next_attempt_passes_over(gang: Gang) -> None:
    fence, resume = gang.choose()
    assert resume == Resume(10, LAYOUT)
    ledger = Ledger(gang.buckets[0])
    ledger.append(record.damaged(fence, 10, "a rank says so"))
    later = Gang(gang.root, attempt=1)
    fence, resume = later.choose()
    assert resume == Resume(5, LAYOUT)
    assert later.torn == [(10, "a rank says so")]
    ledger.append(record.commit(fence, 10, "checkpoints/step-10.y", []))
    assert ledger.newest.torn == {}, "it was saved once more"


def test_whoever_prepares_data_in_the_name_of_node_0_answers_nothing(gang: Gang) -> None:
    with pytest.raises(InterruptedError):
        gang.choose(_interrupt)
    before = gang.got()
    assert gang.join(0) is None
    assert gang.got() == before


def _interrupt(_: Sequence[int]) -> None:
    raise InterruptedError
