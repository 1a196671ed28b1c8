"""Reading DeepSpeed's files without running what a stranger may have put into them.

A checkpoint may lie in a folder or bucket that others can write, and its manifest's digests come from
whoever wrote it. ``torch.load`` runs any function that a pickle names, unless it is told what may be named.
`ALLOWED` are all the classes that DeepSpeed's files hold beside tensors and plain values; none does anything
when it is made.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address
from torch.utils.serialization import config as torch_config

from ..errors import ConfigError

_MEMBERS: dict[object, ZeroStageEnum] = {member.name: member for member in ZeroStageEnum}


def _member(owner: object, name: object) -> ZeroStageEnum:
    """A member of an enumeration, which Python before 3.11.4 may write as a call of ``getattr``."""
    if owner is ZeroStageEnum and name in _MEMBERS:
        return _MEMBERS[name]
    raise pickle.UnpicklingError(f"Unsupported global: GLOBAL getattr, here of {name!r}")


ALLOWED = (DynamicLossScaler, LossScaler, ZeroStageEnum, fragment_address, (_member, "builtins.getattr"))


def load_state(path: Path, *, map_location: Any = "cpu", mapped: bool = False, sparse: bool = False) -> Any:
    """What one of DeepSpeed's files holds.

    Args:
        path: the file.
        map_location: where tensors go, as `torch.load` takes it.
        mapped: leave the tensors in the file until they are used.
        sparse: ask for nothing between the tensors, which may not be there.

    Raises:
        ConfigError: the file names code that is no part of a checkpoint, or is no file of torch's.
        OSError: the file could not be read.
    """
    try:
        with torch.serialization.safe_globals(list(ALLOWED)), _placed_by_size(sparse):
            return torch.load(path, map_location=map_location, weights_only=True, mmap=mapped or None)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ConfigError(
            f"{path} is not loaded: {_reason(error)}",
            "use another output.uri, or resume your own checkpoint with the version that wrote it",
        ) from error


@contextmanager
def _placed_by_size(wanted: bool) -> Iterator[None]:
    """torch finds tensors by their sizes, and not by the header of each."""
    options, before = torch_config.load, torch_config.load.calculate_storage_offsets
    options.calculate_storage_offsets = wanted
    try:
        yield
    finally:
        options.calculate_storage_offsets = before


def _reason(error: Exception) -> str:
    """The line that names what was refused, out of torch's page of advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = next((line for line in lines if "GLOBAL" in line or "Unsupported" in line), "")
    return (named or (lines[0] if lines else type(error).__name__))[:300]
