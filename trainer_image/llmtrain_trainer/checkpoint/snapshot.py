"""How DeepSpeed's files reach the disk: copied first, then written, hashed and synced, perhaps later.

DeepSpeed decides what a rank saves; its ``CheckpointEngine`` decides how. Ours never raises for the disk's
sake: a rank that leaves ``save_checkpoint`` early leaves the others in its barriers for ever.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
from pathlib import Path
from typing import Any

import torch
from deepspeed.runtime.checkpoint_engine.checkpoint_engine import CheckpointCommitInfo
from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine

from ..files import CHUNK
from ..sink import Sink
from .host_memory import HostMemory
from .unpickle import load_state


def write_state(state: Any, path: Path) -> dict[str, Any]:
    """Write what ``torch.load`` reads, and force it to the disk.

    Returns:
        The file's line of a manifest.

    Raises:
        OSError: it could not be written.
    """
    with Sink(path) as sink:
        buffer = io.BufferedWriter(sink, CHUNK)
        try:
            # a resume in another layout maps this format into memory, and reads only what it needs of it
            torch.save(state, buffer)
            buffer.flush()
        except RuntimeError:
            if sink.error:  # torch's writer tells that writing failed, but not why
                raise sink.error from None
            raise
        finally:
            with contextlib.suppress(OSError):
                buffer.detach()
        return sink.sync()


Copies = dict[tuple[Any, ...], torch.Tensor]


def snapshot(value: Any, room: HostMemory) -> Any:
    """As `copied`, complete when it returns."""
    found = copied(value, room, {})
    room.wait()
    return found


def copied(value: Any, room: HostMemory, known: Copies) -> Any:
    """A copy in CPU memory that training cannot change.

    Views become tensors of their own, but what is one tensor under two names (tied weights) stays one.

    Args:
        value: tensors in dictionaries, lists and tuples.
        room: where copies go.
        known: those made so far, by the memory that they are of.
    """
    if isinstance(value, torch.Tensor):
        key = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
        if key not in known or not value.numel():
            known[key] = room.copy(value)
        return known[key]
    if isinstance(value, dict):
        made = copy.copy(value)  # of its own type, whatever its constructor wants
        made.update((key, copied(one, room, known)) for key, one in value.items())
        return made
    if isinstance(value, list):
        return [copied(one, room, known) for one in value]
    if type(value) is tuple:
        return tuple(copied(one, room, known) for one in value)
    return copy.deepcopy(value)


class SnapshotEngine(TorchCheckpointEngine):  # type: ignore[misc]
    """Takes what DeepSpeed saves. ``write`` puts it on the disk: at once, or later in a thread.

    Attributes:
        error: the first error of this save.
        entries: the files written, by path below the step's folder.
    """

    def __init__(self) -> None:
        super().__init__()
        self._room = HostMemory()
        self.begin(Path(), hold=False)
        self._leaves_out_weights = False
        self._frozen = frozenset[str]()

    def begin(self, folder: Path, *, hold: bool) -> None:
        """A new save.

        Args:
            folder: the step's folder.
            hold: keep copies until `write` is called, instead of writing in `save`.
        """
        self.folder, self.hold = folder, hold
        self.error: OSError | None = None
        self.entries: dict[str, dict[str, Any]] = {}
        self._held: list[tuple[Any, Path]] = []
        self._room.give_back()

    def attach(self, engine: Any, *, leave_out_weights: bool = False) -> None:
        """Become the one that a DeepSpeed engine saves through.

        Args:
            engine: DeepSpeed's.
            leave_out_weights: save no weights but those that the optimizer saves.
        """
        self._leaves_out_weights = leave_out_weights
        named = engine.module.named_parameters(remove_duplicate=False)
        self._frozen = frozenset(name for name, parameter in named if not parameter.requires_grad)
        engine.checkpoint_engine = self
        # copies a script beside the states, and would raise between two barriers when the disk is full
        engine._copy_recovery_script = lambda _path: None

    def create(self, info: CheckpointCommitInfo) -> None:
        """Nothing to prepare."""
        del info

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder, or note why not."""
        try:
            os.makedirs(path, exist_ok=exist_ok)
        except OSError as error:
            self.error = self.error or error

    def preserves_storage_sharing(self) -> bool:
        """No: every tensor is copied here, so DeepSpeed need not."""
        return False

    def save(self, state_dict: Any, path: str) -> None:
        """Take one file's content, or note why it cannot be written."""
        if state_dict.get("module"):
            state_dict = {**state_dict, "module": self._kept(state_dict)}
        if self.hold:
            self._held.append((snapshot(state_dict, self._room), Path(path)))
        elif self.error is None:
            try:
                self._write(snapshot(state_dict, self._room), Path(path))
            except OSError as error:
                self.error = error
            self._room.give_back()

    def _kept(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """What is saved of the model: nothing that is frozen, which DeepSpeed leaves out under one of its
        names only."""
        module: dict[str, Any] = state_dict["module"]
        names = state_dict["buffer_names"] if self._leaves_out_weights else module
        return {name: module[name] for name in names if name not in self._frozen}

    def load(self, path: str, map_location: Any = None) -> Any:
        """Read one file. DeepSpeed's own way would run whatever a pickle asks for."""
        return load_state(Path(path), map_location=map_location)

    def write(self) -> None:
        """Write what is held, and force files and folders to the disk.

        Raises:
            OSError: the first error of this save.
        """
        held, self._held = self._held, []
        if self.error:
            raise self.error
        while held:  # each copy's memory is free again as soon as it is written
            self._write(*held.pop(0))

    def _write(self, state: Any, path: Path) -> None:
        if not path.parent.is_dir():  # DeepSpeed makes it on one node only
            path.parent.mkdir(parents=True, exist_ok=True)
        self.entries[str(path.relative_to(self.folder))] = write_state(state, path)

    def commit(self, info: CheckpointCommitInfo) -> bool:
        """True: DeepSpeed's own commit means nothing here; see `Checkpointer`."""
        del info
        return True
