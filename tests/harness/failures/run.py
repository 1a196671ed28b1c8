"""Cause failures, each in a rank of its own: ``python -m harness.failures.run FOLDER NAME...``

Each rank is a fork of this process, which has imported what all of them need. It ends as ranks do: with a
record of its exception in the output, or without one. Its exit code goes to ``FOLDER/NAME/code``.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from harness.builders import job
from harness.failures import causes, servers
from llmtrain_api import JobFile
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.storage.start_marker import Start
from llmtrain_trainer.training import rank

NEEDED = ("torch.distributed", "s3fs")
"""What takes long to import, and several of them need."""


def asked(folder: Path) -> JobFile:
    """The job whose only rank fails."""
    return job(folder / "output", training={"maxSteps": 1})


def begun(of: Callable[[Path], JobFile]) -> Iterator[tuple[str, Path]]:
    """The failures that the command names, each with a folder where its job's ranks may begin."""
    for module in NEEDED:
        importlib.import_module(module)
    for name in sys.argv[2:]:
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True)
        one = of(folder)
        Start(raise_fence(claim(one), one, "pod"), None, {}).publish()
        (folder / "job.json").write_text(one.model_dump_json(by_alias=True))
        yield name, folder


def main() -> None:
    """Cause all of them, one after the other."""
    for name, folder in begun(asked):
        pid = os.fork()
        if pid == 0:
            _fail(name, folder)
        (folder / "code").write_text(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))


def _fail(name: str, folder: Path) -> NoReturn:
    """Be the rank."""
    os.setsid()
    os.chdir(folder)
    cause = getattr(causes, name, None) or getattr(servers, name)
    vars(rank)["_train"] = lambda *_: cause()
    vars(rank)["die_with_parent"] = lambda: None
    code = 1
    with contextlib.suppress(BaseException):
        code = rank.main([str(folder / "job.json")])
    os._exit(code)


if __name__ == "__main__":
    main()
