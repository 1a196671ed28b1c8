"""Verbs that look things up: ``explain``, ``schema``, ``presets``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import output
from .options import Context, Format, Namespace, Output, client


def explain(
    word: Annotated[
        str,
        typer.Argument(metavar="FIELD|REASON", help="training.zeroStage, GpuOutOfMemory, Queued, Hang, ..."),
    ],
) -> None:
    """Explain a field of a manifest or status, or a reason, class or phase that a status tells."""
    from llmtrain.errors import NotFound, did_you_mean
    from llmtrain.render import fields, meanings

    told = meanings.explain_reason(word)
    paths = fields.found_by(word)
    if told is None and not paths:
        known = [*meanings.words(), *meanings.known_failures(), *fields.names()]
        raise NotFound(f"no field or reason is called {word!r}{did_you_mean(word, known)}")
    blocks = [] if told is None else [told]
    blocks += [fields.field_lines(path) for path in paths]
    for number, block in enumerate(blocks):
        output.lines(["", *block] if number else block)


def schema(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="LLMTrainingSweep, LLMTrainingRuntime, ... (default: LLMTrainingJob)."
        ),
    ] = "LLMTrainingJob",
) -> None:
    """Print the JSON Schema of a manifest, for editors (yaml-language-server) and checkers.

    An editor with yaml-language-server reads the file that a comment in the manifest names:
    # yaml-language-server: $schema=FILE
    """
    from llmtrain.errors import NotFound, did_you_mean
    from llmtrain.render.schema import SPECS, manifest_schema

    known = {name.lower(): name for name in SPECS}
    if kind.lower() not in known:
        near = did_you_mean(kind.lower(), known) or f"; there are {', '.join(SPECS)}"
        raise NotFound(f"no manifest is of kind {kind!r}{near}")
    output.data(manifest_schema(known[kind.lower()]), Format.JSON)


def presets(
    namespace: Namespace = None,
    context: Context = None,
    form: Output = Format.TABLE,
    hyperparameters: Annotated[
        bool,
        typer.Option(
            "--hyperparameters",
            help="In place of those: what published recipes train with by task and size, and every default, "
            "each with its source. No cluster is asked.",
        ),
    ] = False,
) -> None:
    """List the presets that the platform team offers: what each gives to a job, and its bounds."""
    from llmtrain.render.rows import presets_table

    if hyperparameters:
        _hyperparameters(form)
        return

    here = client(namespace, context)
    found = here.list_presets()
    if output.data({"apiVersion": "v1", "kind": "List", "items": found}, form):
        return
    if not found:
        output.lines([f"no presets are offered to namespace {here.namespace}"])
        return
    output.table(presets_table(found))


def _hyperparameters(form: Format) -> None:
    from llmtrain.render.hyperparameters import as_data, defaults_table, recipes_table

    if output.data(as_data(), form):
        return
    output.lines(["What published recipes train with", ""])
    output.table(recipes_table())
    output.lines(["", "What a job gets that does not say", ""])
    output.table(defaults_table())
