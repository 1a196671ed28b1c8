"""An output with a checkpoint, and a job that goes on from it: real files, no torch.

``python -m harness.saves.origins FOLDER`` kills attempts that take it over at each operation on a file,
before or after it; the attempt after each gets the whole step. It is a process of its own as it forks
hundreds of times: pytest's has imported torch, and takes many times as long to fork.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.builders import job_file, least_spec
from harness.saves.kill_points import MOMENTS, KillPoint

from llmtrain_api import JobFile, Layout, OriginFolder
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.checkpoint.manifest import MANIFEST, broken
from llmtrain_trainer.checkpoint.origin import adopt
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.checkpoint.resume import choose
from llmtrain_trainer.files import inventory, write_json
from llmtrain_trainer.output import Output

OURS, THEIRS = "aaaaaaaa-1", "bbbbbbbb-2"
LAYOUT = Layout(data=4)
PRINTS = {"seed": 0, "precision": "fp32"}


def saved(root: Path, step: int, *, uid: str = THEIRS, **changes: Any) -> Output:
    output = Output(root)
    folder = output.step(step)
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "model.pt").write_text(f"weights {step}")
    (folder / "list").write_text("names")
    manifest = {
        "step": step,
        "jobUid": uid,
        "layout": asdict(LAYOUT),
        "fingerprints": PRINTS,
        "files": inventory(folder),
    }
    write_json(folder / MANIFEST, manifest | changes)
    write_json(output.owner, {"jobUid": uid, "name": "base", "namespace": "default"})
    return output


def job(
    tmp_path: Path, step: int | None = None, *, uid: str | None = THEIRS, attempt: int = 0, **more: Any
) -> JobFile:
    checkpoint = {"from": {"job": "base"} | ({"step": step} if step else {})} | more.pop("checkpoint", {})
    asked = least_spec(checkpoint=checkpoint, output={"uri": "pvc://claim/own"}, **more)
    origin = OriginFolder(
        job="base", uid=uid, uri="pvc://claim/base", step=step, folder=str(tmp_path / "base")
    )
    return job_file(asked, tmp_path / "own", uid=OURS, attempt=attempt, origin=origin)


def kill_at_every_operation(folder: Path) -> int:
    """How many attempts were killed; what is not whole then is an AssertionError."""
    saved(folder / "base", 5)
    cut = attempt = 0
    for linked in (True, False):
        shutil.rmtree(folder / "own", ignore_errors=True)
        operations = _child(folder, attempt, None, "", linked=linked)
        assert operations > 10
        for at in range(1, operations + 1):
            shutil.rmtree(folder / "own")
            _child(folder, attempt, at, MOMENTS[(at + linked) % len(MOMENTS)], linked=linked)
            own = Output(folder / "own")
            assert all(broken(own.step(step)) is None for step in own.committed())
            attempt += 1
            _child(folder, attempt, None, "", linked=linked)
            assert broken(own.step(5)) is None
            cut += 1
    return cut


def _child(tmp_path: Path, attempt: int, at: int | None, moment: str, *, linked: bool) -> int:
    """One attempt in a process of its own; how many operations it had, when it was not to be cut."""
    asked = job(tmp_path, attempt=attempt)
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.close(read)
            fence = raise_fence(claim(asked), asked, f"pod{attempt}")
            if not linked:
                os.link = _no_link
            point = KillPoint(at, moment, lambda _: None, lambda *_: None)
            if choose(fence.output, asked, PRINTS, lambda *_: None) is None:
                adopt(fence, asked, PRINTS)
            os.write(write, json.dumps(point.count).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) if at is not None else status == 0, (at, moment, status)
    return int(told or 0)


def _no_link(*_: Any, **__: Any) -> None:
    raise OSError(18, "Invalid cross-device link")


if __name__ == "__main__":
    print(kill_at_every_operation(Path(sys.argv[1])))
