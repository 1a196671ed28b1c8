"""The program: its verbs in groups, and what becomes of an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from llmtrain.errors import EXIT_CODES, LlmtrainError, Mistake

from . import browse, compare, debug, jobs, laptop, learn, live, logs, measure, migrate, serve, steer, web

ABOUT = """Train language models from a manifest: on a cluster, or on this machine without one.

`llmtrain submit JOB.yaml` begins a job; `ls`, `show`, `why` and `logs` tell how it goes.
"""
EPILOG = "Exit codes: " + ", ".join(f"{code} {text}" for code, text in EXIT_CODES) + "."
SEE, STEER, USE, LEARN = "See", "Begin, stop, change", "Use", "Look up"
HERE = "On this machine, without a cluster"
VERBS: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    (STEER, "submit", steer.submit),
    (STEER, "stop", steer.stop),
    (STEER, "resume", steer.resume),
    (STEER, "retry", steer.retry),
    (STEER, "clone", steer.clone),
    (STEER, "delete", steer.delete),
    (SEE, "ls", jobs.ls),
    (SEE, "show", jobs.show),
    (SEE, "why", jobs.why),
    (SEE, "logs", logs.logs),
    (SEE, "top", live.top),
    (SEE, "open", browse.open_page),
    (SEE, "debug", debug.debug),
    (SEE, "diff", compare.diff),
    (SEE, "checkpoints", compare.checkpoints),
    (USE, "serve", serve.serve),
    (USE, "import", migrate.import_job),
    (LEARN, "explain", learn.explain),
    (LEARN, "schema", learn.schema),
    (LEARN, "presets", learn.presets),
    (HERE, "run", laptop.run),
    (HERE, "check", laptop.check),
    (HERE, "eval", measure.evaluate),
    (HERE, "web", web.web),
)
PASSED_ON = {
    "generate": laptop.generate,
    "chat": laptop.chat,
    "attribute": laptop.attribute,
}
"""Verbs of the trainer: they read their own words."""
PROGRAMS = {"kubectl-llmtrain": "kubectl llmtrain"}
INTERRUPTED = 130


def build() -> typer.Typer:
    """The program with all its verbs."""
    app = typer.Typer(
        name="llmtrain",
        help=ABOUT,
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for panel, name, verb in VERBS:
        app.command(name, rich_help_panel=panel, help=flowing(verb.__doc__))(verb)
    for name, verb in PASSED_ON.items():
        settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
        app.command(name, rich_help_panel=HERE, context_settings=settings)(verb)
    return app


@cache
def command() -> Any:
    """The program as it reads words: to make it takes longer than most verbs."""
    return typer.main.get_command(build())


def flowing(text: str | None) -> str:
    """A docstring whose lines end where paragraphs do: the terminal breaks them where it ends."""
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def _tell_version(asked: bool) -> None:
    if asked:
        from llmtrain_api.version import VERSION

        print(f"llmtrain {VERSION}")
        raise typer.Exit


def _root(
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours, as with NO_COLOR=1.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_tell_version, help="Print the version and do nothing else."
        ),
    ] = False,
) -> None:
    if no_color:
        os.environ["NO_COLOR"] = "1"


def main(argv: list[str] | None = None) -> int:
    """Run a verb; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] and arguments[0] in PASSED_ON:
        return laptop.trainers_verb(arguments)
    if "--no-color" in arguments:
        # wherever it stands
        arguments.remove("--no-color")
        os.environ["NO_COLOR"] = "1"
    name = Path(sys.argv[0]).name
    try:
        command()(arguments, prog_name=PROGRAMS.get(name, "llmtrain"))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except LlmtrainError as error:
        for line in error.mistakes if isinstance(error, Mistake) else (str(error),):
            print(f"error: {_plain(line)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _plain(line: str) -> str:
    from llmtrain.render.words import plain

    return plain(line)
