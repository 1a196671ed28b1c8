"""The verb of the pod that looks at a model: facts or a refusal in the termination message. No torch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from llmtrain_api import FailureClass, InvalidJob, ModelFacts, Outcome, TerminationMessage, parse_spec
from llmtrain_api.names import EXIT_CONFIG

from .. import log
from ..errors import ConfigError
from ..pretrained.access import go_online
from ..pretrained.inspect import inspect as look
from .termination import write_termination


def inspect(path: str) -> int:
    """Look at the model of a job and write what was found; the exit code.

    Args:
        path: of a job's file: ``spec``, and ``base`` where the model is a folder.
    """
    log.configure()
    go_online()
    try:
        facts = _facts(path)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        write_termination(_failed(FailureClass.CONFIG_ERROR, error.message, error.hint))
        return EXIT_CONFIG
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        write_termination(_failed(FailureClass.INFRASTRUCTURE, str(error)))
        return 1
    print(json.dumps(facts.to_json(), indent=1))
    write_termination(TerminationMessage(outcome=Outcome.COMPLETE, facts=facts))
    return 0


def _facts(path: str) -> ModelFacts:
    try:
        told = json.loads(Path(path).read_text())
        spec = parse_spec(told["spec"], strict=False)
        base = told.get("base")
    except (OSError, ValueError, KeyError, TypeError, InvalidJob) as error:
        raise ConfigError(f"{path}: {error}") from None
    if spec.model.builtin is not None:
        raise ConfigError(f"spec.model.name {spec.model.name} is built in: there is nothing to inspect")
    return look(spec, base)


def _failed(kind: FailureClass, message: str, hint: str = "") -> TerminationMessage:
    # unvalidated: texts may still be too long, and are cut when written
    return TerminationMessage.model_construct(
        outcome=Outcome.FAILED, failure_class=kind, message=message, hint=hint or None
    )
