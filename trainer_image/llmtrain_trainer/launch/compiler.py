"""What torch.compile needs beside torch. Imports nothing heavy."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from ..errors import ConfigError


def require_compiler() -> None:
    """Look for what builds the kernels of compiled layers, on a CPU and on a GPU alike.

    Raises:
        ConfigError: there is no C++ compiler, or there are no headers of Python.
    """
    compiler = os.environ.get("CXX", "g++")
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    missing = [] if shutil.which(compiler) else [f"the C++ compiler {compiler}"]
    missing += [] if headers.exists() else [f"Python's headers ({headers})"]
    if missing:
        raise ConfigError(
            f"training.compile: this image lacks {' and '.join(missing)}",
            "set compile to false, or use an image built with `--build-arg COMPILER=g++`",
        )


def private_cache(env: dict[str, str], scratch: str, threads: int) -> None:
    """Keep compiled kernels beside the attempt, where no other job writes and no dead one's files are left.

    Args:
        env: of the ranks, changed in place; what is set already stays.
        scratch: the attempt's folder on this node, which its ranks share.
        threads: processes that compile for each rank; torch starts one a core for each otherwise.
    """
    env.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(scratch) / "inductor"))
    env.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(threads))
