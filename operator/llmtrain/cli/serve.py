"""``llmtrain serve``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import output
from .options import Context, Format, Namespace, Runs, client

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmtrain.client import Client
    from llmtrain.errors import NotFound
    from llmtrain.render.served import Served
    from llmtrain.sweep_exports import ServedSweep
    from llmtrain_api import Task

Source = Annotated[
    str,
    typer.Argument(
        metavar="JOB|SWEEP|FOLDER|URI",
        help="Name of a job or of a sweep of adapters, folder of an export (with a /), or where one lies.",
    ),
]
Plain = Annotated[
    bool, typer.Option("--plain", help="A Deployment of vLLM and a Service, not an InferenceService.")
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name of the served model (default: the job's)."),
]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="What the model was trained for (default: read from the job or folder).",
    ),
]
Uri = Annotated[
    str | None,
    typer.Option(
        "--uri",
        metavar="URI",
        help="Where the cluster finds the export: pvc://CLAIM/FOLDER, s3://..., oci://...",
    ),
]
Oci = Annotated[
    bool,
    typer.Option("--oci", help="The image that output.publish.oci has made, not the output's folder."),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        "--gpus",
        metavar="N",
        min=0,
        max=64,
        help="GPUs of each replica (default: 1; 0 for a job without GPUs).",
    ),
]
Cpu = Annotated[str | None, typer.Option("--cpu", metavar="N", help="CPUs of each replica (default: 4).")]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="Memory of each replica (default: what its weights need)."),
]
Image = Annotated[str | None, typer.Option("--image", metavar="IMAGE", help="Image of vLLM (with --plain).")]
Secret = Annotated[
    str | None,
    typer.Option(
        "--secret",
        metavar="NAME",
        help="Secret with the keys of the bucket (default: output.secret), or by which nodes pull the image.",
    ),
]
ServiceAccount = Annotated[
    str | None,
    typer.Option(
        "--service-account",
        metavar="NAME",
        help="ServiceAccount whose Secrets KServe reads the bucket with.",
    ),
]
Router = Annotated[
    bool, typer.Option("--router", help="Of a sweep of adapters: print the router file alone.")
]
Printed = Annotated[Format, typer.Option("-o", "--output", help="yaml or json.")]


def serve(
    source: Source,
    plain: Plain = False,
    name: Name = None,
    task: TaskName = None,
    uri: Uri = None,
    oci: Oci = False,
    gpus: Gpus = None,
    cpu: Cpu = None,
    memory: Memory = None,
    image: Image = None,
    secret: Secret = None,
    service_account: ServiceAccount = None,
    router: Router = False,
    namespace: Namespace = None,
    context: Context = None,
    runs: Runs = None,
    form: Printed = Format.YAML,
) -> None:
    """Print what serves an export: an InferenceService of KServe, or with --plain a Deployment of vLLM.

    Of a sweep of adapters, with --plain: all that are trained, over their one base, each by its name, and a
    ConfigMap with the router file.

    Nothing is applied; for that: llmtrain serve JOB | kubectl apply -f -
    """
    from dataclasses import replace

    from llmtrain.errors import Mistake
    from llmtrain.exports import quantity_named

    if router:
        _print_router(source, client(namespace, context, runs))
        return
    found, sweep = _meant(source, task, uri, name, lambda: client(namespace, context, runs), oci=oci)
    wanted: dict[str, Any] = {
        "name": name,
        "uri": uri,
        "gpus": gpus,
        "cpu": quantity_named("--cpu", cpu) if cpu else None,
        "memory": quantity_named("--memory", memory) if memory else None,
        "image": image,
        "secret": secret,
        "service_account": service_account,
        "namespace": namespace,
    }
    found = replace(found, **{field: value for field, value in wanted.items() if value is not None})
    if not plain and (image or (secret and not found.in_registry)):
        raise Mistake("--image and --secret are for --plain; KServe's runtime has its own image, and reads a "
                      "bucket by --service-account")  # fmt: skip
    _print(found, sweep, form, plain=plain)


def _print(found: Served, sweep: ServedSweep | None, form: Format, *, plain: bool) -> None:
    """The manifests on standard output, and what a person has to know of them beside it.

    Raises:
        Mistake: it cannot be served so.
    """
    from dataclasses import replace

    from llmtrain.errors import Mistake
    from llmtrain.render.serve import deployment_and_service, inference_service
    from llmtrain.render.served import hints, refusal

    if reason := refusal(found, plain=plain):
        raise Mistake(reason)
    beside = [] if sweep is None else [replace(sweep, served=found).config_map()]
    for hint in [*hints(found, plain=plain), *(sweep.hints() if sweep else [])]:
        print(f"--- {hint}", file=sys.stderr)
    output.manifests(
        [*beside, *(deployment_and_service(found) if plain else [inference_service(found)])], form
    )


def _print_router(source: str, here: Client) -> None:
    """The router file of a sweep, as JSON whatever the form of manifests is."""
    from llmtrain.sweep_exports import router_in

    _, found = router_in(here.get_sweep(source))
    output.data(found.to_json(), Format.JSON)


def _meant(
    source: str, task: str | None, uri: str | None, name: str | None, here: Callable[[], Client], *, oci: bool
) -> tuple[Served, ServedSweep | None]:
    """The export that is meant: a URI has ``://``, a folder a ``/``, and all else is the name of a job, or
    where there is none of a sweep."""
    from dataclasses import replace

    from llmtrain import exports
    from llmtrain.errors import NotFound

    asked = exports.task_named(task) if task else None
    exports.named(name or "a")
    if "://" in source:
        return exports.at_uri(source, asked, name), None
    if "/" in source or source in (".", ".."):
        return exports.of_folder(Path(source), uri, asked, name), None
    known = here()
    try:
        job = known.get_job(source)
    except NotFound as no_job:
        sweep = _sweep(source, known, asked, no_job)
        return sweep.served, sweep
    found = exports.of_job(job, in_registry=oci)
    return (replace(found, task=asked) if asked else found), None


def _sweep(name: str, here: Client, task: Task | None, no_job: NotFound) -> ServedSweep:
    """A sweep of that name.

    Raises:
        NotFound: there is none either.
    """
    from llmtrain.errors import NotFound
    from llmtrain.sweep_exports import first_trained, of_sweep

    try:
        found = here.get_sweep(name)
    except NotFound:
        raise no_job from None
    name_of_first = first_trained(found)
    try:
        first = here.get_job(name_of_first) if name_of_first else None
    except NotFound:
        first = None
    return of_sweep(found, first, task)
