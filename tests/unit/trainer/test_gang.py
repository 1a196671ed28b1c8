"""Launchers of a gang wait for each other, and for node 0, as long as it takes."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest
from harness.builders import UID, job

from llmtrain_trainer.errors import Interrupted
from llmtrain_trainer.launch import gang
from llmtrain_trainer.launch.gang import GangLost, NodeZeroWatch, Presence, await_gang, await_start
from llmtrain_trainer.launch.torchrun import Stop
from llmtrain_trainer.storage.base import OutputStore
from llmtrain_trainer.storage.folder import FolderOutputStore
from llmtrain_trainer.storage.objectstore import output as objectstore
from llmtrain_trainer.storage.objectstore.bucket import Bucket
from llmtrain_trainer.storage.objectstore.ledger import Ledger


@pytest.fixture(params=["folder", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OutputStore:
    asked = job(tmp_path / "output", nodes=3, processesPerNode=1)
    if request.param == "folder":
        return FolderOutputStore(asked)
    monkeypatch.setattr(objectstore, "ledger_of", lambda *_: Ledger(Bucket(str(tmp_path / "store"))))
    found = objectstore.ObjectOutputStore(asked)
    found.poll = 0.05
    return found


def test_a_late_node_is_waited_for_without_a_deadline(store: OutputStore) -> None:
    claimed, done = store.claim(), threading.Event()

    def wait() -> None:
        # two hours pass between two looks
        hours = (7200.0 * hour for hour in itertools.count())
        await_gang(claimed, 0.01, Stop(), clock=lambda: next(hours))
        done.set()

    claimed.publish_up(0, 0)
    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    claimed.publish_up(2, 0)
    assert not done.wait(0.3)
    assert gang.missing(claimed.nodes_up(), 3) == [1]
    claimed.publish_up(1, 0)
    assert done.wait(20)


def test_sigterm_ends_the_wait(store: OutputStore) -> None:
    claimed, stop = store.claim(), Stop()
    stop.ask()
    with pytest.raises(Interrupted):
        await_gang(claimed, 0.01, stop)


def test_nodes_of_another_job_or_attempt_do_not_count(store: OutputStore) -> None:
    claimed = store.claim()
    names = [f"node-0.{UID}.up", "node-1.another.up", "rank-1.end.json"]
    assert claimed.output.nodes_of(names, UID) == {0}
    assert claimed.nodes_up() == set()


def test_node_0_is_waited_for_while_its_launcher_lives() -> None:
    watch = NodeZeroWatch()
    for hour in range(5):
        watch.see(None, 3600.0 * hour)
    for beat in range(100):
        watch.see(str(beat), 20_000.0 + gang.SILENCE * beat)
    watch.see("99", 20_000.0 + gang.SILENCE * 100)
    with pytest.raises(GangLost, match="no sign for"):
        watch.see("99", 20_000.0 + gang.SILENCE * 101)


def test_a_node_whose_node_0_died_gives_up(store: OutputStore) -> None:
    store.claim().publish_up(0, 7)
    assert store.heartbeat() == "7"
    times = (600.0 * count for count in itertools.count())
    with pytest.raises(GangLost):
        await_start(store, 1, Stop(), clock=lambda: next(times))


def test_a_launcher_beats_until_it_is_closed(store: OutputStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gang, "BEAT", 0.02)
    presence = Presence(store.claim(), 0)
    until = time.monotonic() + 20
    while store.heartbeat() in (None, "0"):
        assert time.monotonic() < until
        time.sleep(0.01)
    monkeypatch.setattr(gang, "BEAT", 10)
    presence.close()
    last = store.heartbeat()
    assert not presence._thread.is_alive()
    assert store.heartbeat() == last
