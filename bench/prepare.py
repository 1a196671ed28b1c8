"""What the trainer's preparation of text costs beside the tokenizer's bare `encode_batch` of the same text.

``python -m bench.prepare [MEGABYTES] [ROUNDS]``: rows of JSON lines. A tokenizer is trained on a sample of
bounded size, and Python starts, however much text there is; so what counts is what more text costs: a folder
with a file more, less one that has enough for the tokenizer. CPU seconds of all processes; both take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.jobs import job_of

from llmtrain_api import JobFile
from llmtrain_trainer.data.tokenizer import TRAINING_BYTES

BATCH = 1000
"""Documents that are encoded at once."""
WORDS = 20_000
BARE = """
import json, sys
from tokenizers import Tokenizer
tokenizer, batch, tokens = Tokenizer.from_file(sys.argv[1]), [], 0
def encode():
    return sum(len(one.ids) for one in tokenizer.encode_batch(batch, add_special_tokens=False))
for path in sys.argv[2:]:
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            batch.append(json.loads(line)["text"])
            if len(batch) == %d:
                tokens += encode()
                batch = []
print(tokens + (encode() if batch else 0))
"""


def written(path: Path, size: int, seed: int) -> None:
    """Rows of drawn words, about as many bytes as asked."""
    dice, known = random.Random(seed), random.Random(1)
    words = ["".join(known.choices("etaoinshrdlucmfw", k=known.randint(2, 9))) for _ in range(WORDS)]
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            text = " ".join(dice.choices(words, k=dice.randint(30, 400)))
            file.write(json.dumps({"text": text}) + "\n")


def job(folder: Path, texts: Path) -> JobFile:
    """A job whose data these are."""
    wanted = {
        "model": {"name": "builtin://tiny-llama", "vocabSize": 4096},
        "dataset": {"name": f"file://{texts}"},
        "training": {"maxSteps": 10},
    }
    return job_of(wanted, folder, dataset=texts)


def prepared(folder: Path, texts: Path) -> float:
    """CPU seconds of the product's own verb."""
    folder.mkdir()
    path = folder / "job.json"
    path.write_text(job(folder, texts).model_dump_json(by_alias=True))
    words = ["-m", "llmtrain_trainer", "prepare", str(path), "--into", str(folder / "data")]
    return cpu_of([sys.executable, "-W", "ignore", *words, "--tokens", str(folder / "tokens")])[0]


def cpu_of(command: list[str]) -> tuple[float, str]:
    """CPU seconds of a command with all that it starts, and what it prints.

    Raises:
        RuntimeError: it failed.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{command[-1]} failed:\n{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main() -> int:
    """Both by turns, and the ratio."""
    parser = argparse.ArgumentParser(prog="python -m bench.prepare", description=__doc__)
    parser.add_argument("megabytes", nargs="?", type=int, default=40, help="of text (default 40)")
    parser.add_argument("rounds", nargs="?", type=int, default=3, help="of each (default 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        few, many = folder / "few", folder / "many"
        for texts in (few, many):
            texts.mkdir()
            written(texts / "0.jsonl", TRAINING_BYTES * 11 // 10, 0)  # some of it is held out
        more, ratios, began = many / "1.jsonl", list[float](), time.monotonic()
        written(more, options.megabytes * 10**6, 1)
        for number in range(options.rounds):
            small = prepared(folder / f"small-{number}", few)
            large = prepared(folder / f"large-{number}", many)
            tokenizer = min((folder / f"large-{number}").rglob("tokenizer.json"))
            bare = [sys.executable, "-c", BARE % BATCH, str(tokenizer)]
            start, (whole, _) = cpu_of(bare)[0], cpu_of([*bare, str(more)])
            ratios.append((whole - start) / (large - small))
            print(
                f"round {number + 1}: prepared {large - small:.1f} s, encode_batch {whole - start:.1f} s",
                file=sys.stderr,
                flush=True,
            )
    told = {
        "megabytes": options.megabytes,
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(one, 2) for one in ratios],
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
