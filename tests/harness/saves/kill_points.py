"""Ends a process with SIGKILL before, within or after its k-th operation on a file."""

from __future__ import annotations

import builtins
import io
import os
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MOMENTS = ("before", "after")
_NOUNS = (
    (r".*model_states\.pt", "model"),
    (r".*optim_states\.pt", "optimizer"),
    (r"\.?rank-0\.json.*", "list of files"),
    (r"\.?manifest\.json.*", "manifest"),
    (r".*\.safetensors", "whole weights"),
    (r"\.?names-0\.json.*", "names"),
    (r"\.?model\.safetensors\.index\.json.*", "index"),
    (r"step-\d+", "step"),
    (r"\.(attempt|fenced|deleted|torn)-.*", r"\1"),
    (r"\.?(FENCE|OWNER).*", r"\1"),
)


def noun(path: str) -> str:
    """What kind of file or folder a path names."""
    name = os.path.basename(path)
    for pattern, word in _NOUNS:
        if match := re.fullmatch(pattern, name):
            return match.expand(word)
    return name


When = Callable[..., bool]


def _always(*_arguments: Any, **_more: Any) -> bool:
    return True


@dataclass
class KillPoint:
    """Counts this process's operations that change files, or open one to sync it.

    Attributes:
        at: number of the operation to end at; None = only count.
        moment: ``before`` or ``after`` it; ``before`` a write, its first half is written.
        tell: told the kind of the operation that is cut.
        seen: told every other operation when it is done, with its paths.
        count: operations so far.
    """

    at: int | None
    moment: str
    tell: Callable[[str], None]
    seen: Callable[[str, str], None]
    count: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._real_write = os.write
        for name in ("mkdir", "unlink", "rmdir"):
            self._patch(os, name, lambda path, *_a, **_k: str(path))
        for name in ("rename", "replace", "link"):
            self._patch(os, name, lambda old, new, **_k: f"{old} -> {new}")
        self._patch(os, "fsync", _path_of)
        self._patch(os, "open", lambda path, *_a, **_k: str(path))
        for module in (io, builtins):
            self._patch(module, "open", lambda path, *_a, **_k: str(path), when=_writes)
        os.write = self._write

    def _patch(self, module: Any, name: str, path_of: Callable[..., str], when: When = _always) -> None:
        real = getattr(module, name)

        def counted(*arguments: Any, **more: Any) -> Any:
            if not when(*arguments, **more):
                return real(*arguments, **more)
            with self._lock:
                kind = _kind(name, path_of(*arguments, **more))
                mine = self._next()
                if mine and self.moment == "before":
                    self._cut(kind)
                try:
                    done = real(*arguments, **more)
                    self.seen(name, path_of(*arguments, **more))
                finally:  # one that is refused is an operation, too
                    if mine:
                        self._cut(kind)
                return done

        setattr(module, name, counted)

    def _write(self, fd: int, data: Any) -> int:
        path = _path_of(fd)
        if path.startswith("pipe:"):
            return self._real_write(fd, data)
        with self._lock:
            mine = self._next()
            if mine and self.moment == "before":
                self._real_write(fd, memoryview(data)[: len(data) // 2])
                self._cut(_kind("half a write", path))
            done = self._real_write(fd, data)
            if mine:
                self._cut(_kind("write", path))
            return done

    def _next(self) -> bool:
        self.count += 1
        return self.count == self.at

    def _cut(self, kind: str) -> None:
        self.tell(f"{self.moment} {kind}" if "half" not in kind else kind)
        os.kill(os.getpid(), signal.SIGKILL)


def _path_of(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


def _writes(_path: Any, mode: str = "r", *_arguments: Any, **_more: Any) -> bool:
    return "w" in mode or "a" in mode


def _kind(name: str, path: str) -> str:
    return f"{name} {' -> '.join(noun(part) for part in path.split(' -> '))}"
