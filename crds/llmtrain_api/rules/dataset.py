"""Rules over ``spec.dataset`` and what else they depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..families import BUILTIN, task_of
from ..schema.base import Rule
from ..schema.spec import JobSpec
from ..schema.task import Task
from .cel import bound, task_in
from .parallelism import OWN_CEL
from .sized import Sized, SizedRule


def _evaluates_each_source(spec: JobSpec) -> str | None:
    sources, most = len(spec.dataset.sources), spec.evaluation.max_sequences
    if most >= sources:
        return None
    return (
        f"maxSequences {most} is fewer than the {sources} sources of dataset.mixture; use at least {sources}"
    )


def _one_folder(spec: JobSpec) -> str | None:
    output = spec.output.uri.rstrip("/")
    same = [source.name for source in spec.dataset.sources if source.name.rstrip("/") == output]
    if not same:
        return None
    return (
        f"got {spec.output.uri!r}, which is a folder of spec.dataset too; use another folder for one of them"
    )


def _cache_apart(spec: JobSpec) -> str | None:
    cache = spec.dataset.cache
    if cache is None:
        return None
    others = [("output.uri", spec.output.uri), *(("dataset", one.name) for one in spec.dataset.sources)]
    for field, folder in others:
        if f"{cache.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/"):
            why = "which belongs to one job" if field == "output.uri" else "so tokens would be read as text"
            return f"got {cache!r}, which lies in {field} {folder}, {why}; name a folder beside it"
    return None


def _dialogues(spec: JobSpec) -> str | None:
    builtin = [source.name for source in spec.dataset.sources if source.name.startswith("builtin://")]
    if spec.task is None or not spec.task.on_dialogues or not builtin:
        return None
    return (
        f"{builtin[0]} has no dialogues, which task {spec.task} needs; name a folder of rows, or remove task"
    )


def _for_chat(spec: JobSpec) -> str | None:
    for source in spec.dataset.sources:
        for name in source.dialogue_columns:
            if spec.task not in DIALOGUE_COLUMNS[name] and not _of_kto(spec, name):
                task, others = DIALOGUE_COLUMNS[name][0], DIALOGUE_COLUMNS[name]
                return (
                    f"fields.{name} is for task {' or '.join(others)}{_or_kto(name)}; set task: {task}, or "
                    "remove it"
                )
    if spec.task not in ON_DIALOGUES and spec.dataset.chat_template is not None:
        return "chatTemplate is for task chat; set task: chat, or remove it"
    return None


def _for_texts(spec: JobSpec) -> str | None:
    named = any(source.fields and source.fields.text is not None for source in spec.dataset.sources)
    if spec.task not in NO_TEXT or not named:
        return None
    return f"fields.text is for other tasks than {spec.task}; remove it"


def _answers(spec: JobSpec) -> str | None:
    if spec.evaluation.answer_metrics is None or spec.task in (Task.CHAT, Task.TEXT2TEXT):
        return None
    return (
        "answerMetrics compare answers, which only task chat and text2text have; set task: chat or "
        "text2text, or remove it"
    )


def _has_samples(spec: JobSpec) -> str | None:
    builtin = [source.name for source in spec.dataset.sources if source.name.startswith("builtin://")]
    if spec.task is None or not spec.task.on_samples or not builtin:
        return None
    return f"{builtin[0]} has no samples, which task {spec.task} needs; name a folder of rows, or remove task"


def _words_as_they_are(spec: JobSpec) -> str | None:
    if spec.task is None or not spec.task.by_place or spec.dataset.cleaning is None:
        return None
    return f"cleaning with task {spec.task} {PARTED}"


def _has_a_middle(job: Sized) -> str | None:
    task = task_of(job.spec, job.shape)
    if job.spec.dataset.fill_in_the_middle is None or task is Task.CAUSAL:
        return None
    return f"fillInTheMiddle is for task causal, and this job's is {task}; remove it"


def _has_likelihoods(job: Sized) -> str | None:
    task = task_of(job.spec, job.shape)
    if job.spec.evaluation.fairness is None or task in LIKELIHOODS:
        return None
    tasks = ", ".join(LIKELIHOODS)
    return f"fairness compares likelihoods of texts, which task {task} does not learn ({tasks} do); remove it"


def _columns_of_samples(spec: JobSpec) -> str | None:
    used = spec.task.columns if spec.task else {}
    for source in spec.dataset.sources:
        for name in source.named_columns:
            if name in SAMPLE_COLUMNS and name not in used and not _of_kto(spec, name):
                tasks = " or ".join(SAMPLE_COLUMNS[name])
                return f"fields.{name} is for task {tasks}{_or_kto(name)}; set task, or remove it"
    return None


def _of_kto(spec: JobSpec, name: str) -> bool:
    return spec.judges_answers and name in JUDGED_COLUMNS


def _or_kto(name: str) -> str:
    return ", or for preference with loss kto" if name in JUDGED_COLUMNS else ""


PARTED = "would part words from their tags, or answers from their places; remove it"
LIKELIHOODS = (Task.CAUSAL, Task.CHAT, Task.PREFERENCE, Task.MASKED)
BY_PLACE = [task for task in Task if task.by_place]
ON_DIALOGUES = [task for task in Task if task.on_dialogues]
ON_SAMPLES = [task for task in Task if task.on_samples]
CAUSAL = [str(name) for name, family in BUILTIN.items() if family.task is Task.CAUSAL]
NO_TEXT = (*ON_DIALOGUES, *(task for task in ON_SAMPLES if "text" not in task.columns))
"""Tasks whose rows have no column of text alone."""
SAMPLE_COLUMNS = {
    name: [str(task) for task in ON_SAMPLES if name in task.columns]
    for name in dict.fromkeys(name for task in ON_SAMPLES for name in task.columns)
    if name != "text"
}
"""Fields that name columns of samples, each with its tasks."""
DIALOGUE_COLUMNS = {
    "messages": [Task.CHAT, Task.IMAGE_CHAT],
    "prompt": [Task.CHAT, Task.IMAGE_CHAT, Task.PREFERENCE, Task.REWARD, Task.REINFORCEMENT],
    "completion": [Task.CHAT, Task.IMAGE_CHAT],
    "chosen": [Task.PREFERENCE, Task.REWARD],
    "rejected": [Task.PREFERENCE, Task.REWARD],
    "answer": [Task.REINFORCEMENT],
    "images": [Task.IMAGE_CHAT],
}
"""Fields that name columns of dialogues, each with its tasks."""
JUDGED_COLUMNS = ("completion", "label")
"""Fields that name columns of answers that are desirable or not, beside `DIALOGUE_COLUMNS`' prompt."""
_KTO = (
    "(has(self.task) && self.task == 'preference' && has(self.training.preference) && "
    "self.training.preference.loss == 'kto')"
)


def _with_slash(text: str) -> str:
    return f"({text}.endsWith('/') ? {text} : {text} + '/')"


_OUTPUT = _with_slash("self.output.uri")

_CACHE = _with_slash("self.dataset.cache")


def _all_fields(condition: str) -> str:
    """CEL: a condition on the ``fields`` f of the dataset and of each source, where there are any."""
    own, each = (
        f"(!has({of}.fields) || {bound('f', f'{of}.fields', condition)})" for of in ("self.dataset", "s")
    )
    return f"{own} && (!has(self.dataset.mixture) || self.dataset.mixture.all(s, {each}))"


def _columns_cel(columns: Mapping[str, Iterable[str]]) -> str:
    """Each of some columns only with a task that has it."""
    parts = [
        f"(!has(f.{name}) || {task_in(tasks)}{f' || {_KTO}' if name in JUDGED_COLUMNS else ''})"
        for name, tasks in columns.items()
    ]
    return _all_fields(" && ".join(parts))


RULES: tuple[Rule, ...] = (
    Rule(
        f"{task_in((Task.CHAT, Task.TEXT2TEXT))} || !has(self.evaluation.answerMetrics)",
        ".evaluation.answerMetrics",
        "answerMetrics compare answers, which only task chat and text2text have; set task: chat or "
        "text2text, or remove it",
        _answers,
    ),
    Rule(
        f"!{task_in(ON_SAMPLES)} || "
        "((!has(self.dataset.name) || !self.dataset.name.startsWith('builtin://')) && "
        "(!has(self.dataset.mixture) || !self.dataset.mixture.exists(s, s.name.startsWith('builtin://'))))",
        ".dataset",
        "built-in data has no samples, which this task needs; name a folder of rows",
        _has_samples,
    ),
    Rule(
        f"!{task_in(BY_PLACE)} || !has(self.dataset.cleaning)",
        ".dataset.cleaning",
        f"cleaning with this task {PARTED}",
        _words_as_they_are,
    ),
    SizedRule(
        f"!has(self.evaluation.fairness) || !has(self.task) || {task_in(LIKELIHOODS)}",
        ".evaluation.fairness",
        "fairness compares likelihoods of texts, which this task does not learn; remove it",
        _has_likelihoods,
    ),
    SizedRule(
        "!has(self.dataset.fillInTheMiddle) || "
        f"(has(self.task) ? self.task == 'causal' : ({OWN_CEL} || self.model.name in {CAUSAL}))",
        ".dataset.fillInTheMiddle",
        "fillInTheMiddle is for task causal; remove it",
        _has_a_middle,
    ),
    Rule(
        _columns_cel(SAMPLE_COLUMNS),
        ".dataset",
        "fields names a column that this task does not read: textPair and label are for classification and "
        "regression (label for loss kto too), source and target for text2text, tokens and tags for "
        "tokenClassification, question, context and answers for questionAnswering; set task, or remove it",
        _columns_of_samples,
    ),
    Rule(
        f"!{task_in(ON_DIALOGUES)} || "
        "((!has(self.dataset.name) || !self.dataset.name.startsWith('builtin://')) && "
        "(!has(self.dataset.mixture) || !self.dataset.mixture.exists(s, s.name.startsWith('builtin://'))))",
        ".dataset",
        "built-in data has no dialogues, which this task needs; name a folder of rows",
        _dialogues,
    ),
    Rule(
        f"(!has(self.dataset.chatTemplate) || {task_in(ON_DIALOGUES)}) && {_columns_cel(DIALOGUE_COLUMNS)}",
        ".dataset",
        "chatTemplate and fields.messages, prompt and completion are for task chat (set task: chat) and "
        "imageChat, fields.images for imageChat, "
        "completion for loss kto too, "
        "fields.prompt, chosen and rejected for task preference and reward (set task: preference), "
        "fields.prompt and answer for task reinforcement",
        _for_chat,
    ),
    Rule(
        f"!{task_in(NO_TEXT)} || {_all_fields('!has(f.text)')}",
        ".dataset",
        f"fields.text is for other tasks than {' and '.join(NO_TEXT)}; remove it",
        _for_texts,
    ),
    Rule(
        "!has(self.dataset.mixture) || self.evaluation.maxSequences >= self.dataset.mixture.size()",
        ".evaluation.maxSequences",
        "maxSequences must be at least the number of sources of dataset.mixture",
        _evaluates_each_source,
    ),
    Rule(
        "(!(self.dataset.name + '/').startsWith(self.output.uri) || !has(self.dataset.name) || "
        f"{_with_slash('self.dataset.name')} != {_OUTPUT}) && "
        f"(!has(self.dataset.mixture) || self.dataset.mixture.all(s, {_with_slash('s.name')} != {_OUTPUT}))",
        ".output.uri",
        "output.uri is a folder of the dataset too; use another folder for one of them",
        _one_folder,
    ),
    Rule(
        f"!has(self.dataset.cache) || (!{_CACHE}.startsWith({_OUTPUT}) && "
        f"(!has(self.dataset.name) || !{_CACHE}.startsWith({_with_slash('self.dataset.name')})) && "
        "(!has(self.dataset.mixture) || "
        f"self.dataset.mixture.all(s, !{_CACHE}.startsWith({_with_slash('s.name')}))))",
        ".dataset.cache",
        "the cache lies in the output or in the data; name a folder beside it",
        _cache_apart,
    ),
)
