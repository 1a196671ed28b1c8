"""A process that is killed keeps the page cache, a node that loses power does not: the order of the system
calls of a save, as the kernel saw them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.children import environment

CALLS = "openat,write,pwrite64,fsync,rename,renameat,renameat2,mkdir,unlink,unlinkat"
CALL = re.compile(r"(\d+) +(\w+)\((.*)")
RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>")


@dataclass(frozen=True)
class Event:
    """A completed system call on one path; a rename has two."""

    call: str
    path: str
    target: str = ""


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """Two saves with the whole weights, one in the loop and one beside it, keeping one."""
    if not shutil.which("strace"):
        installed = subprocess.run(
            ["apt-get", "install", "-y", "-qq", "strace"], capture_output=True, check=False
        )
        if installed.returncode:
            pytest.fail("this test needs strace, and `apt-get install strace` failed; install it")
    work = tmp_path_factory.mktemp("order")
    command = [
        "strace",
        "-f",
        "-y",
        "-qq",
        "--seccomp-bpf",
        "-s",
        "0",
        "-e",
        f"trace={CALLS}",
        "-e",
        "signal=none",
    ]
    command += [
        "-o",
        str(work / "trace"),
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "harness.saves.two_saves",
        str(work / "out"),
    ]
    ended = subprocess.run(
        command,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return parse((work / "trace").read_text(), str(work / "out"))


def parse(trace: str, root: str) -> list[Event]:
    """Successful calls below a folder, in the order in which they ended."""
    found: list[Event] = []
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        resumed = RESUMED.match(line)
        if resumed:
            line = begun.pop(resumed[1], "") + line
        match = CALL.match(line)
        if not match:
            continue
        if line.endswith("<unfinished ...>"):
            begun[match[1]] = line.removesuffix("<unfinished ...>")
            continue
        if not re.search(r"= -1 E[A-Z]+", line):
            found.append(_event(match[2], match[3], root))
    return [event for event in found if event.path.startswith(root)]


def _event(call: str, rest: str, root: str) -> Event:
    if call.startswith("rename"):
        old, new = re.findall(r'"([^"]*)"', rest)[:2]
        # a path through the held descriptor; strace tells what the kernel made of it only for others
        return Event("rename", _resolved(old, root), _resolved(new, root))
    if call == "openat":
        made = re.search(r"= \d+<([^>]*)>", rest)
        return Event("create" if "O_CREAT" in rest else "look", made[1] if made else "")
    if call in ("mkdir", "unlink", "unlinkat"):
        return Event(call, _resolved(re.findall(r'"([^"]*)"', rest)[0], root))
    on = re.match(r"\d+<([^>]*)>", rest)
    return Event("write" if call == "pwrite64" else call, on[1] if on else "")


def _resolved(path: str, root: str) -> str:
    return re.sub(r"/proc/self/fd/\d+", f"{root}/output/checkpoints/.attempt-0-11111111-pod0", path)


def commits(events: list[Event]) -> list[int]:
    return [
        at
        for at, e in enumerate(events)
        if e.call == "rename" and re.search(r"/checkpoints/step-\d+$", e.target)
    ]


def test_every_file_is_synced_before_the_commit(events: list[Event]) -> None:
    """Write -> fsync of that file -> commit, whatever names the file had in between."""
    assert len(commits(events)) == 2
    for at in commits(events):
        step, dirty, written = events[at].path + "/", set[str](), set[str]()
        for event in events[:at]:
            if event.call in ("create", "write") and event.path.startswith(step):
                dirty.add(event.path)
                written.add(event.path)
            elif event.call == "fsync":
                dirty.discard(event.path)
            elif event.call == "rename" and event.path in written:
                written = written - {event.path} | {event.target}
                if event.path in dirty:
                    dirty = dirty - {event.path} | {event.target}
        assert dirty == set(), f"committed before it was on the disk: {sorted(dirty)}"
        kinds = {Path(path).name for path in written}
        assert len(kinds) == 6, kinds  # model, optimizer, list, weights, index, manifest


def test_every_folder_is_synced_before_the_commit(events: list[Event]) -> None:
    """An fsync of a folder after its last new entry: a file may be on the disk without a name."""
    for at in commits(events):
        step, dirty, seen = events[at].path, set[str](), set[str]()
        for event in events[:at]:
            entry = event.target if event.call == "rename" else event.path
            if event.call in ("create", "rename", "mkdir") and entry.startswith(step + "/"):
                dirty.add(str(Path(entry).parent))
                seen.add(str(Path(entry).parent))
            elif event.call == "fsync":
                dirty.discard(event.path)
        assert dirty == set(), f"its entries were not on the disk: {sorted(dirty)}"
        assert {Path(path).name for path in seen} == {Path(step).name, "state", "parts", "weights"}


def test_the_manifest_is_last(events: list[Event]) -> None:
    for at in commits(events):
        step = events[at].path
        mine = [
            e
            for e in events[:at]
            if e.path.startswith(step + "/") and e.call in ("create", "write", "rename")
        ]
        assert [Path(e.path).name.split(".")[1] for e in mine[-3:]] == ["manifest"] * 3, mine[-3:]


def test_a_commit_is_on_the_disk_before_an_older_step_goes(events: list[Event]) -> None:
    for at in commits(events):
        folder = str(Path(events[at].target).parent)
        synced = next(n for n, e in enumerate(events) if n > at and e.call == "fsync" and e.path == folder)
        gone = [n for n, e in enumerate(events) if n > at and ".deleted-" in e.target]
        assert all(n > synced for n in gone)
    assert any(".deleted-" in e.target for e in events), "nothing was deleted: this test compares nothing"
