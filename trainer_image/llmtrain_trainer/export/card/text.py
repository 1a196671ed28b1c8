"""The card as text: a pure function of facts, so that the same job writes the same bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmtrain_api import AnswersResult, DatasetResult, Task, TasksResult
from llmtrain_api.schema.model import HUB
from llmtrain_api.schema.status.answers import COPIED, LEAD
from llmtrain_api.schema.status.results import FairnessResult

from ..adapter import FOLDER
from ..markdown import code, location, number, plain, table
from . import data, training
from .facts import Facts
from .metadata import card_data, measured
from .usage import snippet

LEARNT = {
    Task.CAUSAL: "writes text after a text",
    Task.CHAT: "answers in dialogues",
    Task.PREFERENCE: "answers in dialogues, and learnt which of two answers is better",
    Task.IMAGE_CHAT: "answers in dialogues about images",
    Task.REINFORCEMENT: "answers in dialogues, and learnt to write answers that are rewarded",
    Task.REWARD: "gives an answer in a dialogue a number, which is higher for the better of two",
    Task.MASKED: "fills masked tokens",
    Task.SEQ2SEQ: "fills hidden spans of a text",
    Task.CLASSIFICATION: "gives each text, or pair of texts, a class",
    Task.REGRESSION: "gives each text, or pair of texts, a number",
    Task.TEXT2TEXT: "writes a text from a text",
    Task.TOKENS: "gives each word of a text a tag",
    Task.QUESTIONS: "finds where in a text the answer to a question stands",
}


LEARNT_OF_ANSWERS = "answers in dialogues, and learnt which answers are desirable"
"""The same where a sample of task preference is one answer."""


def card_text(facts: Facts) -> str:
    """The whole of ``README.md``."""
    sections = [
        ("", about(facts)),
        ("How to use it", f"```python\n{snippet(facts)}```"),
        ("Training data", data.section(facts)),
        ("Results", results(facts)),
        ("Training", training.section(facts)),
        ("Where it comes from", lineage(facts)),
    ]
    body = "\n\n".join(f"## {head}\n\n{text}" if head else text for head, text in sections if text)
    return f"---\n{card_data(facts).to_yaml()}\n---\n\n# {plain(facts.job.job.name)}\n\n{body}\n"


def about(facts: Facts) -> str:
    """What it is, and what nobody knows of it."""
    learnt = LEARNT.get(facts.task, "learnt the task")
    if facts.job.spec.judges_answers:
        learnt = LEARNT_OF_ANSWERS
    said = [f"{base_of(facts)} It {learnt} (task {code(facts.task)})."]
    if facts.adapter_alone:
        said.append(
            f"This folder has a low-rank adapter ({code(FOLDER)}) and the tokenizer, and not the weights of "
            "the model that it stands beside."
        )
    elif facts.job.spec.model.adapter is not None:
        said.append(
            f"It was trained by a low-rank adapter, which lies in {code(FOLDER)}; the weights have it merged."
        )
    said.append(
        "Languages and license were not told to the training job, so they are not known here: those of the "
        "base model and of the data hold."
    )
    return "\n\n".join(said)


def base_of(facts: Facts) -> str:
    """What training started from, in a sentence."""
    model, shape = facts.job.spec.model, facts.job.shape
    size = f"{code(shape.architecture)}, {number(shape.parameters)} parameters"
    if model.builtin is not None:
        sizes = f"{shape.layers} layers of width {shape.hidden}, vocabulary {shape.vocabulary:,}"
        return f"A model trained from random weights: {code(model.name)} ({size}; {sizes})."
    name = code(location(model.name))
    if re.fullmatch(HUB, model.name):
        commit = facts.job.model.revision if facts.job.model else None
        name = f"[{plain(model.name)}](https://huggingface.co/{model.name})" + (
            f" (commit {code(commit)})" if commit else ""
        )
    if not model.pretrained:
        return f"A model trained from random weights, in the architecture and sizes of {name} ({size})."
    return f"A model trained further from {name} ({size})."


def results(facts: Facts) -> str:
    """What was measured on data that were held out."""
    found = facts.results
    rows = [(name, number(round(value, 6))) for _, name, value in measured(found)]
    if found.reinforcement:
        rows += [(f"Reward {one.name}", number(round(one.mean, 6))) for one in found.reinforcement.rewards]
    said = [table(("on held-out data", ""), rows)] if rows else ["Nothing that was measured is a number."]
    compared = [
        f"always the most frequent class: accuracy {number(found.scores.majority_accuracy)}"
        if found.scores and found.scores.majority_accuracy is not None
        else "",
        f"always the longer answer: accuracy {number(found.preference.longer_accuracy)}"
        if found.preference and found.preference.longer_accuracy is not None
        else "",
        f"always the more frequent label: accuracy {number(found.kto.majority_accuracy)}"
        if found.kto and found.kto.majority_accuracy is not None
        else "",
        f"always that there is no answer: exact match {number(found.scores.no_answer_exact_match)}"
        if found.scores and found.scores.no_answer_exact_match is not None
        else "",
        f"always the mean: squared error {number(found.scores.mean_mse)}"
        if found.scores and found.scores.mean_mse is not None
        else "",
        *without_model(found.answers),
        f"single tokens by their frequency alone: {number(found.unigram_entropy)} nat a token"
        if found.unigram_entropy is not None and not facts.task.headed
        else "",
    ]
    if told := "; ".join(text for text in compared if text):
        said.append(f"Without a model, {told}.")
    if found.answers and found.answers.signatures:
        said.append(f"sacrebleu: {', '.join(map(code, found.answers.signatures))}.")
    if found.datasets:
        said.append(datasets(found.datasets))
    if found.tasks and found.tasks.figures:
        said.append(tasks(found.tasks))
    if found.fairness:
        said.append(fairness(found.fairness))
    if found.explained:
        said.append(
            f"{code('explanation.html')} shows of {number(found.explained)} held-out texts what each token "
            "adds to what the model says, and the nearest training documents: texts of the data stand in it."
        )
    return "\n\n".join(said)


def without_model(found: AnswersResult | None) -> list[str]:
    """What comes of a source itself, and of its first words."""
    if found is None:
        return []
    lines = [
        ("the source itself", found.said_by(COPIED)),
        (f"the source's first {found.lead_words} words", found.said_by(LEAD)),
    ]
    return [
        f"{what}: {', '.join(f'{name} {number(round(score, 6))}' for name, score in scores.items())}"
        for what, scores in lines
        if scores
    ]


def datasets(found: Sequence[DatasetResult]) -> str:
    """Sets that it was measured on apart, and that nothing was learnt from."""
    figures = [{name: value for _, name, value in measured(one)} for one in found]
    names = list(dict.fromkeys(name for each in figures for name in each))
    heads = [name.removeprefix("Held-out ") for name in names]
    rows = [
        (
            code(one.name),
            number(one.sequences) + (f" of {number(one.of)}" if one.of > one.sequences else ""),
            *(number(round(each[name], 6)) if name in each else "" for name in names),
        )
        for one, each in zip(found, figures, strict=True)
    ]
    head = "On sets of their own, which nothing was learnt from, each apart:"
    return f"{head}\n\n{table(('set', 'sequences', *heads), rows)}"


def tasks(found: TasksResult) -> str:
    """Tasks of the lm-evaluation-harness."""
    rows = [
        (
            code(one.task),
            plain(one.version),
            plain(one.metric),
            number(round(one.value, 6)),
            "" if one.stderr is None else number(round(one.stderr, 6)),
            number(one.rows) + (f" of {number(one.of)}" if one.of > one.rows else ""),
        )
        for one in found.figures
    ]
    head = f"On tasks of the lm-evaluation-harness ({code('lm_eval')} {plain(found.library)}):"
    return f"{head}\n\n{table(('task', 'version', 'metric', 'value', 'standard error', 'rows'), rows)}"


def fairness(found: FairnessResult) -> str:
    """Which text of pairs it finds likelier."""
    rows = [
        (
            code(one.category),
            number(one.pairs),
            number(one.prefers_a),
            number(one.gap),
            "" if one.low is None or one.high is None else f"{number(one.low)} to {number(one.high)}",
        )
        for one in found.categories
    ]
    head = (
        f"Of {number(found.pairs)} pairs of sentences of {code(location(found.source))}, which differ in who "
        "or what they are about, how often text a is the likelier one, and by how much "
        f"({code(found.score)} of a less that of b, in nat):"
    )
    table_of = table(("category", "pairs", "prefers a", "mean gap", "95 % interval of the gap"), rows)
    return f"{head}\n\n{table_of}"


def lineage(facts: Facts) -> str:
    """What tells this model from every other one."""
    job, prints = facts.job, facts.fingerprints
    rows = [
        ("job", f"{job.job.namespace}/{job.job.name}"),
        ("job's UID", job.job.uid),
        ("attempt that exported", str(job.attempt)),
        ("base model", location(job.spec.model.name)),
        ("began with", began_with(facts)),
        ("commit of the base model", job.model.revision if job.model else None),
        ("digest of its headers", job.model.digest if job.model else None),
        ("digest of the prepared data", facts.data),
        ("digest of what the data were asked by", facts.key),
        ("digest of the tokenizer", prints.get("tokenizer")),
        ("output", location(facts.results.export_uri or job.spec.output.uri)),
        ("trainer's image", image_of(job.resolved.image if job.resolved else None)),
        *facts.versions.items(),
    ]
    return table(("", ""), [(name, code(value)) for name, value in rows if value])


def began_with(facts: Facts) -> str | None:
    """The step of another job that training began with."""
    origin = facts.results.origin
    if origin is None:
        return None
    job = f"job {origin.job} (uid {origin.uid}), " if origin.job else ""
    return f"step {origin.step} of {job}{location(origin.uri)}"


def image_of(image: str | None) -> str | None:
    """An image without its registry, which may be nobody else's business: name, tag and digest."""
    return image.rpartition("/")[2] if image else None
