"""Large files of text that cost seconds to make, and what preparing them takes of memory.

``python -m harness.sizes.text FORM MEGABYTES`` prints the peak of a preparation's tree of processes, and
fails where that is more than ``--most`` MiB.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.builders import job
from harness.children import environment
from harness.sizes.anonymous import tree_peak

WORDS = 20_000
BLOCK = 4 << 20
"""Bytes that are drawn once, and then written again and again with another beginning."""


def write(path: Path, size: int) -> Path:
    """A file of so many bytes: rows for ``.jsonl``, else paragraphs."""
    dice = random.Random(3)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 9))) for _ in range(WORDS)]
    rows = path.suffix == ".jsonl"
    drawn, length = list[str](), 0
    while length < BLOCK:
        text = " ".join(dice.choices(words, k=dice.randint(30, 400)))
        drawn.append(text)
        length += len(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        number = 0
        while file.tell() < size:
            for text in drawn:
                number += 1
                said = f"{number} {text}"
                file.write(json.dumps({"text": said}) + "\n" if rows else f"{said}\n\n")
    return path


def prepared(work: Path, texts: Path, **more: Any) -> dict[str, Any]:
    """Prepare all text of a folder by the product's verb: the peak of its processes' memory, and seconds.

    Raises:
        AssertionError: it failed.
    """
    asked = job(work / "output", dataset={"name": f"file://{texts}", "maxBytes": None}, **more)
    work.mkdir(parents=True, exist_ok=True)
    (work / "job.json").write_text(asked.model_dump_json(by_alias=True))
    command = [sys.executable, "-W", "ignore", "-m", "llmtrain_trainer", "prepare", str(work / "job.json")]
    command += ["--into", str(work / "data"), "--tokens", str(work / "tokens")]
    began = time.monotonic()
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)
        peak = tree_peak(process.pid, lambda: process.poll() is None)
    assert process.returncode == 0, (work / "log").read_text()[-3000:]
    return {"anonymous MiB": peak.value >> 20, "seconds": round(time.monotonic() - began, 1)}


def main() -> int:
    """One file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("form", choices=("txt", "jsonl"))
    parser.add_argument("megabytes", type=int)
    parser.add_argument("--most", type=int, default=400, help="MiB of anonymous memory (default: 400)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        texts = write(Path(root, "texts", f"a.{asked.form}"), asked.megabytes * 10**6).parent
        told = {"form": asked.form, "megabytes": asked.megabytes, **prepared(Path(root, "work"), texts)}
        print(json.dumps(told), flush=True)
    return int(told["anonymous MiB"] > asked.most)


if __name__ == "__main__":
    sys.exit(main())
