"""Remove from this Python's packages what only a GPU needs, where torch is its CUDA build.

That build does not start without the CUDA libraries that it links to, so those stay; Triton and every
library that is loaded at need, and so never on a CPU, go. Where torch is its CPU build there is nothing to
remove. The trainer's image for CPUs and the test environment of a machine without a GPU run this. Standard
library only.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

PROBE = """
import torch, torch.distributed, deepspeed, transformers
layer = torch.nn.Linear(64, 64)
layer(torch.randn(8, 64)).square().sum().backward()
torch.optim.AdamW(layer.parameters()).step()
torch.nn.functional.scaled_dot_product_attention(*[torch.randn(1, 2, 8, 16)] * 3)
torch.linalg.svd(torch.randn(8, 8))
torch.fft.fft(torch.randn(8))
torch.nn.Conv1d(2, 2, 2)(torch.randn(1, 2, 8))
print("LOADED")
print(*{line.split()[-1] for line in open("/proc/self/maps")}, sep="\\n")
"""


def loaded_files() -> set[Path]:
    """The files that a training step on the CPU has in memory.

    Raises:
        SystemExit: the step fails; the message holds what it printed.
    """
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"cpu_only: a training step does not run here:\n{done.stderr[-4000:]}")
    return {Path(line) for line in done.stdout.partition("LOADED\n")[2].splitlines() if line[:1] == "/"}


def unneeded(files: Iterable[Path], loaded: set[Path]) -> list[Path]:
    """Of the files of CUDA packages those that are neither Python's, nor loaded, nor a link to what is."""
    return [path for path in files if path.suffix != ".py" and path.resolve() not in loaded]


def uninstall_triton() -> int:
    """Remove Triton, which compiles for GPUs alone; the bytes that it had."""
    try:
        files = importlib.metadata.files("triton") or []
    except importlib.metadata.PackageNotFoundError:
        return 0
    size = sum(file.size or 0 for file in files)
    words = [sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", "--root-user-action=ignore"]
    subprocess.run([*words, "triton"], check=True)
    return size


def main() -> int:
    """Remove, and prove that a training step still runs."""
    folder = Path(sysconfig.get_paths()["purelib"], "nvidia")
    if not folder.exists():
        print("cpu_only: torch is its CPU build, nothing to remove")
        return 0
    freed = uninstall_triton()
    files = [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    for path in unneeded(files, loaded_files()):
        freed += 0 if path.is_symlink() else path.stat().st_size
        path.unlink()
    loaded_files()
    kept = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"cpu_only: {freed / 1e6:.0f} MB removed; {kept / 1e6:.0f} MB of CUDA stay, which torch links to")
    return 0


if __name__ == "__main__":
    sys.exit(main())
