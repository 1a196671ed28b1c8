"""The files of ``evaluation.tasks``: whether those that are named are there, and whether they bring code.

A task of the lm-evaluation-harness may name Python of its folder. Unless the job allows that, a task is
refused that does, or that takes data or metrics by a way that could run some.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llmtrain_api import JobFile
from llmtrain_api.schema.evaluation_tasks import EvaluationTasks

from ..errors import ConfigError

FIELD = "spec.evaluation.tasks"
FORMATS = ("json", "csv", "parquet", "text")
"""Builders of the datasets library that read files and run none of them."""
ALLOW = f"write it without code, or set {FIELD}.code if whoever writes the folder may act as the job"
FUNCTION = "!function"


@dataclass(frozen=True)
class TaskFile:
    """One file.

    Attributes:
        path: of it.
        fields: of the task or the group.
        code: line of the first Python that it names; 0 where it names none.
    """

    path: Path
    fields: dict[str, Any]
    code: int


def folder_of_tasks(job: JobFile, asked: EvaluationTasks) -> Path:
    """Where the tasks lie on this node."""
    return Path(job.tasks or asked.folder.removeprefix("file://"))


def require_readable(asked: EvaluationTasks, folder: Path) -> None:
    """All tasks that are named must be there, and be what may be run.

    Args:
        asked: which they are.
        folder: where they lie on this node.

    Raises:
        ConfigError: with field, file and line, and the fix.
    """
    if not folder.is_dir():
        raise ConfigError(f"{FIELD}.folder {asked.folder}: no such folder", "check the claim and the name")
    named = _by_name(folder)
    waiting, seen = list(asked.names), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in named:
            there = ", ".join(sorted(named)[:8]) or "none"
            raise ConfigError(
                f"{FIELD}.names: {asked.folder} has no task {name} in a .yaml file; it has: {there}",
                "correct the name, or the folder",
            )
        for file in named[name]:
            if not asked.code:
                _require_no_code(file, folder)
            waiting += _parts_of(file.fields) if file.fields.get("group") == name else ()


def _by_name(folder: Path) -> dict[str, list[TaskFile]]:
    """The files of each task, group and tag."""
    found: dict[str, list[TaskFile]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        file = _read(path)
        names = [file.fields.get("group") or file.fields.get("task"), *_listed(file.fields.get("tag"))]
        for name in names:
            if isinstance(name, str):
                found.setdefault(name, []).append(file)
    return found


def _parts_of(group: dict[str, Any]) -> Iterator[str]:
    for part in _listed(group.get("task")):
        name = part.get("task") if isinstance(part, dict) else part
        if isinstance(name, str):
            yield name


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _require_no_code(file: TaskFile, folder: Path) -> None:
    for one in _with_included(file, folder, set()):
        where = one.path.relative_to(folder)
        if one.code:
            raise ConfigError(
                f"{FIELD}: {where} line {one.code} names Python code, which does not run", ALLOW
            )
        data = one.fields.get("dataset_path")
        if data is not None and data not in FORMATS:
            raise ConfigError(
                f"{FIELD}: {where} has dataset_path {data!a}, and nothing is fetched or run for data",
                f"use one of {', '.join(FORMATS)}, with dataset_kwargs.data_files of the folder",
            )


def _with_included(file: TaskFile, folder: Path, seen: set[Path]) -> Iterator[TaskFile]:
    seen.add(file.path)
    yield file
    for name in _listed(file.fields.get("include")):
        path = (file.path.parent / str(name)).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise ConfigError(
                f"{FIELD}: {file.path.relative_to(folder)} includes {name}, which is no file of the folder",
                "put it there, or remove the line",
            )
        if path not in seen:
            yield from _with_included(_read(folder / path.relative_to(folder.resolve())), folder, seen)


class _Loader(yaml.SafeLoader):
    """Reads what a task says, and runs none of what it names."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.code = 0


def _function(loader: _Loader, node: yaml.Node) -> str:
    loader.code = loader.code or node.start_mark.line + 1
    return FUNCTION


_Loader.add_constructor(FUNCTION, _function)


def _read(path: Path) -> TaskFile:
    try:
        loader = _Loader(path.read_bytes())
        fields = loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not text"
        raise ConfigError(
            f"{FIELD}: {path.name}{line} is no YAML that can be read ({problem})", "correct the file"
        ) from None
    known = fields if isinstance(fields, dict) else {}
    return TaskFile(path, known, loader.code or int("class" in known))
