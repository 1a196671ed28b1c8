"""Rules over ``spec.evaluation.datasets``: what a set must be to the job's task and data."""

from __future__ import annotations

from collections.abc import Iterator

from ..schema.base import Rule
from ..schema.evaluation_set import EvaluationSet
from ..schema.source import RANDOM_TOKENS, STORED
from ..schema.spec import JobSpec
from ..schema.task import Task
from .cel import bound, task_in
from .dataset import DIALOGUE_COLUMNS, NO_TEXT, ON_DIALOGUES, ON_SAMPLES, SAMPLE_COLUMNS

COMPARED = (Task.PREFERENCE, Task.REWARD, Task.REINFORCEMENT, Task.IMAGE_CHAT)
"""Tasks whose figures need more than a row of text and the model: a reference, pairs, rewards or images."""
NOT_APART = "is measured on what is held out of its own dataset alone; remove evaluation.datasets"
NO_VOCABULARY = f"{RANDOM_TOKENS} teaches no tokenizer that a set could be read with; remove them"
WHOLE_ROWS = "built-in data has no rows, which this task needs; name a file or folder of rows"
SECRET = "no source needs credentials; remove dataset.secret, or use s3://BUCKET/FOLDER or OWNER/NAME"


def _tasks(spec: JobSpec) -> str | None:
    if not spec.evaluation.datasets or spec.task not in COMPARED:
        return None
    return f"task {spec.task} {NOT_APART}"


def _vocabulary(spec: JobSpec) -> str | None:
    return NO_VOCABULARY if spec.evaluation.datasets and spec.dataset.name == RANDOM_TOKENS else None


def _rows(spec: JobSpec) -> str | None:
    whole = spec.task is not None and (spec.task.on_dialogues or spec.task.on_samples)
    for number, one in enumerate(spec.evaluation.datasets):
        if whole and one.source.startswith("builtin://"):
            return (
                f"[{number}].source: {one.source} has no rows, which task {spec.task} needs; name a file or "
                "folder of rows"
            )
    return None


def _columns(spec: JobSpec) -> str | None:
    found = (wrong for number, one in enumerate(spec.evaluation.datasets) for wrong in _of(spec, number, one))
    return next(found, None)


def _tasks_with(column: str) -> list[str]:
    """The tasks whose rows have a column that a field names."""
    return [str(task) for task in (*SAMPLE_COLUMNS.get(column, ()), *DIALOGUE_COLUMNS.get(column, ()))]


def _of(spec: JobSpec, number: int, one: EvaluationSet) -> Iterator[str]:
    for name in one.as_source.named_columns:
        tasks = _tasks_with(name)
        if tasks and spec.task not in tasks:
            yield f"[{number}].fields.{name} is for task {' or '.join(tasks)}; set task, or remove it"
        if name == "text" and spec.task in NO_TEXT:
            yield f"[{number}].fields.text is for other tasks than {spec.task}; remove it"


def _secret_for_nothing(spec: JobSpec) -> str | None:
    dataset, sets = spec.dataset, (one.as_source for one in spec.evaluation.datasets)
    if dataset.secret is None or any(source.stored for source in (*dataset.sources, *sets)):
        return None
    return f"got {dataset.secret!r}, but {dataset.source_names} needs no credentials; remove one of them"


def _each(condition: str) -> str:
    """CEL: a condition on each set s."""
    sets = "self.evaluation.datasets"
    return f"!has({sets}) || {sets}.all(s, {condition})"


def _columns_cel() -> str:
    named = {name: _tasks_with(name) for name in (*SAMPLE_COLUMNS, *DIALOGUE_COLUMNS)}
    parts = [f"(!has(f.{name}) || {task_in(tasks)})" for name, tasks in named.items()]
    parts.append(f"(!has(f.text) || !{task_in(NO_TEXT)})")
    return _each(f"!has(s.fields) || {bound('f', 's.fields', ' && '.join(parts))}")


_NONE = "!has(self.evaluation.datasets) || self.evaluation.datasets.size() == 0"
_STORED = f"r'^({STORED})$'"
RULES: tuple[Rule, ...] = (
    Rule(f"!{task_in(COMPARED)} || {_NONE}", ".evaluation.datasets", f"this task {NOT_APART}", _tasks),
    Rule(
        f"!has(self.dataset.name) || self.dataset.name != '{RANDOM_TOKENS}' || {_NONE}",
        ".evaluation.datasets",
        NO_VOCABULARY,
        _vocabulary,
    ),
    Rule(
        f"!{task_in((*ON_DIALOGUES, *ON_SAMPLES))} || {_each('''!s.source.startsWith('builtin://')''')}",
        ".evaluation.datasets",
        WHOLE_ROWS,
        _rows,
    ),
    Rule(
        _columns_cel(),
        ".evaluation.datasets",
        "fields of a set names a column that this task does not read; set task, or remove it",
        _columns,
    ),
    Rule(
        "!has(self.dataset.secret) || "
        f"(has(self.dataset.name) && self.dataset.name.matches({_STORED})) || "
        f"(has(self.dataset.mixture) && self.dataset.mixture.exists(s, s.name.matches({_STORED}))) || "
        f"(has(self.evaluation.datasets) && self.evaluation.datasets.exists(s, s.source.matches({_STORED})))",
        ".dataset.secret",
        SECRET,
        _secret_for_nothing,
    ),
)
