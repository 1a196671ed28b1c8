"""Two small tasks of the lm-evaluation-harness with data of their own, and the environment that has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "trainer_image" / "lm_eval.txt"
CHOICES = ("rain", "sun", "wind")
ROWS = 9


def write_tasks(folder: Path, **more: str) -> Path:
    """A task by log-likelihoods and one that writes.

    Args:
        folder: for them.
        more: further files by their names.
    """
    folder.mkdir(parents=True)
    rows: list[dict[str, Any]] = [
        {"question": f"What was over house {at}?", "choices": list(CHOICES), "answer": at % 3}
        for at in range(ROWS)
    ]
    (folder / "weather.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "weather.yaml").write_text(
        "task: weather\n"
        "dataset_path: json\n"
        "dataset_kwargs: {data_files: {test: weather.jsonl}}\n"
        "test_split: test\n"
        "output_type: multiple_choice\n"
        'doc_to_text: "{{question}}"\n'
        'doc_to_choice: "{{choices}}"\n'
        "doc_to_target: answer\n"
        "metric_list: [{metric: acc}, {metric: acc_norm}]\n"
        "metadata: {version: 2.5}\n"
    )
    (folder / "told.yaml").write_text(
        "task: told\n"
        "dataset_path: json\n"
        "dataset_kwargs: {data_files: {test: weather.jsonl}}\n"
        "test_split: test\n"
        "output_type: generate_until\n"
        'doc_to_text: "{{question}}"\n'
        'doc_to_target: "{{choices[answer]}}"\n'
        'generation_kwargs: {until: ["\\n"], max_gen_toks: 8, do_sample: false}\n'
        "metric_list: [{metric: exact_match}]\n"
        "metadata: {version: 1}\n"
    )
    for name, text in more.items():
        (folder / name).write_text(text)
    return folder


def libraries() -> Path:
    """The folder of lm_eval and of what it needs beside the trainer's libraries, made on first use."""
    cache = os.environ.get("LLMTRAIN_CACHE") or f"{Path.home()}/.cache/llmtrain"
    folder = Path(cache) / "lm-eval" / REQUIREMENTS.read_text().strip().replace("==", "-")
    found = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        # pip sees there what the trainer has, and installs only the rest
        (found / "trainer.pth").write_text(sysconfig.get_path("purelib") + "\n")
        command = [str(folder / "bin" / "pip"), "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
        subprocess.run([*command, "-r", str(REQUIREMENTS)], check=True)
        (folder / "complete").touch()
    return found
