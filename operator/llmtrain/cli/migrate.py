"""``llmtrain import``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import output
from .options import Format


def import_job(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Manifest of a PyTorchJob, or of a TrainJob with its runtime."),
    ],
    uri: Annotated[
        str | None,
        typer.Option(
            "--output-uri", metavar="URI", help="Where the job writes (default: a folder on its first claim)."
        ),
    ] = None,
    form: Annotated[Format, typer.Option("-o", "--output", help="yaml or json.")] = Format.YAML,
) -> None:
    """Print the LLMTrainingJob that runs what a job of Kubeflow runs, and say what differs.

    The manifest goes to standard output, what differs to standard error. Nothing is applied.

    Exit codes: 0 it may be applied, 2 it cannot be read, or something in it has to be changed first.
    """
    import yaml

    from llmtrain.errors import Mistake
    from llmtrain.importing import imported
    from llmtrain_operator.local import manifest_yaml

    try:
        documents = manifest_yaml.load_all(file.read_text(encoding="utf-8-sig"))
        found = imported(documents, uri)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Mistake(f"{file}: {manifest_yaml.unreadable(error)}") from None
    except Mistake as mistake:
        raise Mistake(*(f"{file}: {one}" for one in mistake.mistakes)) from None
    output.manifests([found.manifest], form)
    for note in found.notes:
        print(f"--- {note}", file=sys.stderr)
    for one in found.mistakes:
        print(f"error: {one}", file=sys.stderr)
    if found.mistakes:
        raise typer.Exit(Mistake.exit_code)
